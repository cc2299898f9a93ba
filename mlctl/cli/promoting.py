"""Write what a verdict asks for into the project file: the model of the arm that won, and no split any more."""

from __future__ import annotations

import copy
import difflib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.providers.ab_test.advising import Promotion
from mlctl.spec.source import Source
from mlctl.types.address import Address
from mlctl.types.diagnostic import MlctlError, SourceRange
from mlctl.workspace import Workspace

_MODEL, _ROLLOUT = ("model",), ("rollout",)


@dataclass(frozen=True)
class Edit:
    """A file before and after."""

    path: Path
    name: str
    before: str
    after: str

    def diff(self) -> str:
        """As `diff -u` shows it."""
        lines = difflib.unified_diff(self.before.splitlines(True), self.after.splitlines(True), self.name, self.name)
        return "".join(lines)

    def write(self) -> None:
        """Put it in the place of the file, whose mode stays."""
        target = self.path.resolve()
        atomic.write_bytes(target, self.after.encode(), mode=target.stat().st_mode & 0o777)


def edit_for(workspace: Workspace, promotion: Promotion) -> Edit:
    """The edit. Raises MlctlError when the project does not say any more what was judged, or is written so that a person has to do it."""
    address = Address.parse(promotion.deployment)
    project = workspace.project
    written: Any = getattr(project.resources.get(address), "spec", None)
    rollout = None if written is None else written.rollout
    if rollout is None or rollout.ab is None or promotion.arm not in rollout.ab.arms:
        raise MlctlError.of(
            "experiment.nothing-to-promote",
            f"{address} has no arm `{promotion.arm}` any more",
            "it was promoted already, or the split was changed",
            "run `mlctl plan`",
        )
    place = project.places[address]
    model, split = place.where(_MODEL), place.where_key(_ROLLOUT)
    if model is None or split is None or model.file != split.file:
        raise _by_hand(promotion, "its fields stand in several files")
    path = Path(model.file).resolve()
    name = os.path.relpath(path, workspace.root)
    source = Source.parse(path, name)
    after = _edited(source, model, split, promotion)
    if not _expected(source.value, Source.of_text(name, after).value, promotion):
        raise _by_hand(promotion, "the block is not written one field a line")
    return Edit(path, name, source.text, after)


def _edited(source: Source, model: SourceRange, split: SourceRange, promotion: Promotion) -> str:
    """The text with another model, and without the lines of `rollout` and what is below it."""
    lines = source.text.splitlines(True)
    first, indent = split.line - 1, split.column - 1
    if lines[first][:indent].strip():
        raise _by_hand(promotion, "the block is written in braces")
    line = lines[model.line - 1]
    lines[model.line - 1] = line[: model.column - 1] + promotion.model + line[model.end_column - 1 :]
    last = first + 1
    for index in range(first + 1, len(lines)):
        text = lines[index]
        if text.strip() and len(text) - len(text.lstrip()) <= indent:
            break
        if text.strip():
            last = index + 1
    return "".join(lines[:first] + lines[last:])


def _expected(before: Any, after: Any, promotion: Promotion) -> bool:
    """Whether the values differ in just what was to be changed, wherever in the file the block is."""
    wanted = copy.deepcopy(before)
    name = Address.parse(promotion.deployment).name
    for blocks in _holders(wanted, name):
        blocks[name].pop("rollout", None)
        blocks[name]["model"] = promotion.model
    return bool(wanted == after and wanted != before)


def _holders(value: Any, name: str) -> list[Any]:
    """The mapping `deployments` of a file that has the block."""
    found = value.get("deployments") if isinstance(value, dict) else None
    return [found] if isinstance(found, dict) and isinstance(found.get(name), dict) and "rollout" in found[name] else []


def _by_hand(promotion: Promotion, why: str) -> MlctlError:
    return MlctlError.of(
        "experiment.edit-by-hand",
        f"{promotion.deployment} cannot be edited here",
        why,
        f"write `model: {promotion.model}` and remove `rollout`",
    )
