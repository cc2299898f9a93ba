"""How long single calls take, how far two models are apart, and what that means for the gate. Pure but for the clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mlctl.types.jobs.evaluate import LOWER_IS_BETTER
from mlctl.types.jobs.export import Limits
from mlctl.types.state import Gate

_WARM, _MOST = 5, 200
_MOST_SECONDS = 3.0


def latency(call: Callable[[], object]) -> dict[str, float]:
    """P50 and P99 of single calls, in milliseconds."""
    for _ in range(_WARM):
        call()
    taken: list[float] = []
    end = time.perf_counter() + _MOST_SECONDS
    while len(taken) < _MOST and (not taken or time.perf_counter() < end):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return quantiles(taken)


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """P50 and P99 in milliseconds."""
    p50, p99 = np.percentile(np.asarray(seconds) * 1000, [50, 99])
    return {"p50_ms": round(float(p50), 4), "p99_ms": round(float(p99), 4)}


def judge(
    limits: Limits,
    rows: int,
    found: Mapping[str, float],
    metrics: Mapping[str, Mapping[str, float]],
    what: str = "scores",
) -> Gate:
    """Whether every limit holds. `found` has what was measured; without rows nothing does."""
    details, met = [], []
    if not rows:
        return Gate(False, "there are no rows to compare on", ("there are no rows to compare on",))
    for name, value, limit, holds, text in _limits(limits, found, what):
        if value is None:
            details.append(f"{name} cannot be computed for this model")
        elif holds:
            met.append(text)
        else:
            details.append(f"{text}; {'at most' if name == 'max_abs' else 'at least'} {limit:g} is asked for")
    for name, margin in limits.drop.items():
        before, after = (metrics.get(side, {}).get(name) for side in ("source", "export"))
        if before is None or after is None:
            details.append(f"{name} cannot be computed on these rows")
            continue
        worse = after - before if name in LOWER_IS_BETTER else before - after
        text = f"{name} {after:.6g}, {before:.6g} before"
        (met if worse <= margin else details).append(
            text if worse <= margin else f"{text}; worse by more than {margin:g}"
        )
    if details:
        more = "" if len(details) == 1 else f", and {len(details) - 1} more"
        return Gate(False, details[0] + more, tuple(details))
    return Gate(True, ", ".join(met), ())


def _limits(limits: Limits, found: Mapping[str, float], what: str) -> list[tuple[str, float | None, float, bool, str]]:
    rows: list[tuple[str, float | None, float, bool, str]] = []
    if limits.max_abs is not None:
        value = found.get("max_abs")
        rows.append(
            (
                "max_abs",
                value,
                limits.max_abs,
                value is not None and value <= limits.max_abs,
                f"{what} differ by {value or 0.0:.3g} at most",
            )
        )
    if limits.agreement is not None:
        value = found.get("agreement")
        holds = value is not None and value >= limits.agreement
        rows.append(("agreement", value, limits.agreement, holds, f"{value or 0.0:.2%} agree"))
    return rows


def compare(source: Any, export: Any, binary: bool, decide: Callable[[Any], Any]) -> dict[str, float]:
    """Differences of scores, and for classes the share of equal decisions. A score that is no number agrees with nothing but its like."""
    if not len(source):
        return {}
    same_kind = np.isfinite(source) == np.isfinite(export)
    both = np.isfinite(source) & np.isfinite(export)
    apart = np.where(
        both, np.abs(np.where(both, source, 0.0) - np.where(both, export, 0.0)), np.where(same_kind, 0.0, np.inf)
    )
    found = {
        "max_abs": float(min(apart.max(), np.finfo(np.float64).max)),
        "mean_abs": float(np.mean(np.minimum(apart, 1e300))),
    }
    if binary:
        found["agreement"] = float(np.mean(same_kind & (decide(source) == decide(export))))
    return found
