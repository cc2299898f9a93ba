"""mlctl monitor: compare what is served with what was trained on."""

from __future__ import annotations

from typing import Annotated

import typer

from mlctl.cli.interrupting import Ending, interruptible
from mlctl.cli.options import (
    AsJson,
    emit_json,
    make_group,
    pick,
)
from mlctl.cli.project import in_project
from mlctl.providers.evidently.run import history, result_text, run_monitor
from mlctl.types.diagnostic import ExitCode
from mlctl.types.interrupt import Manner
from mlctl.workspace import Workspace

app = make_group(
    "Compare what is served with what was trained on.\n\nExamples:\n\n  mlctl monitor run\n\n  mlctl monitor history"
)


@app.command(
    "run",
    help="Run monitors and print their verdicts. Exit 5 on an alarm, 3 when there is too little data for a verdict.\n\n"
    "Examples:\n\n  mlctl monitor run\n\n  mlctl monitor run churn_drift --json",
)
@in_project
def run(
    workspace: Workspace,
    names: Annotated[list[str] | None, typer.Argument(help="Monitors; all of them when left out.")] = None,
    as_json: AsJson = False,
) -> int:
    """Run them one after another; the gravest verdict is the exit code."""
    _, context = workspace.reader()
    records = workspace.records()
    chosen = names or [address for address in records if address.startswith("monitors.")]
    codes = []
    with interruptible(Ending(workspace.stop, default=Manner.STOP)):
        for record in [pick(records, "monitors", name) for name in chosen] or [pick(records, "monitors", None)]:
            result = run_monitor(record, context)
            codes.append(result.exit_code)
            if as_json:
                emit_json({"type": "monitor", **result.to_json()})
            else:
                print(result_text(result))
    return max(codes, key=[ExitCode.OK, ExitCode.GATE_FAILED, ExitCode.DRIFT].index)


@app.command("history", help="Print the verdicts that are kept, oldest first.\n\nExamples:\n\n  mlctl monitor history")
@in_project
def history_(
    workspace: Workspace,
    name: Annotated[str | None, typer.Argument(help="The monitor; may be left out when there is only one.")] = None,
    as_json: AsJson = False,
) -> int:
    """Read the kept results."""
    _, context = workspace.reader()
    for result in history(pick(workspace.records(), "monitors", name), context):
        if as_json:
            emit_json({"type": "monitor", **result.to_json()})
        else:
            print(f"{result.run}  {result.verdict}  {result.outputs['summary']}")
    return ExitCode.OK
