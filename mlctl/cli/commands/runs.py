"""mlctl runs: what was applied here, when, by whom, and how it ended."""

from __future__ import annotations

import sys
from typing import Any

from mlctl.cli.options import AsJson, emit_json, make_app
from mlctl.cli.project import in_project
from mlctl.cli.request import history
from mlctl.types.diagnostic import ExitCode
from mlctl.views.human.style import Paint, columns, wants_color
from mlctl.views.human.text import safe
from mlctl.workspace import Workspace

app = make_app()

_ENDS = {
    ExitCode.OK: "done", ExitCode.GATE_FAILED: "held by a gate", ExitCode.PARTLY_APPLIED: "partly applied",
    ExitCode.INTERRUPTED: "interrupted", ExitCode.STALE_PLAN: "stale plan", ExitCode.LOCKED: "locked", ExitCode.POLICY: "refused",
}  # fmt: skip


@app.command(
    help="List the runs of this environment, the newest first: every apply, retraining, promotion, rollback and removal that "
    "changed something. The last 50 are kept, each with its plan and its events.\n\n"
    "Examples:\n\n  mlctl runs\n\n  mlctl runs --json | jq 'select(.exit_code != 0)'"
)
@in_project
def runs(workspace: Workspace, as_json: AsJson = False) -> int:
    """Print each run."""
    found = [folder.summary() for folder in history(workspace).kept()]
    if as_json:
        for item in found:
            emit_json({"type": "run", **item})
    elif not found:
        print("Nothing has been applied yet.")
    else:
        paint = Paint(wants_color(sys.stdout))
        for line, item in zip(columns([_row(item) for item in found]), found, strict=True):
            print(paint(line, "cyan") if item["running"] else line)
    return ExitCode.OK


def _row(item: dict[str, Any]) -> list[str]:
    serials = f"{item['serial_before']} -> {'?' if item['serial_after'] is None else item['serial_after']}"
    return [
        item["id"],
        item["operation"],
        _end(item),
        item["since"],
        safe(item["who"]),
        f"serial {serials}",
        safe(item["why"]),
    ]


def _end(item: dict[str, Any]) -> str:
    if item["running"]:
        return "running"
    if item["exit_code"] is None:
        return "killed"
    return _ENDS.get(item["exit_code"], "failed")
