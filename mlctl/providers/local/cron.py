"""Cron expressions of five fields: read, judged, and followed through the calendar as cron(8) of Debian does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_ITEM = re.compile(r"(?:(\*)|([0-9]+|[a-z]+)(?:-([0-9]+|[a-z]+))?)(?:/([0-9]+))?")
_MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()
    first: int = 0  # the number of the first name


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, _MONTHS, 1),
    _Field("day of week", 0, 7, _DAYS),
)


@dataclass(frozen=True, slots=True)
class Cron:
    """When something runs: the allowed values of each field. Sunday is 0."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool  # both day fields are restricted: then one that fits is enough

    def on(self, day: date) -> bool:
        """Whether it runs on a day."""
        if day.month not in self.months:
            return False
        of_month, of_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return of_month or of_week if self.either_day else of_month and of_week

    def after(self, moment: datetime) -> Iterator[datetime]:
        """The minutes it runs at after a moment, without end. Wall-clock time: what a shift to summer time skips is not left out."""
        start = (moment + timedelta(minutes=1)).replace(second=0, microsecond=0)
        day = start.date()
        while True:
            if self.on(day):
                for hour in sorted(self.hours):
                    for minute in sorted(self.minutes):
                        found = datetime(day.year, day.month, day.day, hour, minute, tzinfo=moment.tzinfo)
                        if found >= start:
                            yield found
            day += timedelta(days=1)


@lru_cache(maxsize=4096)
def parse(expression: str) -> Cron:
    """Read an expression. Raises ValueError that says which field is wrong and what would be right."""
    text = expression.strip()
    if text.startswith("@"):
        known = _MACROS.get(text.lower())
        raise ValueError(
            f"`{text}` is a name for an expression; write "
            + (f"`{known}`" if known else "the five fields themselves, for example `0 3 * * *`")
        )
    fields = text.split()
    if len(fields) != 5:
        raise ValueError(
            f"a cron expression has five fields (minute, hour, day of month, month, day of week), this one has {len(fields)}"
        )
    sets = [_values(item, field) for item, field in zip(fields, _FIELDS, strict=True)]
    weekdays = frozenset(value % 7 for value in sets[4])
    # cron takes a field that begins with `*` for unrestricted when it decides between "both" and "either", even `*/2`
    either = not fields[2].startswith("*") and not fields[4].startswith("*")
    if not either and not any(_LONGEST[month - 1] >= min(sets[2]) for month in sets[3]):
        raise ValueError(f"no month of `{fields[3]}` has a day {min(sets[2])}, so it would never run")
    return Cron(sets[0], sets[1], sets[2], sets[3], weekdays, either)


def _values(text: str, field: _Field) -> frozenset[int]:
    values: set[int] = set()
    for item in text.split(","):
        match = _ITEM.fullmatch(item.lower())
        if match is None:
            raise ValueError(
                f"`{item}` is not a {field.name}; write a number, a range `1-5`, a list `1,3`, or a step `*/10`"
            )
        star, low, high, step = match.groups()
        if step is not None and (int(step) == 0 or (high is None and star is None)):
            raise ValueError(
                f"`{item}` has a step that cannot be followed; a step is 1 or more and stands after `*` or a range, for example `*/10` or `0-30/10`"
            )
        first, last = (field.least, field.most) if star else (_number(low, field), _number(high or low, field))
        if first > last:
            raise ValueError(
                f"`{item}` runs backwards; write the range as two items, `{low}-{field.most},{field.least}-{high}`"
            )
        values.update(range(first, last + 1, int(step or 1)))
    return frozenset(values)


def _number(text: str, field: _Field) -> int:
    if text in field.names:
        return field.names.index(text) + field.first
    if not text.isdigit():
        options = f"; the names are {', '.join(field.names)}" if field.names else ""
        raise ValueError(f"`{text}` is not a {field.name}{options}")
    if not field.least <= int(text) <= field.most:
        raise ValueError(f"{text} is not a {field.name}: it goes from {field.least} to {field.most}")
    return int(text)
