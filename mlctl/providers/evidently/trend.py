"""How the figures of a monitor went over the runs that are kept: one series for each thing that is watched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mlctl.provider import Context
from mlctl.providers.evidently.run import MonitorResult, history
from mlctl.types.state import Record

_VERDICT = "verdict"


@dataclass(frozen=True, slots=True)
class Point:
    """One figure of one run. `value` is held against `margin`, where there is one."""

    run: str
    at: str
    verdict: str
    value: float | None
    margin: float | None = None
    p_adjusted: float | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """One thing over time: a test of a column, or a figure of a part."""

    part: str
    name: str
    measure: str  # the test's method, or the figure's name
    points: tuple[Point, ...] = field(default_factory=tuple)

    @property
    def alarms(self) -> int:
        """In how many runs it alarmed."""
        return sum(point.verdict == "alarm" for point in self.points)

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "part": self.part,
            "name": self.name,
            "measure": self.measure,
            "points": [asdict(item) for item in self.points],
        }


def trend(record: Record, ctx: Context) -> list[Series]:
    """All series, what alarmed most first."""
    return series(history(record, ctx))


def series(results: Sequence[MonitorResult]) -> list[Series]:
    """The series of some runs, oldest first."""
    found: dict[tuple[str, str, str], list[Point]] = {}
    for result in results:
        outputs: Mapping[str, Any] = result.outputs
        for part, figures in outputs["parts"].items():
            for name, measure, point in _points(result.run, str(outputs["until"]), figures):
                found.setdefault((part, name, measure), []).append(point)
    every = [Series(*key, tuple(points)) for key, points in found.items()]
    return sorted(every, key=lambda item: (-item.alarms, not item.name, item.part, item.name, item.measure))


def _points(run: str, at: str, figures: Mapping[str, Any]) -> Iterator[tuple[str, str, Point]]:
    """What one part says in one run: each test of each column, and beside them whatever else is a number."""
    columns = figures.get("columns")
    if isinstance(columns, Mapping):
        for name, column in columns.items():
            for method, test in (column.get("tests") or {}).items():
                yield name, method, _point(run, at, test, test.get("effect"))
    for name, item in figures.items():
        if isinstance(item, Mapping) and name != "columns" and _VERDICT in item:
            for inner, value in item.items():
                if _is_number(value):
                    yield name, inner, _point(run, at, item, value)
        elif isinstance(item, Mapping) and name != "columns":  # of several metrics or proxies, each by its own name
            for inner, about in item.items():
                if isinstance(about, Mapping) and _VERDICT in about:
                    yield inner, "effect", _point(run, at, about, about.get("effect"))
                    yield inner, "value", _point(run, at, {**about, "margin": None}, about.get("value"))
        elif _is_number(item):
            yield "", name, Point(run, at, str(figures.get(_VERDICT, "")), float(item))


def _point(run: str, at: str, about: Mapping[str, Any], value: object) -> Point:
    margin, p = about.get("margin"), about.get("p_adjusted")
    return Point(
        run,
        at,
        str(about.get(_VERDICT, "")),
        float(value) if _is_number(value) and isinstance(value, int | float) else None,
        float(margin) if isinstance(margin, int | float) else None,
        float(p) if isinstance(p, int | float) else None,
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
