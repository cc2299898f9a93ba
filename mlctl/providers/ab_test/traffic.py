"""How many units come by a day, counted in the prediction log of a deployment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from mlctl.files.day_logs import day_files, parsed
from mlctl.types.event import Progress
from mlctl.types.value import Json

MOST_DAYS = 14
_NOT_UNITS = ("shadow", "preview")  # roles of requests that nobody chose to make, or that were made by us


@dataclass(frozen=True, slots=True)
class Traffic:
    """New units a day: all that came within these whole days, over their number. Who comes again counts once."""

    daily_units: float
    days: int
    first: str
    last: str

    def to_json(self) -> dict[str, Json]:
        """For `--json`."""
        return asdict(self)


def counted(
    folder: Path, today: date | None = None, progress: Callable[[Progress], None] | None = None
) -> Traffic | None:
    """Of the last two weeks of whole days in the log; None where no whole day has rows that tell their unit."""
    until = today or datetime.now(UTC).date()
    since = until - timedelta(days=MOST_DAYS)
    last = until - timedelta(days=1)
    whole = [(date.fromisoformat(path.stem), path) for path in day_files(folder, since.isoformat(), last.isoformat())]
    units: set[int] = set()
    seen: list[date] = []
    for number, (day, path) in enumerate(whole, 1):
        if progress is not None:
            progress(Progress(f"counting units of {day}", number, len(whole), "days"))
        before = len(units)
        _units_of(path, units)
        if len(units) > before or seen:
            seen.append(day)
    if not units:
        return None
    span = (seen[-1] - seen[0]).days + 1
    return Traffic(len(units) / span, span, seen[0].isoformat(), seen[-1].isoformat())


def _units_of(path: Path, units: set[int]) -> None:
    """Add the units of a day's file. A line that cannot be read, such as the torn end after a kill, is left out."""
    with open(path, "rb") as stream:
        for line in stream:
            row = parsed(line)
            if row is None or row.get("role") in _NOT_UNITS:
                continue
            unit = row.get("unit")
            if isinstance(unit, str):
                units.add(hash(unit))
