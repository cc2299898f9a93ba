"""What a load test must show, as people write it: `p99 < 50ms at 100 qps`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mlctl.types.diagnostic import did_you_mean
from mlctl.types.jobs.bench import Load, Point
from mlctl.types.units import parse_duration, parse_share

_FORM = re.compile(
    r"\s*(?P<metric>[a-z0-9_]+)\s*(?P<sign><=|>=|<|>)\s*(?P<bound>[0-9.]+\s*[a-z%]*)"
    r"(?:\s+at\s+(?P<load>[0-9.]+)\s*(?P<unit>qps|clients?))?\s*",
    re.IGNORECASE,
)
_TIMES = {f"{prefix}{name}" for prefix in ("", "ttft_", "tpot_") for name in ("mean", "p50", "p95", "p99", "max")}
_NUMBERS = {"qps", "tokens_per_second"}
METRICS = sorted({*_TIMES, *_NUMBERS, "error_rate"})


@dataclass(frozen=True, slots=True)
class Requirement:
    """A bound on one metric, at one load or at all of them."""

    text: str
    metric: str
    above: bool  # the value has to be above the bound, and not below
    equal: bool  # the bound itself is good
    bound: float
    load: Load | None = None

    def value(self, point: Point) -> float | None:
        """What was measured; None when nothing was, or too little to tell, which is never good."""
        if self.metric == "error_rate":
            return point.error_rate if point.requests else None
        if self.metric == "qps":
            return point.rate
        if self.metric == "tokens_per_second":
            return point.tokens_per_second
        prefix, _, name = self.metric.rpartition("_")
        spread = {"": point.latency, "ttft": point.ttft, "tpot": point.tpot}[prefix]
        return None if spread is None or not spread.known(name) else float(getattr(spread, name))

    def met(self, point: Point) -> bool:
        """Whether a measurement keeps the bound."""
        value = self.value(point)
        if value is None:
            return False
        if value == self.bound:
            return self.equal
        return (value > self.bound) is self.above


def parse_requirement(text: str) -> Requirement:
    """Read a requirement. Raises ValueError that says what is wrong with it."""
    form = "write for example `p99 < 50ms at 100 qps`, `error_rate <= 0.1% at 8 clients` or `qps > 200`"
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a requirement; {form}")
    metric = match["metric"].lower()
    if metric not in METRICS:
        hint = did_you_mean(metric, METRICS) or f"known are {', '.join(METRICS)}"
        raise ValueError(f"{text!r}: there is no `{metric}`; {hint}")
    return Requirement(
        " ".join(text.split()),
        metric,
        match["sign"].startswith(">"),
        match["sign"].endswith("="),
        _bound(metric, match["bound"].strip(), text),
        None if match["load"] is None else _load(float(match["load"]), match["unit"].lower(), text),
    )


def _bound(metric: str, written: str, text: str) -> float:
    try:
        if metric in _TIMES:
            return parse_duration(written)
        if metric == "error_rate" and written.endswith("%"):
            return parse_share(written)
        if not re.fullmatch(r"\d+(\.\d*)?", written):
            raise ValueError(f"{written!r} is not a number")
        return float(written)
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from None


def _load(value: float, unit: str, text: str) -> Load:
    kind = "open" if unit == "qps" else "closed"
    if value <= 0 or (kind == "closed" and value != int(value)):
        raise ValueError(f"{text!r}: a load is a rate above 0, or a whole number of clients")
    return Load(kind=kind, value=value)
