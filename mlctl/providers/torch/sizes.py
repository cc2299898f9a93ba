"""How large a training is: the shape of its model, and how much it learns from; from files and outputs that are there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlctl.estimate.shapes import DenseShape, LanguageShape, Shape, UnknownShape, from_config
from mlctl.launch.base_models import model_config
from mlctl.provider import Context, Desired, Input
from mlctl.providers.torch.sampled import Sample, sampled
from mlctl.providers.torch.spec import CausalLm, Corpus, Data, Mlp, TrainingSpec
from mlctl.types.address import Address
from mlctl.types.estimate import Range
from mlctl.types.jobs.learnable import own_features
from mlctl.types.state import Record
from mlctl.types.value import Unknown

# Tokens of a byte of a file: text with its quotes and names, and parquet, which is compressed.
_TOKENS_OF_TEXT = Range(0.1, 0.2, 0.4)
_TOKENS_OF_PARQUET = Range(0.15, 0.5, 1.5)
_FILLED = 0.95  # of a packed row


class NotYet(ValueError):
    """What will be known once something else is made."""


@dataclass(frozen=True, slots=True)
class Amount:
    """What one epoch learns from: rows as a batch counts them, tokens where they are text, and what is held back to validate on."""

    rows: Range
    tokens: Range | None = None
    validated: float = 0.0  # as a share of what is learnt from
    note: str = ""  # where it comes from, where that is a sample


def shape_of(spec: TrainingSpec, ctx: Context, features: int | None) -> Shape:
    """The shape of the model. Raises UnknownShape."""
    if isinstance(spec.model, Mlp):
        if features is None:
            raise UnknownShape("how many features it reads is known once its data is there")
        return DenseShape(features, tuple(spec.model.hidden))
    if isinstance(spec.model, CausalLm):
        return from_config(model_config(spec.model.base, spec.model.revision, ctx))
    raise UnknownShape("the size of a model that a function builds is not known before it is built")


def teacher_of(spec: TrainingSpec, ctx: Context) -> LanguageShape | None:
    """The shape of the teacher, where there is one. Raises UnknownShape."""
    return None if spec.distill is None else from_config(model_config(spec.distill.teacher, None, ctx))


def amount_of(desired: Desired, made: Sequence[Record], ctx: Context) -> Amount:
    """How much there is to learn from. Raises NotYet while an input is still to be made, or does not say how much it holds."""
    data = desired.spec.data
    if isinstance(data, Data):
        return _table(desired, data)
    share = 1 - data.split.test
    held_back = data.split.test / share
    if not isinstance(desired.spec.model, CausalLm):
        rows = Range.exactly(_rows(_outputs(desired, "datasets", data.dataset), data.dataset))
        return Amount(rows * share, validated=held_back)
    rows, tokens, note = _text(desired, data, made, ctx)
    rows, tokens = rows * share, tokens * share
    if data.packing:
        packed = tokens * (1 / (data.max_length * _FILLED))
        low, mid, high = (float(math.ceil(value)) for value in (packed.low, packed.mid, packed.high))
        return Amount(Range(low, mid, high), tokens, held_back, note)
    return Amount(rows, _filled_up(tokens, rows.mid, data.max_length), held_back, note)


def _text(desired: Desired, data: Corpus, made: Sequence[Record], ctx: Context) -> tuple[Range, Range, str]:
    """Rows and tokens of a text: as they were counted, else by a sample of its files, else by their size. Raises NotYet."""
    try:
        outputs = _outputs(desired, "datasets", data.dataset)
    except NotYet:
        found = sampled(desired, data, (), ctx)
        if found is None:
            raise
        return found.rows, _all(found.rows, found.each), _told(found, found.rows)
    rows = Range.exactly(_rows(outputs, data.dataset))
    counted = _known_tokens(desired, data, made)
    if counted is not None:
        return rows, counted, ""
    found = sampled(desired, data, tuple(outputs.get("files") or ()), ctx)
    if found is None:
        return rows, _tokens(outputs, rows.mid, data, ctx), ""
    return rows, _all(rows, found.each), _told(found, rows)


def _all(rows: Range, each: Range) -> Range:
    return Range(rows.low * each.low, rows.mid * each.mid, rows.high * each.high)


def _told(found: Sample, rows: Range) -> str:
    many = f"{rows.mid:,.0f} rows" if rows.low == rows.high else f"about {rows.mid:,.0f} rows"
    of = "all" if found.whole else "a sample"
    return f"{many} of {found.each.mid:,.0f} tokens each, by {of} of `{found.name}` with four characters a token"


def _table(desired: Desired, data: Data) -> Amount:
    labels = _outputs(desired, "datasets", data.labels)
    rows = _rows(labels, data.labels)
    share = 1 - data.split.test
    return Amount(Range.exactly(rows * share), validated=data.split.test / share)


def features_of(desired: Desired) -> int | None:
    """How many columns the model reads of a table; None while that is not known, and where it reads none."""
    data = desired.spec.data
    if not isinstance(data, Data):
        return None
    try:
        if data.service is not None:
            return len(_outputs(desired, "feature_services", data.service)["serving"]["columns"])
        if data.features:
            return sum(len(_outputs(desired, "feature_views", name)["features"]) for name in data.features)
        if data.columns is not None:
            return len(data.columns)
        labels = _outputs(desired, "datasets", data.labels)
    except NotYet:
        return None
    others = (data.target, labels.get("timestamp"), *(labels.get("key") or []))
    return max(1, len(own_features(labels.get("columns") or {}, others)))


def _outputs(desired: Desired, section: str, name: str) -> Mapping[str, Any]:
    found = desired.inputs.get(Address(section, name))
    if not isinstance(found, Input) or isinstance(found, Unknown):
        raise NotYet(f"once {section}.{name} is made")
    return found.outputs


def _rows(outputs: Mapping[str, Any], name: str) -> float:
    rows = outputs.get("rows")
    if not isinstance(rows, int | float) or isinstance(rows, bool) or rows < 1:
        raise NotYet(f"never: datasets.{name} does not say how many rows it has")
    return float(rows)


def _known_tokens(desired: Desired, data: Corpus, made: Sequence[Record]) -> Range | None:
    """What an earlier training counted in the same rows, cut at the same length."""
    found = desired.inputs[Address("datasets", data.dataset)]
    digest = found.digest if isinstance(found, Input) else ""
    for record in reversed(made):
        stored = record.outputs.get("estimate")
        actual = stored.get("actual") if isinstance(stored, Mapping) else None
        used = {use.key.address.section: use.digest for use in record.uses}
        if not isinstance(actual, Mapping) or used.get("datasets") != digest:
            continue
        tokens, length, share = (actual.get(name) for name in ("tokens", "max_length", "share"))
        if (
            isinstance(tokens, int | float)
            and isinstance(share, int | float)
            and share > 0
            and length == data.max_length
        ):
            return Range.exactly(float(tokens) / float(share))
    return None


def _tokens(outputs: Mapping[str, Any], rows: float, data: Corpus, ctx: Context) -> Range:
    """From the size of the files; no document has more tokens than a row takes."""
    sizes = [_size(ctx, name) for name in outputs.get("files") or ()]
    most = rows * data.max_length
    if not sizes or None in sizes:
        return Range(min(rows * 8, most), min(rows * 200, most), most)
    each = _TOKENS_OF_PARQUET if outputs.get("format") == "parquet" else _TOKENS_OF_TEXT
    found = each * float(sum(size for size in sizes if size is not None))
    low, mid, high = (max(min(value, most), rows) for value in (found.low, found.mid, found.high))
    return Range(low, mid, high)


def _size(ctx: Context, name: str) -> int | None:
    try:
        return (ctx.root / name).stat().st_size
    except OSError:
        return None


def _filled_up(tokens: Range, rows: float, length: int) -> Range:
    """With what short rows are filled up to the longest of their batch."""
    most = rows * length
    return Range(
        min(tokens.low, most), min(tokens.mid * 1.5, most), max(min(tokens.high * 3, most), min(tokens.mid * 1.5, most))
    )
