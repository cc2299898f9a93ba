"""Tests of all features together: does anything in how they go together differ from the frozen reference?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlctl.runtime.monitor.classifier import domain_classifier
from mlctl.runtime.monitor.encoding import plain, standardised
from mlctl.runtime.monitor.reconstruction import ERRORS
from mlctl.stats import drift
from mlctl.stats.comparison import Comparison
from mlctl.stats.drift import Method
from mlctl.types.jobs.monitor import TogetherPart
from mlctl.types.jobs.reference import Encoding

REFERENCE = "reference"  # the tensor of frozen rows, which only the domain classifier needs


def columns_of(part: TogetherPart) -> list[str]:
    """The features that are read together."""
    return [code.name for code in _encoding(part).codes]


def compare_together(
    part: TogetherPart, columns: Mapping[str, list[Any]], min_rows: int
) -> tuple[dict[Method, Comparison], dict[str, Any]]:
    """Each method's finding on the drawn rows of a window, and what else it tells. Fewer than `min_rows` are not tested."""
    encoding = _encoding(part)
    rows = len(columns[encoding.codes[0].name])
    if rows < min_rows:
        return {Method(name): Comparison(0.0, 0.0, 1.0, 0, rows) for name in part.methods}, {}
    from safetensors.numpy import load_file

    tensors, matrix = load_file(part.tensors), plain(encoding, columns)
    found: dict[Method, Comparison] = {}
    details: dict[str, Any] = {}
    for name in part.methods:
        method = Method(name)
        if method is Method.DOMAIN_CLASSIFIER:
            found[method], details["features"] = domain_classifier(encoding, tensors[REFERENCE], matrix)
            continue
        errors = ERRORS[name](tensors, standardised(encoding, matrix))
        before = encoding.errors[name]
        found[method] = drift.ks(before, errors)
        details[name] = {"error": float(errors.mean()), "reference_error": before.mean}
    return found, details


def _encoding(part: TogetherPart) -> Encoding:
    return Encoding.model_validate_json(Path(part.encoding).read_bytes())
