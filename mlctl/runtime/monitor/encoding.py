"""Rows of features as a matrix: as they are for trees, standardised and one-hot for what reconstructs them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mlctl.stats.sketch import category
from mlctl.types.jobs.reference import CategoryCode, Encoding, NumberCode

_MOST_CATEGORIES = 30
_FURTHEST = 10.0  # standard deviations; what is further out is as odd as that
_LARGEST = float(np.finfo(np.float32).max)


def encoding_of(columns: Mapping[str, Sequence[Any]], kinds: Mapping[str, str]) -> Encoding:
    """How rows like these are encoded: means, standard deviations and the most frequent categories are theirs."""
    codes: list[NumberCode | CategoryCode] = []
    for name, values in columns.items():
        if kinds[name] == "categorical":
            known = Counter(text for value in values if (text := category(value)) is not None)
            codes.append(
                CategoryCode(name=name, categories=sorted(name for name, _ in known.most_common(_MOST_CATEGORIES)))
            )
            continue
        numbers = _numbers(values)
        there = numbers[~np.isnan(numbers)]
        spread = float(there.std()) if len(there) else 0.0
        codes.append(
            NumberCode(name=name, mean=float(there.mean()) if len(there) else 0.0, std=spread if spread > 0 else 1.0)
        )
    return Encoding(codes=codes)


def plain(encoding: Encoding, columns: Mapping[str, Sequence[Any]]) -> Any:
    """A column for each feature, in single precision: numbers, or the place of a category. What is missing is NaN."""
    return np.column_stack([_plain(code, columns[code.name]) for code in encoding.codes]).astype(np.float32)


def standardised(encoding: Encoding, matrix: Any) -> Any:
    """The plain matrix for methods that reconstruct rows: missing numbers are the mean, and are told in a column beside."""
    parts: list[Any] = []
    for index, code in enumerate(encoding.codes):
        values = matrix[:, index].astype(np.float64)
        missing = np.isnan(values)
        if isinstance(code, NumberCode):
            scaled = np.clip((values - code.mean) / code.std, -_FURTHEST, _FURTHEST)
            parts += [np.where(missing, 0.0, scaled), missing.astype(np.float64)]
        else:
            parts += [(values == place).astype(np.float64) for place in range(len(code.categories) + 1)]
            parts.append(missing.astype(np.float64))
    return np.column_stack(parts)


def _plain(code: NumberCode | CategoryCode, values: Iterable[Any]) -> Any:
    if isinstance(code, NumberCode):
        return _numbers(values)
    places = {name: float(place) for place, name in enumerate(code.categories)}
    texts = (category(value) for value in values)
    return np.array([np.nan if text is None else places.get(text, float(len(places))) for text in texts])


def _numbers(values: Iterable[Any]) -> Any:
    """Numbers within single precision; anything else is missing."""
    plain = values if isinstance(values, np.ndarray) else [_number(item) for item in values]
    found = np.asarray(plain, dtype=np.float64)
    found = np.where(np.isfinite(found), found, np.nan)
    return np.clip(found, -_LARGEST, _LARGEST)


def _number(value: Any) -> float:
    try:
        return float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:
        return math.nan
