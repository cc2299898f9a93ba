"""What the data of a training lacks, found while it is planned: its dataset is made, and its outputs say which columns it has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mlctl.provider import Desired, Input
from mlctl.providers.torch.spec import Corpus, Data, TrainingSpec
from mlctl.types.address import Address
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.jobs import learnable

_CLASSES = (0, 1)


def refuse_columns(desired: Desired) -> None:
    """Raise MlctlError for what the worker would refuse seconds later, in its words, at its place in the file.

    What is not made yet is not judged, and neither are columns that a dataset says nothing of.
    """
    data = desired.spec.data
    outputs = _outputs(desired, data.labels if isinstance(data, Data) else data.dataset)
    if outputs is None:
        return
    problems = list(_text(data, outputs) if isinstance(data, Corpus) else _table(desired.spec, data, outputs))
    if problems:
        raise MlctlError(problems)


def told(desired: Desired) -> tuple[list[str], list[str]]:
    """Notes and warnings on data that can be learnt from, and may not be what was meant."""
    data = desired.spec.data
    outputs = _outputs(desired, data.labels) if isinstance(data, Data) else None
    if outputs is None or not isinstance(data, Data):
        return [], []
    notes, warnings = [], []
    repeated = outputs.get("repeated_keys")
    if data.split.by == "random" and isinstance(repeated, int) and repeated:
        warnings.append(learnable.repeated_keys(data.labels, outputs.get("key") or (), repeated))
    known = _known(outputs, data.target)
    if desired.spec.task is None and _inferred(known, _type(outputs, data.target)) == "regression":
        notes.append("task: regression (inferred)")
        values = known.get("approx_distinct", 0)
        if learnable.is_whole(_type(outputs, data.target)) and learnable.may_be_classes(values, outputs.get("rows")):
            warnings.append(learnable.few_classes(data.target, values))
    empty = [name for name in _chosen(data, outputs) if name in _empty(outputs)]
    warnings += [f"`{name}` has no value in any row: nothing is learnt from it" for name in empty]
    return notes, warnings


def _outputs(desired: Desired, name: str) -> Mapping[str, Any] | None:
    found = desired.inputs.get(Address.parse(f"datasets.{name}"))
    return found.outputs if isinstance(found, Input) and found.outputs.get("columns") else None


def _text(data: Corpus, outputs: Mapping[str, Any]) -> Iterator[Diagnostic]:
    """A corpus without rows, or without a column that is named."""
    if outputs.get("rows") == 0:
        yield _at(learnable.no_rows(data.dataset), "data", "dataset")
        return
    for field in ("messages", "prompt", "completion", "text"):
        name = getattr(data, field)
        if name is not None and name not in outputs["columns"]:
            why = f"it is named in `data.{field}`"
            yield _at(learnable.missing_column(data.dataset, name, why, outputs["columns"]), "data", field)


def _table(spec: TrainingSpec, data: Data, outputs: Mapping[str, Any]) -> Iterator[Diagnostic]:
    types = outputs["columns"]
    if outputs.get("rows") == 0:
        yield _at(learnable.no_rows(data.labels), "data", "labels")
        return
    if data.target not in types:
        yield _at(learnable.missing_column(data.labels, data.target, "it is the target", types), "data", "target")
    else:
        yield from (_at(item, "data", "target") for item in _target(spec, data, outputs))
    for index, name in enumerate(data.columns or ()):
        if name not in types:
            why = "it is named in `data.columns`"
            yield _at(learnable.missing_column(data.labels, name, why, types), "data", "columns", index)
    chosen = _chosen(data, outputs)
    if not chosen and not (data.features or data.service):
        yield _at(learnable.no_features(data.labels), "data", "labels")
    given = data.columns is not None or bool(data.features) or data.service is not None
    target = data.target if data.target in types else ""
    for item in learnable.not_numeric(types, chosen, target, given=given, empty=_empty(outputs)):
        yield _at(item, "data", *_place(data, types, chosen))


def _place(data: Data, types: Mapping[str, str], chosen: Sequence[str]) -> tuple[str | int, ...]:
    """The first column that is no number, where it stands in the file."""
    for name in chosen:
        if name in types and not learnable.is_number(types[name]):
            return ("columns", data.columns.index(name)) if data.columns is not None else ("labels",)
    return ("target",)


def _target(spec: TrainingSpec, data: Data, outputs: Mapping[str, Any]) -> Iterator[Diagnostic]:
    """Rows without the target, a target of one class, and one that is no class at all."""
    known, rows = _known(outputs, data.target), outputs.get("rows")
    missing = known.get("nulls", 0) + known.get("infinite", 0)
    if not learnable.is_number(_type(outputs, data.target)) or not isinstance(rows, int):
        return
    if missing:
        yield learnable.target_missing(data.labels, data.target, missing, rows)
        return
    odd = sorted({known[name] for name in ("min", "max") if known.get(name) not in (None, *_CLASSES)})
    if spec.task == "binary" and odd:
        yield learnable.not_binary(data.target, odd)
    elif spec.task != "regression" and known.get("min") in _CLASSES and known.get("min") == known.get("max"):
        yield learnable.one_class(data.target, known["min"], rows, "rows")


def _inferred(known: Mapping[str, Any], found: str) -> str | None:
    """The task that the worker will take a target for, as far as its figures tell; None where they do not."""
    if found == "boolean":
        return "binary"
    low, high = known.get("min"), known.get("max")
    if low is None or high is None:
        return None
    return "binary" if known.get("approx_distinct", 0) <= len(_CLASSES) and {low, high} <= {*_CLASSES} else "regression"


def _chosen(data: Data, outputs: Mapping[str, Any]) -> list[str]:
    """The columns of the labels that are learnt from; features of views are numbers whatever their source holds."""
    if data.features or data.service is not None:
        return []
    if data.columns is not None:
        return data.columns
    others = (data.target, outputs.get("timestamp"), *(outputs.get("key") or ()))
    return learnable.own_features(outputs["columns"], others)


def _empty(outputs: Mapping[str, Any]) -> list[str]:
    return learnable.all_null(outputs.get("statistics") or {}, outputs.get("rows"))


def _type(outputs: Mapping[str, Any], name: str) -> str:
    return str(outputs["columns"].get(name, ""))


def _known(outputs: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = (outputs.get("statistics") or {}).get(name)
    return found if isinstance(found, Mapping) else {}


def _at(item: Diagnostic, *path: str | int) -> Diagnostic:
    return replace(item, path=path)
