"""Which language model a deployment would serve: of what is made already, else of what the project says that is to be made."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlctl.estimate.kv import Keys, keys_of
from mlctl.estimate.shapes import LanguageShape, UnknownShape, from_config
from mlctl.launch.base_models import model_config, saved_config
from mlctl.provider import Context, Desired, Input
from mlctl.types.address import Address
from mlctl.types.diagnostic import MlctlError

_TRAINED = re.compile(r"\$\{(training\.[^}.]+(?:\[[^\]]*\])?)\.[a-z_]+\}")
_DEEPEST = 8  # trainings that go on from each other
LANGUAGE = "causal_lm"


class NoLanguageModel(Exception):
    """What is behind a deployment scores rows."""


@dataclass(frozen=True, slots=True)
class Behind:
    """What is known of the model. `made` is the folder of one that is there."""

    config: Mapping[str, Any]
    shape: LanguageShape
    keys: Keys
    made: Path | None = None


def behind(desired: Desired, model: str, ctx: Context) -> Behind:
    """The model that is registered as `name@alias`. Raises UnknownShape, and NoLanguageModel."""
    made = _registered(desired, model)
    if made is not None:
        return _there(made, ctx)
    bases = list(_foreseen(desired, model))
    if not bases:
        raise UnknownShape(f"`{model}` is registered once its evaluation is made")
    return _of(_config(*bases[0], desired, ctx))


def made_folder(desired: Desired, model: str, ctx: Context) -> Path | None:
    """The folder of a model that is registered, whatever kind of model it is."""
    made = _registered(desired, model)
    folder = None if made is None else made.get("model")
    if not isinstance(folder, str):
        return None
    try:
        return ctx.path(folder)
    except MlctlError:
        return None


def _registered(desired: Desired, model: str) -> Mapping[str, Any] | None:
    """The outputs of the evaluation that has registered it."""
    name, _, alias = model.partition("@")
    for item in desired.inputs.values():
        if isinstance(item, Input) and (item.outputs.get("name"), item.outputs.get("alias")) == (name, alias):
            return item.outputs if item.outputs.get("version") is not None else None
    return None


def _there(outputs: Mapping[str, Any], ctx: Context) -> Behind:
    if outputs.get("task") != LANGUAGE:
        raise NoLanguageModel
    found = saved_config(ctx.path(str(outputs["model"])))
    if found is None:
        raise UnknownShape(f"`{outputs['model']}` has no config.json")
    return _of(found[1], found[0])


def _foreseen(desired: Desired, model: str) -> Iterator[tuple[str, str | None]]:
    """The bases of the trainings that the project has the model made by, with their revisions."""
    blocks = desired.blocks
    if blocks is None:
        return
    for gate in sorted(desired.inputs):
        spec = blocks.block(gate)
        if spec is None or f"model:{model}" not in set(getattr(spec, "provides", tuple)()):
            continue
        for used in sorted(blocks.uses(gate)):
            if used.section == "training":
                yield _base(used, desired)


def _base(training: Address, desired: Desired) -> tuple[str, str | None]:
    block = None if desired.blocks is None else desired.blocks.block(training)
    trained = getattr(block, "model", None)
    if getattr(trained, "type", None) != LANGUAGE:
        raise NoLanguageModel
    return str(trained.base), trained.revision  # type: ignore[union-attr]


def _config(base: str, revision: str | None, desired: Desired, ctx: Context) -> Mapping[str, Any]:
    """The config.json of a base, through trainings that go on from others."""
    for _ in range(_DEEPEST):
        found = _TRAINED.fullmatch(base)
        if found is None:
            break
        base, revision = _base(Address.parse(found[1]), desired)
    return model_config(base, revision, ctx)


def _of(config: Mapping[str, Any], made: Path | None = None) -> Behind:
    shape = from_config(config)
    return Behind(config, shape, keys_of(shape, config), made)
