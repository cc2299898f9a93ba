"""Schedules as timers of systemd: they fire when cron would, and systemd takes the units."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlctl.providers.local import cron, timers
from mlctl.types.address import Address, ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Record

ANALYZE = shutil.which("systemd-analyze")
BASE = datetime(2026, 2, 27, 22, 41, tzinfo=UTC)


def record(**outputs: object) -> Record:
    given = {
        "cron": "0 3 * * *",
        "command": ["-e", "prod", "retrain", 'training.t["a b"]', "--auto-approve"],
        **outputs,
    }
    return Record(ObjectKey(Address("schedules", "nightly"), ""), outputs=given)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 3 * * *", ["*-*-* 03:00:00"]),
        ("*/20 * * * *", ["*-*-* *:00,20,40:00"]),
        ("30 4 * * 1-5", ["Mon,Tue,Wed,Thu,Fri *-*-* 04:30:00"]),
        ("0 0 1 jan,jul *", ["*-01,07-01 00:00:00"]),
        ("0 12 13 * 5", ["Fri *-*-* 12:00:00", "*-*-13 12:00:00"]),  # cron takes a day that fits either
        ("0 12 */2 * 7", ["Sun *-*-01,03,05,07,09,11,13,15,17,19,21,23,25,27,29,31 12:00:00"]),
    ],
)
def test_an_expression_becomes_calendar_lines(expression: str, expected: list[str]) -> None:
    assert list(timers.calendar(expression)) == expected


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize(
    "expression", ["0 3 * * *", "*/20 * * * *", "30 4 * * 1-5", "0 12 13 * 5", "0 0 29 2 *", "5 0 * 3 0"]
)
def test_systemd_fires_when_cron_would(expression: str) -> None:
    found: set[datetime] = set()
    for line in timers.calendar(expression):
        told = subprocess.run(
            [str(ANALYZE), "calendar", "--iterations=4", f"--base-time={BASE:%Y-%m-%d %H:%M:%S} UTC", line],
            capture_output=True, text=True, check=True, env={"TZ": "UTC", "LC_ALL": "C"},
        ).stdout  # fmt: skip
        times = re.findall(r"(?:Next elapse|Iter(?:ation|\.) #\d+): \w{3} (\d{4}-\d\d-\d\d \d\d:\d\d):\d\d", told)
        found |= {datetime.fromisoformat(time).replace(tzinfo=UTC) for time in times}
    upcoming = cron.parse(expression).after(BASE)
    assert sorted(found)[:4] == [next(upcoming) for _ in range(4)]


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    program = tmp_path / "ml ctl"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    made = timers.units(record(), "shop", "prod", tmp_path, str(program))
    assert set(made) == {"mlctl-shop-prod-schedule-nightly.service", "mlctl-shop-prod-schedule-nightly.timer"}
    for name, text in made.items():
        (tmp_path / name).write_text(text)
    told = subprocess.run(
        [str(ANALYZE), "verify", *(str(tmp_path / name) for name in made)], capture_output=True, text=True, check=False
    )
    assert (told.returncode, [line for line in told.stderr.splitlines() if "mlctl" in line]) == (0, [])


def test_the_units_hold_the_command_as_it_is_and_take_verdicts_for_no_failures(tmp_path: Path) -> None:
    service, timer = timers.units(record(cron="30 4 * * 1"), "my shop", "default", tmp_path, "/opt/100%/mlctl").values()
    assert f'ExecStart=/opt/100%%/mlctl -C {tmp_path} -e prod retrain "training.t[\\"a b\\"]" --auto-approve' in service
    assert "SuccessExitStatus=3 5" in service
    assert "OnCalendar=Mon *-*-* 04:30:00\nPersistent=true" in timer


def test_what_was_not_applied_or_cannot_stand_in_a_unit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MlctlError, match=r"schedule\.not-applied"):
        timers.units(Record(ObjectKey(Address("schedules", "s"), "")), "shop", "default", tmp_path, "mlctl")
    with pytest.raises(MlctlError, match="line break"):
        timers.units(record(), "shop", "default", tmp_path / "a\nb", "mlctl")
