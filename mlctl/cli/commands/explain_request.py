"""mlctl explain-request: all that is known of one request."""

from __future__ import annotations

import re
import sys
from typing import Annotated

import typer

from mlctl.cli.explaining import deployed, find, told
from mlctl.cli.options import AsJson, emit_json, make_app
from mlctl.cli.project import in_project
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.views.human import request as view
from mlctl.views.human.style import wants_color
from mlctl.workspace import Workspace

app = make_app()
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@app.command(
    "explain-request",
    help="Show all that is known of one request, by the id in the answer's header `x-request-id`, or by its trace: what was "
    "predicted and from what, which feature pushed the score where, the label that came, the arm of the experiment, and what the "
    "rollout had done before. What is not known is said to be unknown.\n\n"
    "Examples:\n\n  mlctl explain-request 8f14e45f-ceea-467f-a9d6-5a1b2c3d4e5f\n\n"
    "  mlctl explain-request 0af7651916cd43dd8448eb211c80319c --day 2026-11-22\n\n"
    "  mlctl explain-request 8f14e45f-ceea-467f-a9d6-5a1b2c3d4e5f --json | jq .explanations",
)
@in_project
def explain_request(
    workspace: Workspace,
    id: Annotated[str, typer.Argument(help="A request id, a trace id, or a `traceparent`.")],
    deployment: Annotated[
        str | None, typer.Option("--deployment", "-d", metavar="NAME", help="Look in this one's log only.")
    ] = None,
    day: Annotated[str, typer.Option("--day", metavar="YYYY-MM-DD", help="Look in this day's log only (UTC).")] = "",
    labels: Annotated[
        bool, typer.Option("--labels/--no-labels", help="Look for the label in the monitors' datasets.")
    ] = True,
    as_json: AsJson = False,
) -> int:
    """Find it, and print what belongs to it."""
    records = workspace.records()
    _, context = workspace.reader()
    places = deployed(records, context, deployment)
    if day and not _DAY.fullmatch(day):
        why = "logs are kept by days, in UTC"
        raise MlctlError.of("cli.usage", f"`--day {day}` is no day", why, "write `--day 2026-11-22`")
    hits, found = find(places, id, day)
    for place, row in found:
        known = told(place, row, records, context, labels=labels)
        searched = {"files": hits.files, "bytes": hits.bytes}
        if as_json:
            emit_json({"type": "request", **known, "searched": searched})
        else:
            sys.stdout.write(view.render(known, color=wants_color(sys.stdout)))
    if not as_json:
        print(f"looked through {hits.files} file{'s' if hits.files != 1 else ''}, {hits.bytes / 1e6:,.1f} MB")
    return ExitCode.OK
