"""mlctl schedule: hand schedules to the machine's cron."""

from __future__ import annotations

import shutil
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from mlctl.cli.options import AsJson, emit_json, make_group, pick
from mlctl.cli.project import in_project
from mlctl.providers.local.schedule import next_runs
from mlctl.providers.local.schedule import render as crontab_line
from mlctl.workspace import Workspace

app = make_group(
    "Hand schedules to the machine's cron.\n\n"
    "Examples:\n\n  mlctl schedule render\n\n  (crontab -l; mlctl schedule render) | crontab -"
)


@app.command(
    "render",
    help="Print the crontab lines of schedules that were applied. mlctl has no daemon: cron runs them.\n\n"
    "Examples:\n\n  mlctl schedule render\n\n  (crontab -l; mlctl schedule render) | crontab -",
)
@in_project
def render(
    workspace: Workspace,
    name: Annotated[str | None, typer.Argument(help="The schedule; all of them when left out.")] = None,
    as_json: AsJson = False,
) -> int:
    """Print one line for each."""
    records = workspace.records()
    found = [record for address, record in records.items() if address.startswith("schedules.")]
    if name is not None or not found:
        found = [pick(records, "schedules", name)]
    beside = Path(sys.executable).with_name("mlctl")  # cron has no PATH of ours, so the line names the program itself
    executable = str(beside) if beside.exists() else shutil.which("mlctl") or "mlctl"
    for record in found:
        line = crontab_line(record, workspace.root, executable)
        if as_json:
            times = next_runs(str(record.outputs["cron"]), datetime.now().astimezone())
            emit_json(
                {
                    "type": "schedule",
                    "address": str(record.key.address),
                    "line": line,
                    "next": [t.isoformat() for t in times],
                }
            )
        else:
            print(line)
    return 0
