"""Tests of a language model's requests and answers: several figures, decided together, and told in one form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from mlctl.stats.comparison import Comparison
from mlctl.stats.drift import Verdict
from mlctl.stats.multiple import holm
from mlctl.stats.ratio_change import Change
from mlctl.types.jobs.monitor import Alarm


@dataclass(frozen=True, slots=True)
class Tested:
    """One figure: what is said of it, its effect and margin, and its p-value before it is adjusted.

    Where `beyond` is true the p-value is already that of an effect larger than the margin; else the effect has to reach it too.
    """

    name: str
    method: str
    effect: float
    margin: float
    p_value: float
    says: str
    value: float | None = None
    before: float | None = None
    low: float | None = None
    high: float | None = None
    beyond: bool = False

    @classmethod
    def of_rows(cls, name: str, method: str, found: Comparison, margin: float, says: str) -> Tested:
        """Two distributions."""
        return cls(name, method, found.effect, margin, found.p_value, says)

    @classmethod
    def of_rate(cls, name: str, found: Change, margin: float, value: float, before: float) -> Tested:
        """Two rates; worse by more than the margin is what is tested."""
        says = f"{name.replace('_', ' ')} is {value:.4g} where it was {before:.4g}"
        return cls(
            name, "delta", found.worse, margin, found.p_value, says, value, before, _finite(found.low),
            _finite(found.high), beyond=True,
        )  # fmt: skip


def decided(part: str, tests: list[Tested], alpha: float) -> tuple[dict[str, dict[str, Any]], list[Alarm]]:
    """Adjust over all of them (Holm), and alarm where the effect is worth it. Figures by name, and alarms."""
    figures: dict[str, dict[str, Any]] = {}
    alarms = []
    for test, p in zip(tests, holm([test.p_value for test in tests]), strict=True):
        alarming = p < alpha and (test.beyond or test.effect >= test.margin)
        figures[test.name] = {
            "method": test.method, "effect": test.effect, "margin": test.margin, "p_value": test.p_value, "p_adjusted": p,
            "value": test.value, "before": test.before, "low": test.low, "high": test.high,
            "verdict": (Verdict.ALARM if alarming else Verdict.OK).value,
        }  # fmt: skip
        if alarming:
            says = f"{test.says} (margin {test.margin:g}, adjusted p {p:.2g})"
            alarms.append(
                Alarm(
                    part=part, name=test.name, says=says, method=test.method, effect=test.effect, margin=test.margin,
                    p_adjusted=p,
                )
            )  # fmt: skip
    return figures, alarms


def tests_table(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """All tests as HTML."""
    return table(
        ["figure", "verdict", "now", "before", "effect", "margin", "p adjusted"],
        [
            [name.replace("_", " "), str(found["verdict"]), *(short(found[key]) for key in ("value", "before", "effect", "margin", "p_adjusted"))]
            for name, found in figures.items()
        ],
    )  # fmt: skip


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table as HTML."""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"


def short(value: Any) -> str:
    """A number for a person."""
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _finite(value: float) -> float | None:
    return value if abs(value) != float("inf") else None
