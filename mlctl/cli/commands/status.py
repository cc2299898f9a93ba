"""mlctl status: every object, and whether it is well."""

from __future__ import annotations

import sys

from mlctl.cli.options import DEFAULT_DIR, AsJson, ProjectDir, ProjectFile, Refresh, emit_json, make_app, open_workspace
from mlctl.engine.health import Health, survey
from mlctl.types.diagnostic import ExitCode
from mlctl.views.human.style import Paint, columns, wants_color
from mlctl.views.human.text import safe

app = make_app()

_HINTS = {"unfinished": "go on with: mlctl apply", "gone": "make it again with: mlctl apply"}
_COLORS = {"ready": "green", "running": "cyan", "resumable": "yellow", "unfinished": "yellow"}


@app.command(
    help="Show every object and whether it is well. Exit 1 when something is broken or gone.\n\n"
    "Examples:\n\n  mlctl status\n\n  mlctl status --json | jq 'select(.condition != \"ready\")'"
)
def status(
    project: ProjectDir = DEFAULT_DIR, file: ProjectFile = None, refresh: Refresh = "true", as_json: AsJson = False
) -> int:
    """Look at each object by cheap evidence."""
    workspace = open_workspace(project, file, refresh)
    ledger, context = workspace.reader()
    found = survey(ledger, workspace.kind, context)
    if as_json:
        for item in found:
            emit_json({"type": "status", **item.to_json()})
    elif not found:
        print("Nothing has been made yet. Begin with: mlctl apply")
    else:
        paint = Paint(wants_color(sys.stdout))
        for line, item in zip(columns([_row(item) for item in found]), found, strict=True):
            print(line.replace(item.condition, paint(item.condition, _COLORS.get(item.condition, "red")), 1))
    return ExitCode.OK if all(item.well for item in found) else ExitCode.ERROR


def _row(item: Health) -> list[str]:
    return [str(item.address), item.condition, item.at, safe(item.detail) or _HINTS.get(item.condition, "")]
