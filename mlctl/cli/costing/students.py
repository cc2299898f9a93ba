"""Smaller language models of a project that could learn from the one a deployment serves, and be served in its place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mlctl.estimate.advice import Change
from mlctl.estimate.shapes import LanguageShape, UnknownShape
from mlctl.providers.torch.sizes import shape_of
from mlctl.types.address import Address

if TYPE_CHECKING:
    from mlctl.cli.costing.workloads import Found
    from mlctl.provider import Context
    from mlctl.workspace import Workspace

_MODEL = re.compile(r"\$\{(training\.[^}]+)\.model\}")


def students(workspace: Workspace, found: Found, ctx: Context) -> list[tuple[Change, ...]]:
    """Ways to write it, the largest student first: it learns from the teacher, and the deployment serves what its evaluation registers."""
    resources = workspace.project.resources
    registered: dict[str, str] = {}  # the training behind each alias
    for address, resource in resources.items():
        spec: Any = resource.spec
        match = _MODEL.fullmatch(str(getattr(spec, "model", ""))) if address.section == "evaluations" else None
        if match is not None and spec.register_as is not None:
            registered[f"{spec.register_as.name}@{spec.register_as.alias}"] = match[1]
    served = str(found.desired.spec.model)
    teacher = _shape(workspace, registered.get(served), ctx)
    if teacher is None:
        return []
    found_students = []
    for alias, name in registered.items():
        shape = _shape(workspace, name, ctx)
        if shape is None or shape.parameters >= teacher.parameters or shape.vocabulary != teacher.vocabulary:
            continue
        learns = Change(((("distill", "teacher"), f"${{{registered[served]}.model}}"),), name)
        taught = getattr(resources[Address.parse(name)].spec, "distill", None) is not None
        serves = Change(((("model",), alias),))
        found_students.append((shape.parameters, (serves,) if taught else (learns, serves)))
    return [changes for _, changes in sorted(found_students, key=lambda item: -item[0])]


def _shape(workspace: Workspace, name: str | None, ctx: Context) -> LanguageShape | None:
    """Of a training's language model; None for anything else."""
    resource = None if name is None else workspace.project.resources.get(Address.parse(name))
    spec: Any = None if resource is None else resource.spec
    if spec is None or spec.model.type != "causal_lm":
        return None
    try:
        shape = shape_of(spec, ctx, None)
    except UnknownShape:
        return None
    return shape if isinstance(shape, LanguageShape) else None
