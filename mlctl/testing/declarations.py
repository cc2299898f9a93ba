"""What can be judged of a kind without its tool: how it declares itself, its spec, and what importing it costs."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import typing
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from mlctl.provider import Family, Kind, Spec, metadata_fields
from mlctl.testing.rules import Rule
from mlctl.types.address import Address
from mlctl.types.change import FieldClass
from mlctl.types.value import canonical

REMOVED: Any = object()  # the value of an edit that takes a field out

# Importing any of these takes longer than a plan may.
HEAVY = (
    "boto3", "duckdb", "evidently", "fastapi", "feast", "great_expectations", "jax", "mlflow", "numpy", "pandas", "polars", "pyarrow",
    "pyspark", "ray", "scipy", "sklearn", "statsmodels", "tensorflow", "torch", "transformers", "vllm", "xgboost",
)  # fmt: skip


def declaration_problems(
    kind: Kind, address: str, values: Mapping[str, Any], edits: Collection[str]
) -> Iterator[tuple[Rule, str]]:
    """Rules of the class and its spec that are broken, and how."""
    if not isinstance(kind, Kind):
        wanted = {*Kind.__annotations__, *(name for name in vars(Kind) if not name.startswith("_"))}
        yield (
            Rule.DECLARED,
            f"it is not a Kind: it lacks {', '.join(sorted(name for name in wanted if not hasattr(kind, name)))}",
        )
        return
    if not (isinstance(kind.spec, type) and issubclass(kind.spec, Spec)):
        yield Rule.DECLARED, "`spec` is not a class derived from `mlctl.provider.Spec`"
        return
    for rule, problems in (
        (Rule.DECLARED, _class_problems(kind, address)),
        (Rule.STRICT, _model_problems(kind.spec)),
        (Rule.STRICT, _block_problems(kind, values)),
        (Rule.COVERED, _edit_problems(kind, edits)),
        (Rule.LIGHT, _import_problems(kind)),
    ):
        yield from ((rule, problem) for problem in problems)


def edited(values: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of a block with the field at a dotted path changed, added or, with REMOVED, taken out."""
    result = copy.deepcopy(dict(values))
    *parents, last = path.split(".")
    block = result
    for name in parents:
        block = block.setdefault(name, {})
    if value is REMOVED:
        block.pop(last, None)
    else:
        block[last] = value
    return result


def _class_problems(kind: Kind, address: str) -> Iterator[str]:
    fields = {info.alias or name for name, info in kind.spec.model_fields.items()}
    metadata = metadata_fields(kind.spec)
    try:
        if Address.parse(address).section != kind.section:
            yield f"the case is of `{address}`, and the kind serves the section `{kind.section}`"
    except ValueError as error:
        yield str(error)
    if not isinstance(kind.family, Family):
        yield f"`family` is {kind.family!r}; it is one of {', '.join(Family)}"
    if kind.family is Family.BUILD and kind.identity:
        yield f"a build leaves `identity` empty, here it is {sorted(kind.identity)}: its identity is its content key"
    for name in sorted(kind.identity - fields):
        yield f"`identity` names `{name}`, which is no field of the spec"
    for name in sorted(kind.identity & metadata):
        yield f"`{name}` is in `identity` and marked as metadata; a field cannot be both"
    if not isinstance(kind.field_class, FieldClass) or kind.field_class is FieldClass.METADATA:
        yield f"`field_class` is {kind.field_class!r}; it is the class of the fields that are not marked, and those do something"
    if not isinstance(kind.settings, frozenset):
        yield f"`settings` is a {type(kind.settings).__name__}; it is a frozenset of names"


def _model_problems(spec: type[Spec]) -> Iterator[str]:
    for model in sorted(_models(spec, set()), key=lambda item: item.__name__):
        if model.model_config.get("extra") != "forbid":
            yield f"{model.__name__} takes unknown fields, so that a typo would run with defaults; derive it from `mlctl.provider.Block`"
        if not model.model_config.get("frozen"):
            yield f"{model.__name__} can be changed after it was read; derive it from `mlctl.provider.Block`"


def _models(annotation: Any, seen: set[type[BaseModel]]) -> set[type[BaseModel]]:
    """Every model that can stand somewhere in a value of this annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if annotation not in seen:
            seen.add(annotation)
            for info in annotation.model_fields.values():
                _models(info.annotation, seen)
    else:
        for part in typing.get_args(annotation):
            _models(part, seen)
    return seen


def _block_problems(kind: Kind, values: Mapping[str, Any]) -> Iterator[str]:
    """The block of the case is valid, refuses a typo, and survives the state file."""
    try:
        spec = kind.spec.model_validate(dict(values))
    except ValidationError as error:
        yield f"the block of the case is not valid: {error}"
        return
    try:
        kind.spec.model_validate({**values, "conformance_typo": 1})
        yield "an unknown field is not refused, so that a typo would run with defaults"
    except ValidationError:
        pass
    stored = spec.model_dump(mode="json", exclude_defaults=True)
    try:
        again = kind.spec.model_validate(json.loads(canonical(stored)))
    except (ValidationError, TypeError, ValueError) as error:
        yield f"what the state keeps of the block cannot be read back: {error}; it is model_dump(mode='json', exclude_defaults=True)"
        return
    if again != spec:
        yield f"the block reads back from the state as another: {again!r} instead of {spec!r}"
    elif again.model_dump(mode="json", exclude_defaults=True) != stored:
        yield "the block has two ways to be stored, so that it would show as changed; give each value one canonical form"


def _edit_problems(kind: Kind, edits: Collection[str]) -> Iterator[str]:
    own = {info.alias or name for name, info in kind.spec.model_fields.items() if name not in Spec.model_fields}
    known = {path.split(".")[0] for path in edits}
    for name in sorted(own - known):
        yield f"the case has no edit of the field `{name}`: each field needs one, else one without effect could hide"
    for name in sorted(known - own - set(Spec.model_fields)):
        yield f"the case edits `{name}`, which is no field of the spec"


def _import_problems(kind: Kind) -> Iterator[str]:
    module = type(kind).__module__
    program = f"import sys, {module}; print(' '.join(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment, timeout=120
    )
    if done.returncode != 0:
        yield f"the module {module} cannot be imported on its own:\n{done.stderr.strip()}"
        return
    if heavy := sorted({*HEAVY} & {*done.stdout.split()}):
        yield f"importing {module} imports {', '.join(heavy)}: every plan would pay for it; import tools inside worker programs"
