"""mlctl monitor: compare what is served with what was trained on."""

from __future__ import annotations

from typing import Annotated

import typer

from mlctl.cli.options import (
    DEFAULT_DIR,
    AsJson,
    ProjectDir,
    ProjectFile,
    emit_json,
    graceful,
    make_group,
    open_workspace,
    pick,
)
from mlctl.providers.evidently.run import history, result_text, run_monitor
from mlctl.types.diagnostic import ExitCode

app = make_group()


@app.command(
    "run",
    help="Run monitors and print their verdicts. Exit 5 on an alarm, 3 when there is too little data for a verdict.\n\n"
    "Examples:\n\n  mlctl monitor run\n\n  mlctl monitor run churn_drift --json",
)
def run(
    names: Annotated[list[str] | None, typer.Argument(help="Monitors; all of them when left out.")] = None,
    project: ProjectDir = DEFAULT_DIR,
    file: ProjectFile = None,
    as_json: AsJson = False,
) -> int:
    """Run them one after another; the gravest verdict is the exit code."""
    workspace = open_workspace(project, file)
    _, context = workspace.reader()
    records = workspace.records()
    chosen = names or [address for address in records if address.startswith("monitors.")]
    codes = []
    with graceful(workspace.stop):
        for record in [pick(records, "monitors", name) for name in chosen] or [pick(records, "monitors", None)]:
            result = run_monitor(record, context)
            codes.append(result.exit_code)
            if as_json:
                emit_json({"type": "monitor", **result.to_json()})
            else:
                print(result_text(result))
    return max(codes, key=[ExitCode.OK, ExitCode.GATE_FAILED, ExitCode.DRIFT].index)


@app.command("history", help="Print the verdicts that are kept, oldest first.\n\nExamples:\n\n  mlctl monitor history")
def history_(
    name: Annotated[str | None, typer.Argument(help="The monitor; may be left out when there is only one.")] = None,
    project: ProjectDir = DEFAULT_DIR,
    file: ProjectFile = None,
    as_json: AsJson = False,
) -> int:
    """Read the kept results."""
    workspace = open_workspace(project, file)
    _, context = workspace.reader()
    for result in history(pick(workspace.records(), "monitors", name), context):
        if as_json:
            emit_json({"type": "monitor", **result.to_json()})
        else:
            print(f"{result.run}  {result.verdict}  {result.outputs['summary']}")
    return ExitCode.OK
