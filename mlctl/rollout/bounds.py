"""Which bounds a gate can put on which metric. Anything else would have no effect, and is refused."""

from __future__ import annotations

from collections.abc import Mapping

from mlctl.rollout.evidence import BOUNDS, METRICS

RELATIVE = ("margin", "max_ratio")  # bounds against the baseline
KINDS = (*RELATIVE, "max", "min")

RATES: Mapping[str, tuple[str, ...]] = {
    "error_rate": ("margin", "max"), "mismatch_rate": ("max",), "empty_rate": ("margin", "max"), "length_rate": ("margin", "max"),
}  # fmt: skip
OF_ANSWERS = ("empty_rate", "length_rate")  # of a language model
SHIFTS: Mapping[str, tuple[str, ...]] = {"score_shift": ("max",)}
SPEEDS: Mapping[str, tuple[str, ...]] = {"tokens_per_second": ("max_ratio", "min")}
TIMES: Mapping[str, tuple[str, ...]] = {name: ("max_ratio", "max") for name in METRICS if name.endswith("_seconds")}
ALLOWED: Mapping[str, tuple[str, ...]] = {**RATES, **SHIFTS, **SPEEDS, **TIMES}

# Which share of the requests lies above a quantile.
TAILS: Mapping[str, float] = {"p50_seconds": 0.5, "p95_seconds": 0.05, "p99_seconds": 0.01} | {
    "ttft_p50_seconds": 0.5, "ttft_p95_seconds": 0.05,
}  # fmt: skip


def needs_baseline(metric: str, kind: str) -> bool:
    """Whether a bound is about two versions that answer at the same time."""
    return kind in RELATIVE or metric in SHIFTS


def refused(metric: str, kind: str, value: float) -> str:
    """Why a bound has no effect; empty when it has one."""
    if kind not in ALLOWED[metric]:
        good = " or ".join(f"`{name}`" for name in ALLOWED[metric])
        return f"`{kind}` means nothing for `{metric}` ({METRICS[metric]}); its bounds are {good}"
    if metric in RATES or metric in SHIFTS:
        return (
            f"`{kind}: {value:g}` of `{metric}` can never be exceeded: it is a share, such as 0.01"
            if value >= 1
            else ""
        )
    if metric in SPEEDS:
        return f"`{kind}: 0` of `{metric}` can never be missed" if value == 0 else ""
    if kind == "max" and not BOUNDS[0] <= value <= BOUNDS[-1]:
        return f"`max: {value:g}` of `{metric}` is not between {BOUNDS[0]:g} and {BOUNDS[-1]:.0f} seconds, where times are told apart"
    return ""
