"""From a message to an event: is it one, and if not, why. Pure.

An event has every column of the view's source. It is kept as the source's files would hold it: a time without a zone is
UTC, one with a zone is turned into UTC, and numbers keep all their digits.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Context, Decimal, InvalidOperation
from typing import Any, NoReturn
from uuid import UUID

from mlctl.types.jobs.profile import Source

_WHOLE = {
    "tinyint": 8, "smallint": 16, "integer": 32, "bigint": 64, "hugeint": 128,
    "utinyint": -8, "usmallint": -16, "uinteger": -32, "ubigint": -64, "uhugeint": -128,
}  # fmt: skip
_DECIMAL = re.compile(r"decimal\((\d+),\s*(\d+)\)")
_DIGITS = Context(prec=100)  # more than any column holds, so that nothing is rounded
_LARGEST_BYTES = 4 * 2**20
_FUTURE_SECONDS = 86_400  # as in the batch: one wrong year would fill the disk with empty snapshots
_CLOCK_NEVER_SET = datetime(1970, 1, 2)  # naive in UTC; an older time would do the same, and stay in the log for good

Event = dict[str, Any]


class NoEvent(Exception):
    """Why a message is not an event."""


class Reader:
    """Reads the events of one source."""

    def __init__(self, source: Source, timestamp: str, required: tuple[str, ...]) -> None:
        """`required` are columns that may not be null. Raises ValueError for a column of a type that events cannot carry."""
        self.timestamp = timestamp
        self._required = frozenset({timestamp, *source.key, *required})
        self._read = {name: _reader(kind) for name, kind in source.columns.items()}

    def read(self, body: bytes, now: float) -> tuple[Event, datetime]:
        """The event in a message and its time, naive in UTC. Fields that the source has no column for are left out. Raises NoEvent."""
        if len(body) > _LARGEST_BYTES:
            raise NoEvent(f"it has {len(body):,} bytes; an event may have {_LARGEST_BYTES:,}")
        try:
            values = json.loads(body, parse_constant=_refuse_constant, parse_float=_exact)
        except (ValueError, RecursionError) as error:
            raise NoEvent(f"it is not JSON: {error}") from None
        if not isinstance(values, dict):
            raise NoEvent("it is not a JSON object")
        event = {name: self._value(name, values) for name in self._read}
        moment = datetime.fromisoformat(event[self.timestamp])
        if moment.replace(tzinfo=UTC).timestamp() > now + _FUTURE_SECONDS:
            raise NoEvent(f"`{self.timestamp}` is {event[self.timestamp]}, which is in the future")
        if moment < _CLOCK_NEVER_SET:
            raise NoEvent(f"`{self.timestamp}` is {event[self.timestamp]}, as a clock says that was never set")
        return event, moment

    def _value(self, name: str, values: Mapping[str, Any]) -> Any:
        if name not in values:
            raise NoEvent(f"it has no `{name}`; a value that is not known is null")
        value = values[name]
        if value is None:
            if name in self._required:
                raise NoEvent(f"`{name}` is null")
            return None
        try:
            return self._read[name](value)
        except (ValueError, TypeError, OverflowError, InvalidOperation) as error:
            raise NoEvent(f"`{name}`: {error}") from None


class _Exact(str):
    """A number with a fraction as it was written."""


def _exact(text: str) -> _Exact:
    return _Exact(text)


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON value")


def _reader(kind: str) -> Callable[[Any], Any]:
    """How a value of a DuckDB type is read. Raises ValueError for a type that events cannot carry."""
    if kind in _WHOLE:
        return _whole(_WHOLE[kind])
    if kind in ("double", "float"):
        return _number
    if kind.startswith("timestamp"):
        return _moment
    if found := _DECIMAL.fullmatch(kind):
        return _decimal(int(found[1]), int(found[2]))
    simple: dict[str, Callable[[Any], Any]] = {
        "boolean": _boolean, "varchar": _text, "date": _date, "uuid": lambda value: str(UUID(_text(value))),
    }  # fmt: skip
    if kind not in simple:
        raise ValueError(f"a column of type {kind} cannot come as JSON")
    return simple[kind]


def unreadable(source: Source) -> dict[str, str]:
    """The columns of a source that no event can carry, with their types."""
    found = {}
    for name, kind in source.columns.items():
        try:
            _reader(kind)
        except ValueError:
            found[name] = kind
    return found


def _whole(bits: int) -> Callable[[Any], int]:
    low, high = (0, 2**-bits) if bits < 0 else (-(2 ** (bits - 1)), 2 ** (bits - 1))

    def read(value: Any) -> int:
        if type(value) is not int:
            raise ValueError(f"{value!r:.60} is not a whole number")
        if not low <= value < high:
            raise ValueError(f"{value} does not fit")
        return value

    return read


def _number(value: Any) -> float:
    if isinstance(value, _Exact) or type(value) is int:
        number = float(value)
        if math.isfinite(number):
            return number
    raise ValueError(f"{value!r:.60} is not a finite number")


def _decimal(digits: int, scale: int) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if (
            not isinstance(value, str) and type(value) is not int
        ):  # a text is taken too: that is how money is often sent
            raise ValueError(f"{value!r:.60} is not a number")
        number = Decimal(value)
        if not number.is_finite() or number.adjusted() >= digits - scale:
            raise ValueError(f"{value!s:.60} does not fit decimal({digits},{scale})")
        kept = number.quantize(Decimal(1).scaleb(-scale), context=_DIGITS)
        if kept != number:
            raise ValueError(f"{value!s:.60} has more than {scale} digits after the point")
        return f"{kept:f}"

    return read


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError(f"{value!r:.60} is not true or false")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or isinstance(value, _Exact):
        raise ValueError(f"{value!r:.60} is not a text")
    value.encode()  # half of a pair of surrogates is no text either: a UnicodeEncodeError is a ValueError
    return value


def _moment(value: Any) -> str:
    moment = datetime.fromisoformat(_text(value))
    return (moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)).isoformat(
        timespec="microseconds"
    )


def _date(value: Any) -> str:
    return date.fromisoformat(_text(value)).isoformat()
