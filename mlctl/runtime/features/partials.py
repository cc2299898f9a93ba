"""What is kept of the events of one key and step: the parts that every window over it is put together from.

All parts have a fixed size, so that their table spills to the disk, and none depends on the order of events: sums are over
decimals or whole numbers, and the last value is the largest of numbers that lead with the time.
"""

# ruff: noqa: S608 (names go through quote(), texts through literal())

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mlctl.runtime.features import spread
from mlctl.runtime.features.inputs import SUMMED, Input
from mlctl.runtime.features.sql import only_row
from mlctl.types.diagnostic import MlctlError

_DECIMAL_DIGITS = 37  # DECIMAL(38, s) holds 38; one is kept for rounding up
_SUM_SCALE = 20  # finer than the 16 digits of a double for any value above 0.0001
_EVENT_DIGITS = 11  # so many digits are left for adding values up, which is enough for 100 billion of them
_LARGEST_POWER = 1000  # of two, that is a double
_WORD = 2**64
_HALF = 2**63


@dataclass(frozen=True, slots=True)
class Exact:
    """How the values of an input add up exactly: the type sums are taken in, and the power of two that makes them whole."""

    sums: str | None  # None for whole numbers and decimals, which DuckDB sums exactly as they are
    power: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What one look at the events tells: their number, the last moment and step, and how each input adds up."""

    events: int
    last: datetime
    last_step: int
    exact: dict[str, Exact]


def measure(connection: Any, inputs: Sequence[Input]) -> Measured | None:
    """Look at the events once; None when there is none.

    Raises MlctlError for NaN and infinity, and for values too large to be summed exactly.
    """
    numeric = [item for item in inputs if item.numeric]
    asked = ["count(*)", "max(moment)", "max(step)"]
    for item in numeric:
        finite = f"isfinite({item.name})" if item.floats else "true"
        asked.append(f"count(*) FILTER (NOT {finite})")
        asked.append(f"max(abs(CAST({item.name} AS DOUBLE))) FILTER ({finite})")
    events, last, last_step, *found = only_row(connection, f"SELECT {', '.join(asked)} FROM events")
    if not events:
        return None
    exact = {}
    for item, bad, largest in zip(numeric, found[::2], found[1::2], strict=True):
        if bad:
            raise _not_finite(item, bad)
        exact[item.name] = _exact(item, largest or 0.0, events)
    return Measured(events, last, last_step, exact)


def _exact(item: Input, largest: float, events: int) -> Exact:
    # Of floats the digits follow from the largest value alone: a stream has that, and only the events within reach.
    before = _digits(largest) + _EVENT_DIGITS if item.floats else _digits(largest * events)
    scale = min(_SUM_SCALE, _DECIMAL_DIGITS - before)
    power = 0 if item.whole or largest == 0 else min(spread.BITS - math.frexp(largest)[1], _LARGEST_POWER)
    if ((item.uses & SUMMED) and scale < 0) or ("std" in item.uses and item.whole and _digits(largest) > spread.DIGITS):
        raise MlctlError.of(
            "features.out-of-range",
            f"the values of `{item.label}` are too large to be summed exactly",
            f"the largest is {largest:g}; sums are kept with 38 digits",
            "store the column in a larger unit",
        )
    return Exact(f"DECIMAL(38, {scale})" if item.floats else None, power)


def _not_finite(item: Input, bad: int) -> MlctlError:
    return MlctlError.of(
        "data.not-finite",
        f"{bad:,} values of `{item.label}` are NaN or infinite",
        "they would make every window that holds one of them NaN",
        "store missing values as null, and correct or drop the others",
    )


def _digits(value: float) -> int:
    """How many digits a value has before the point."""
    return 0 if value < 1 else math.floor(math.log10(value)) + 1


def partials_query(keys: str, inputs: Iterable[Input], exact: dict[str, Exact]) -> str:
    """One row for each key and step with an event: `n` counts events, and `<part>_<input>` is a part of an input."""
    parts = {"n": "count(*)"}
    for item in inputs:
        field, uses = item.name, item.uses
        if uses & {"count", "mean", "std"}:
            parts[f"filled_{field}"] = f"count({field})"
        if uses & SUMMED:
            sums = exact[field].sums
            parts[f"sum_{field}"] = f"sum({field if sums is None else f'CAST({field} AS {sums})'})"
        parts |= {f"{use}_{field}": f"{use}({field})" for use in ("min", "max") if use in uses}
        if "last" in uses:
            parts[f"last_{field}"] = f"max({_packed(item)})"
        if "std" in uses:
            made = spread.parts(field, exact[field].power, whole=item.whole)
            parts |= {f"{name}_{field}": part for name, part in made.items()}
    listed = ", ".join(f"{part} AS {name}" for name, part in parts.items())
    return f"SELECT {keys}, step, {listed} FROM events GROUP BY {keys}, step"


def _packed(item: Input) -> str:
    """A moment and a value as one number that is ordered by the moment and then by the value."""
    value = (
        f"CAST({item.name} AS BIGINT)"
        if item.integer
        else _turned(f"CAST(CAST(CAST({item.name} AS DOUBLE) AS BIT) AS BIGINT)")
    )
    return f"CAST(epoch_us(moment) AS HUGEINT) * {_WORD} + ({value} + CAST({_HALF} AS HUGEINT))"


def unpacked(item: Input, number: str) -> str:
    """The value out of `_packed`."""
    word = f"(({number} % {_WORD} + {_WORD}) % {_WORD})"
    value = f"CAST({word} - {_HALF} AS BIGINT)"
    return value if item.integer else f"CAST(CAST({_turned(value)} AS BIT) AS DOUBLE)"


def _turned(bits: str) -> str:
    """The bits of a double as a whole number of the same order, and back: the negative ones stand the other way round."""
    return f"(CASE WHEN {bits} < 0 THEN xor({bits}, {_HALF - 1}) ELSE {bits} END)"
