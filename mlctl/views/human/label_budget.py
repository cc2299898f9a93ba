"""A label budget for a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mlctl.types.units import format_duration


def text(monitor: str, found: Mapping[str, Any]) -> str:
    """What it takes, what confidence saves, whether there is as much, and the power of other numbers."""
    return "\n".join(_lines(monitor, found)) + "\n"


def _lines(monitor: str, found: Mapping[str, Any]) -> Iterator[str]:
    rate, drop = found["error_rate"], found["drop"]
    yield (
        f"{monitor}: {found['labels']:,} labels show a rise of the error rate from {rate:.2%} to {rate + drop:.2%} "
        f"in {found['power']:.0%} of the cases (exact binomial test, alpha {found['alpha']:g})"
    )
    if found["explained"] is not None:
        yield (
            f"  the model's own confidence explains {found['explained']:.1%} of its errors: with it (prediction-powered), "
            f"about {found['labels_with_confidence']:,} would do"
        )
    if found["ripe"] is not None:
        window = format_duration(found["window_seconds"])
        enough = "enough" if found["ripe"] >= found["labels"] else "too few"
        yield f"  the last window of {window} had {found['ripe']:,} ripe predictions: {enough}"
    yield "  labels   power" + ("   with confidence" if found["explained"] is not None else "")
    for point in found["curve"]:
        helped = "" if point["power_with_confidence"] is None else f"   {point['power_with_confidence']:>6.1%}"
        yield f"  {point['labels']:>6,}  {point['power']:>6.1%}{helped}"
