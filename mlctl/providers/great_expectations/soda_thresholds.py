"""What a number may be, in the words of Soda's two languages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_NUMBER = r"(-?\d+(?:\.\d+)?)\s*%?"
_COMPARED = re.compile(rf"(<=|>=|=|<|>|!=)\s*{_NUMBER}")
_BETWEEN = re.compile(rf"between\s+([\[(]?)\s*{_NUMBER}\s+and\s+{_NUMBER}\s*([\])]?)")
_OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "!=": "="}

Number = int | float


@dataclass(frozen=True, slots=True)
class Limits:
    """An interval; a bound that is `strict` is itself outside of it."""

    low: Number | None = None
    high: Number | None = None
    strict_low: bool = False
    strict_high: bool = False

    @property
    def strict(self) -> bool:
        """Whether a bound is itself outside."""
        return self.strict_low or self.strict_high

    def none(self, *, counted: bool) -> bool:
        """Whether it says that there is none of something; less than one is none only where it is counted."""
        if self.low not in (None, 0) or self.strict_low:
            return False
        return (self.high == 0 and not self.strict_high) or (counted and self.high == 1 and self.strict_high)

    def whole(self) -> dict[str, int]:
        """The bounds of a number of rows, both included."""
        bounds = {}
        if self.low is not None:
            bounds["min"] = int(self.low) + (1 if self.strict_low else 0)
        if self.high is not None:
            bounds["max"] = int(self.high) - (1 if self.strict_high else 0)
        return bounds

    def one_sided(self, *, low: bool) -> Number | None:
        """The only bound, included, of a minimum or a maximum; None where it says something else."""
        here, there = (self.low, self.high) if low else (self.high, self.low)
        strict = self.strict_low if low else self.strict_high
        return here if there is None and not strict else None

    def arguments(self) -> dict[str, Any]:
        """As the arguments of an expectation."""
        found = {
            "min_value": self.low,
            "max_value": self.high,
            "strict_min": self.strict_low,
            "strict_max": self.strict_high,
        }
        return {name: item for name, item in found.items() if item is not None and item is not False}


def of_text(text: str, *, fails: bool = False) -> Limits | None:
    """`> 0`, `between 10 and 20`; with `fails` it says when the check fails, which is the opposite."""
    if found := _BETWEEN.fullmatch(text.strip()):
        if fails:
            return None
        return Limits(_number(found[2]), _number(found[3]), found[1] == "(", found[4] == ")")
    found = _COMPARED.fullmatch(text.strip())
    if found is None:
        return None
    sign = _OPPOSITE.get(found[1]) if fails else found[1]
    number = _number(found[2])
    return {
        "<": Limits(high=number, strict_high=True), "<=": Limits(high=number), ">": Limits(low=number, strict_low=True),
        ">=": Limits(low=number), "=": Limits(number, number),
    }.get(sign or "")  # fmt: skip


def of_contract(threshold: Any) -> tuple[Limits | None, str]:
    """The limits of a `threshold:` block and its metric; without one a check wants none of what it counts."""
    if not threshold:
        return Limits(high=0), "count"
    if not isinstance(threshold, Mapping):
        return None, "count"
    metric = str(threshold.get("metric", "count"))
    low, high, strict_low, strict_high = None, None, False, False
    for key, item in threshold.items():
        if key in ("metric", "unit"):
            continue
        if key == "must_be_between" and isinstance(item, Mapping):
            inner, _ = of_contract({f"must_be_{name}": part for name, part in item.items()})
            return inner, metric
        if key == "level" or not isinstance(item, int | float):
            return None, metric
        if key == "must_be":
            low = high = item
        elif key in ("must_be_greater_than", "must_be_greater_than_or_equal"):
            low, strict_low = item, key == "must_be_greater_than"
        elif key in ("must_be_less_than", "must_be_less_than_or_equal"):
            high, strict_high = item, key == "must_be_less_than"
        else:
            return None, metric
    return (None if low is None and high is None else Limits(low, high, strict_low, strict_high)), metric


def _number(text: str) -> Number:
    return float(text) if "." in text else int(text)
