"""Times, sizes and sums as people say them. Quick to import: what plans, pages and worker programs print is made of them."""

from __future__ import annotations

import math


def spoken_seconds(seconds: float) -> str:
    """A time as people say it, to two or three digits: `2.5 s`, `12 min`, `7.1 h`."""
    for most, size, unit in ((90, 1, "s"), (90 * 60, 60, "min"), (36 * 3600, 3600, "h")):
        if seconds < most:
            value = seconds / size
            return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"
    return f"{seconds / 86400:,.1f} days"


def spoken_latency(seconds: float) -> str:
    """A short time to three digits: `0.42 ms`, `12.3 ms`, `1.25 s`."""
    return f"{seconds * 1000:.3g} ms" if seconds < 0.9995 else f"{seconds:.3g} s"


def spoken_bytes(amount: float) -> str:
    """A size as people read it: `640 MiB`, `15.0 GiB`."""
    for size, unit in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB")):
        if amount >= size:
            value = amount / size
            return f"{value:.0f} {unit}" if value >= 99.95 else f"{value:.1f} {unit}"
    return f"{amount / 2**10:.0f} KiB"


def spoken_dollars(value: float) -> str:
    """A sum as people say it: `$0.004`, `$3.64`, `$412`, `$21,000`."""
    if value >= 9_995:
        return f"${round(value, 1 - math.floor(math.log10(value)) + 1):,.0f}"
    if value >= 99.995:
        return f"${value:,.0f}"
    if value >= 0.01 or value <= 0:
        return f"${value:.2f}"
    value = float(f"{value:.1g}")
    return f"${value:.{-math.floor(math.log10(value))}f}"
