"""mlctl schedule: hand schedules to the machine's cron, or to systemd."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from mlctl.cli.options import AsJson, emit_json, make_group, pick
from mlctl.cli.project import in_project
from mlctl.files import atomic
from mlctl.providers.local import timers
from mlctl.providers.local.schedule import next_runs
from mlctl.providers.local.schedule import render as crontab_line
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Record
from mlctl.workspace import Workspace

app = make_group(
    "Hand schedules to the machine's cron, or to systemd.\n\n"
    "Examples:\n\n  mlctl schedule render\n\n  (crontab -l; mlctl schedule render) | crontab -\n\n"
    "  mlctl schedule render --systemd --into ~/.config/systemd/user"
)


@app.command(
    "render",
    help="Print the crontab lines of schedules that were applied. mlctl has no daemon: cron runs them. With --systemd a service and "
    "a timer for each instead, which make up for what was missed while the machine was off; --into writes them.\n\n"
    "Examples:\n\n  mlctl schedule render\n\n  (crontab -l; mlctl schedule render) | crontab -\n\n"
    "  mlctl schedule render --systemd --into ~/.config/systemd/user\n\n"
    "  systemctl --user daemon-reload && systemctl --user enable --now mlctl-churn-schedule-nightly.timer",
)
@in_project
def render(
    workspace: Workspace,
    name: Annotated[str | None, typer.Argument(help="The schedule; all of them when left out.")] = None,
    systemd: Annotated[
        bool, typer.Option("--systemd", help="A service and a timer for each, in place of a line.")
    ] = False,
    into: Annotated[
        Path | None, typer.Option("--into", metavar="DIR", help="Write the units into this folder; with --systemd.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Print one line for each, or two units."""
    if into is not None and not systemd:
        raise MlctlError.of(
            "cli.usage", "`--into` stands without `--systemd`", "a crontab has no folder", "add `--systemd`"
        )
    if into is not None and not into.is_dir():
        raise MlctlError.of("cli.no-folder", f"there is no folder `{into}`", "", "make it first")
    records = workspace.records()
    found = [record for address, record in records.items() if address.startswith("schedules.")]
    if name is not None or not found:
        found = [pick(records, "schedules", name)]
    beside = Path(sys.executable).with_name("mlctl")  # cron has no PATH of ours, so the line names the program itself
    executable = str(beside) if beside.exists() else shutil.which("mlctl") or "mlctl"
    for record in found:
        if systemd:
            made = timers.units(record, workspace.surroundings.name, workspace.environment, workspace.root, executable)
            _units(record, made, into, as_json=as_json)
        else:
            _line(record, crontab_line(record, workspace.root, executable), as_json=as_json)
    return 0


def _line(record: Record, line: str, *, as_json: bool) -> None:
    if not as_json:
        print(line)
        return
    times = next_runs(str(record.outputs["cron"]), datetime.now().astimezone())
    emit_json(
        {"type": "schedule", "address": str(record.key.address), "line": line, "next": [t.isoformat() for t in times]}
    )


def _units(record: Record, made: Mapping[str, str], into: Path | None, *, as_json: bool) -> None:
    """Print them, each under its name, or write them."""
    for name, text in made.items():
        if into is not None:
            atomic.write_bytes(into / name, text.encode(), mode=0o644)
        if as_json:
            emit_json({"type": "unit", "address": str(record.key.address), "name": name, "text": text})
        elif into is not None:
            print(f"Wrote {into / name}")
        else:
            print(f"# {name}\n{text}")
