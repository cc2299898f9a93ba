"""A profile of numbers, for drift to be measured against later without the rows themselves."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlctl.stats.sketch import sketch

_FEW_VALUES = 50


def numeric_profile(values: Any) -> dict[str, Any]:
    """Count, nulls, moments, 101 quantiles, a sketch of 1,001, and shares between the nine inner decile edges.

    Bin i holds values in [edges[i-1], edges[i]), the first and the last being open to the side: as
    `numpy.searchsorted(edges, value, side="right")` counts. Equal edges are merged, so there may be fewer than ten bins.
    """
    values = np.asarray(values, dtype=np.float64)
    kept = values[np.isfinite(values)]
    profile: dict[str, Any] = {
        "kind": "numeric",
        "count": len(values),
        "nulls": int(len(values) - len(kept)),
        "categories": {},
    }
    if not len(kept):
        return {
            **profile,
            "mean": None,
            "std": None,
            "min": None,
            "max": None,
            "quantiles": [],
            "edges": [],
            "shares": [],
            "sketch": None,
        }
    quantiles = np.quantile(kept, np.linspace(0, 1, 101))
    edges = np.unique(quantiles[10:100:10])
    counts = np.bincount(np.searchsorted(edges, kept, side="right"), minlength=len(edges) + 1)
    frozen = sketch(kept)
    if len(frozen.values) <= _FEW_VALUES and not any(np.subtract(frozen.below[1:], frozen.upto[:-1])):
        shares = np.subtract(frozen.upto, frozen.below) / len(kept)
        profile["categories"] = {f"{value:g}": float(share) for value, share in zip(frozen.values, shares, strict=True)}
    return {
        **profile,
        "mean": float(kept.mean()),
        "std": float(kept.std(ddof=1)) if len(kept) > 1 else 0.0,
        "min": float(kept.min()),
        "max": float(kept.max()),
        "quantiles": quantiles.tolist(),
        "edges": edges.tolist(),
        "shares": (counts / len(kept)).tolist(),
        "sketch": frozen.model_dump(),
    }
