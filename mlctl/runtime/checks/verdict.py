"""The verdict on one rule, and how it reads in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mlctl.types.diagnostic import did_you_mean
from mlctl.types.value import Json

NO_VALUES = "no values: every row is null there"


@dataclass
class Verdict:
    """What came of one rule. `checked_rows` are those it applies to; None where it is not about rows.

    `sample` names up to five offending rows by the dataset's key, or by `row` (from 1) when it has none; no other value
    of the data goes into it, since it is kept in state.
    """

    rule: str
    columns: Sequence[str]
    passed: bool
    checked_rows: int | None = None
    failing_rows: int | None = None
    ratio: float | None = None
    sample: Sequence[Mapping[str, Json]] = ()
    reason: str = ""
    severity: str = "error"  # `warn`: it is reported, and closes no gate
    observed: Json = field(default=None)  # what a rule about a whole column or table saw
    where: str = field(default="", repr=False)  # the condition that the offending rows meet, for the quarantine
    fresh_until: str = ""  # of a rule about time that holds: until when, in UTC

    @property
    def closes(self) -> bool:
        """Whether it closes the gate."""
        return not self.passed and self.severity == "error"

    def to_json(self) -> dict[str, Any]:
        """The verdict as it stands in outputs and report; what does not apply is left out."""
        known = {name: item for name, item in asdict(self).items() if item not in (None, "", ()) and name != "where"}
        return known | {"columns": list(self.columns), "sample": [dict(item) for item in self.sample]}

    def line(self) -> str:
        """One line for the gate: rule, column, how many rows, which."""
        mark = f" [{self.severity}]" if self.severity != "error" else ""
        which = "; ".join(_row(item) for item in self.sample)
        return f"{self.label()}{mark}: {self.reason}" + (f"; for example {which}" if which else "")

    def label(self) -> str:
        """The rule and its columns."""
        return self.rule + (f" {', '.join(self.columns)}" if self.columns else "")


def failed(rule: str, columns: Sequence[str], reason: str) -> Verdict:
    """A rule that could not hold whatever the values are."""
    return Verdict(rule, columns, passed=False, reason=reason)


def of_rows(rule: str, columns: Sequence[str], checked: int, failing: int, allowed: float, what: str) -> Verdict:
    """A rule about rows: it holds when at most the allowed share of the checked rows fails. No row checked never passes."""
    if not checked:
        return Verdict(rule, columns, False, 0, 0, None, reason=NO_VALUES)
    ratio = failing / checked
    limit = f", at most {share(allowed)} may be" if allowed else ""
    reason = f"{failing:,} of {checked:,} rows ({share(ratio)}) {what}{limit}" if ratio > allowed else ""
    return Verdict(rule, columns, ratio <= allowed, checked, failing, ratio, reason=reason)


def missing_column(name: str, known: Mapping[str, str], where: str = "the dataset") -> str:
    """Why a rule about a column that is not there fails."""
    hint = did_you_mean(name, known)
    return f"{where} has no column `{name}`" + (f"; {hint}" if hint else "")


def share(ratio: float) -> str:
    """A ratio as a percentage that does not round a failure away to 0 %."""
    percent = ratio * 100
    return f"{percent:.2f} %" if percent >= 0.01 or not percent else f"{percent:.1g} %"


def plural(count: int, word: str) -> str:
    """`1 rule`, `2 rules`."""
    return f"{count:,} {word}" + ("" if count == 1 else "s")


def _row(key: Mapping[str, Json]) -> str:
    return " ".join(f"{name}={value}" for name, value in key.items())
