"""The standard deviation of a window, exact to the last digits and the same whatever the order of events.

Values become whole numbers of at most 26 digits: a power of two makes them so, by which a double is multiplied without
rounding. Their squares are summed exactly: each number is cut into two limbs of 13 digits, and the products of limbs are
summed apart. Sums can be put together from steps in any order. What is left of the
squares after the mean is taken out is computed in whole numbers as well, so that small spreads beside large means survive.
"""

from __future__ import annotations

from collections.abc import Sequence

_LIMB = 10**13
BITS = 86  # 26 digits hold them
DIGITS = 26
PARTS = ("total", "high", "cross", "low")  # the sum of the numbers, and of the products of their limbs


def parts(value: str, power: int, *, whole: bool) -> dict[str, str]:
    """The sums that a step keeps of its values, as SQL aggregates by name. Times two to the `power` they are whole."""
    number = f"CAST({value} AS HUGEINT)" if whole else f"CAST(CAST({value} AS DOUBLE) * {_two_to(power)} AS HUGEINT)"
    high, low = f"({number} // {_LIMB})", f"({number} % {_LIMB})"
    return {
        "total": f"sum({number})",
        "high": f"sum({high} * {high})",
        "cross": f"sum(2 * {high} * {low})",
        "low": f"sum({low} * {low})",
    }


def stages(name: str, count: str, sums: Sequence[str]) -> list[dict[str, str]]:
    """What is computed of a window's count and its sums of `PARTS`, one after the other, as SQL by column.

    With the mean m rounded to a whole number and the remainder r = total - count * m, the squares around the mean are
    sum(x * x) - count * m * m - 2 * m * r - r * r / count.
    """
    total, high, cross, low = sums
    n, near, mean, rest = f"{name}_n", f"{name}_near", f"{name}_mean", f"{name}_rest"
    upper, lower, lowest, middle = f"{name}_upper", f"{name}_lower", f"{name}_lowest", f"{name}_middle"
    away = f"CASE WHEN 2 * abs({total} - {near} * {n}) <= {n} THEN 0 WHEN {total} > {near} * {n} THEN 1 ELSE -1 END"
    return [
        {n: f"CAST({count} AS HUGEINT)"},
        {near: f"{total} // nullif({n}, 0)"},
        {mean: f"{near} + {away}"},
        {rest: f"{total} - {mean} * {n}", upper: f"{mean} // {_LIMB}", lower: f"{mean} % {_LIMB}"},
        {lowest: f"{low} - {n} * {lower} * {lower} - 2 * {lower} * {rest}"},
        {middle: f"{cross} - 2 * {n} * {upper} * {lower} - 2 * {upper} * {rest} + {_floor(lowest)}"},
        {f"{name}_highest": f"{high} - {n} * {upper} * {upper} + {_floor(middle)}"},
    ]


def spread(name: str, power: int) -> str:
    """The sample standard deviation from the columns of `stages`; null for fewer than two values. Only here is rounded."""
    n, rest, lowest, middle, highest = (f"{name}_{part}" for part in ("n", "rest", "lowest", "middle", "highest"))
    squares = (
        f"CAST({highest} AS DOUBLE) * 1e26 + CAST({_modulo(middle)} AS DOUBLE) * 1e13 + CAST({_modulo(lowest)} AS DOUBLE)"
        f" - CAST({rest} * {rest} AS DOUBLE) / CAST({n} AS DOUBLE)"
    )
    return f"CASE WHEN {n} > 1 THEN sqrt(greatest({squares}, 0) / CAST({n} - 1 AS DOUBLE)) / {_two_to(power)} END"


def _two_to(power: int) -> str:
    return f"CAST('{2.0**power!r}' AS DOUBLE)"


def _floor(value: str) -> str:
    """How many whole limbs a number has, rounded down: SQL rounds towards zero."""
    return f"({value} // {_LIMB} - CASE WHEN {value} % {_LIMB} < 0 THEN 1 ELSE 0 END)"


def _modulo(value: str) -> str:
    """What is left of a number after its whole limbs, never negative."""
    return f"({value} % {_LIMB} + CASE WHEN {value} % {_LIMB} < 0 THEN {_LIMB} ELSE 0 END)"
