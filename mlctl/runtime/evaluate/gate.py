"""The verdict: what a candidate's metrics are held against. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlctl.types.jobs.evaluate import LOWER_IS_BETTER, METRICS, Bar
from mlctl.types.state import Gate


def judge(
    require: Mapping[str, Bar],
    metrics: Mapping[str, float],
    champion: Mapping[str, float] | None,
    obstacles: Sequence[str] = (),
    *,
    base: Mapping[str, float] | None = None,
) -> Gate:
    """Whether every bar is met. `champion` None means that there is none to compare with; `obstacles` each fail the gate; `base` is what
    a language model was before."""
    details = list(obstacles)
    met = []
    for name, bar in require.items():
        value = metrics.get(name)
        if value is None:
            details.append(f"{name} {why_missing(name, metrics)}")
            continue
        failures = _below(name, value, bar)
        if bar.versus_champion and champion is not None:
            failures += _behind(name, value, champion.get(name), bar.margin)
        if bar.versus_base:
            failures += _no_better(name, value, (base or {}).get(name), bar.margin)
        details += failures
        if not failures:
            met.append(f"{name} {_show(value)}")
    if details:
        return Gate(
            False, details[0] if len(details) == 1 else f"{details[0]}, and {len(details) - 1} more", tuple(details)
        )
    return Gate(True, ", ".join(met), ())


def why_missing(name: str, metrics: Mapping[str, float]) -> str:
    """Why there is no such figure: no data never passes."""
    if not metrics:
        return "cannot be computed: there are no rows"
    if name == "roc_auc":
        return "cannot be computed: the rows hold one class only"
    if name == "r2":
        return "cannot be computed: the target is the same in all rows"
    return "was not computed"


def wrong_task(require: Mapping[str, Bar], task: str) -> list[str]:
    """The metrics asked for that do not go with a task."""
    return [name for name in require if name not in METRICS[task]]


def _below(name: str, value: float, bar: Bar) -> list[str]:
    found = []
    if bar.min is not None and value < bar.min:
        found.append(f"{name} {_show(value, bar.min)} < {bar.min:g}")
    if bar.max is not None and value > bar.max:
        found.append(f"{name} {_show(value, bar.max)} > {bar.max:g}")
    return found


def _behind(name: str, value: float, other: float | None, margin: float) -> list[str]:
    if other is None:
        return [f"{name} of the champion cannot be computed on these rows"]
    loss = value - other if name in LOWER_IS_BETTER else other - value
    if loss <= margin:
        return []
    return [f"{name} {_show(value, other)} is worse than the champion's {_show(other, value)} (margin {margin:g})"]


def _no_better(name: str, value: float, other: float | None, margin: float) -> list[str]:
    if other is None:
        return [f"{name} of the base cannot be computed on these rows"]
    gain = other - value if name in LOWER_IS_BETTER else value - other
    if gain > 0 and gain >= margin:
        return []
    wanted = f" by {margin:g}" if margin else ""
    return [f"{name} {_show(value, other)} is not better than the base's {_show(other, value)}{wanted}"]


def _show(value: float, beside: float | None = None) -> str:
    """A figure with three or more decimals: as many as it takes to tell it from the one it is compared with."""
    for digits in range(3, 15):
        if beside is None or f"{value:.{digits}f}" != f"{beside:.{digits}f}":
            return f"{value:.{digits}f}"
    return repr(value)
