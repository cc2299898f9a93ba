"""Schedules as timers of systemd: a service that runs once, and a timer that starts it. What was missed is made up for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from mlctl.processes.systemd import plain, quoted
from mlctl.providers.local import cron
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.state import Record

_DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
# Verdicts, not failures: a unit that found drift, or whose model did not pass its gate, has done its work.
_VERDICTS = (ExitCode.GATE_FAILED, ExitCode.DRIFT)


def calendar(expression: str) -> Iterator[str]:
    """A cron expression as lines for `OnCalendar=`. Raises ValueError for one that is none.

    Of two day fields that are both restricted, cron takes a day that fits either of them: that makes two lines.
    """
    when = cron.parse(expression)
    clock = f"{_list(when.hours, 24)}:{_list(when.minutes, 60)}:00"
    months = _list(when.months, 12)
    days = _list(when.days, 31)
    weekdays = "" if len(when.weekdays) == 7 else ",".join(_DAYS[day] for day in sorted(when.weekdays)) + " "
    if when.either_day:
        yield f"{weekdays}*-{months}-* {clock}"
        yield f"*-{months}-{days} {clock}"
    else:
        yield f"{weekdays}*-{months}-{days} {clock}"


def units(record: Record, project: str, environment: str, root: Path, executable: str) -> Mapping[str, str]:
    """The text of both units by the name of its file. Raises MlctlError."""
    if "command" not in record.outputs:
        raise MlctlError.of(
            "schedule.not-applied",
            f"{record.key.address} has no command yet",
            "a timer is made from what was applied",
            "run `mlctl apply`",
        )
    name = unit_name(project, environment, record.key.address.name)
    command = [executable, "-C", str(root), *record.outputs["command"]]
    service = [
        "[Unit]",
        f"Description=mlctl {plain(str(record.key.address))} of {plain(project)}",
        "After=network.target",
        "",
        "[Service]",
        "Type=oneshot",
        f"WorkingDirectory={plain(str(root))}",
        "# values of sensitive variables, one NAME=VALUE a line, in a file of mode 0600",
        "EnvironmentFile=-%h/.config/mlctl/environment",
        f"ExecStart={' '.join(quoted(str(part), command=True) for part in command)}",
        f"SuccessExitStatus={' '.join(str(int(code)) for code in _VERDICTS)}",
        "UMask=0077",
        "Nice=10",
    ]
    timer = [
        "[Unit]",
        f"Description=when mlctl {plain(str(record.key.address))} of {plain(project)} runs",
        "",
        "[Timer]",
        *(f"OnCalendar={line}" for line in calendar(str(record.outputs["cron"]))),
        "Persistent=true",
        "",
        "[Install]",
        "WantedBy=timers.target",
    ]
    return {f"{name}.service": "\n".join(service) + "\n", f"{name}.timer": "\n".join(timer) + "\n"}


def unit_name(project: str, environment: str, schedule: str) -> str:
    """The name of the files, from letters, digits and dashes alone."""
    parts = [project, *([] if environment == "default" else [environment]), "schedule", schedule]
    return "mlctl-" + "-".join(re.sub(r"[^A-Za-z0-9]+", "-", part).strip("-") for part in parts)


def _list(values: frozenset[int], count: int) -> str:
    """Numbers as a list; all of them as a star."""
    return "*" if len(values) == count else ",".join(f"{value:02d}" for value in sorted(values))
