"""One step of a plan from where it was written to what follows from it."""

from __future__ import annotations

from dataclasses import dataclass

from mlctl.spec.project import Project
from mlctl.types.address import Address
from mlctl.types.change import Change, FieldChange, Plan
from mlctl.types.diagnostic import MlctlError, SourceRange, did_you_mean


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a step is in a plan: the fields with their places, the steps it follows from, those that follow, and what is spared."""

    change: Change
    where: SourceRange | None
    fields: tuple[tuple[FieldChange, SourceRange | None], ...]
    causes: tuple[Change, ...]
    follows: tuple[Change, ...]
    spared: tuple[Address, ...]  # what depends on it, directly or not, and is left as it is


def explain(plan: Plan, project: Project, address: Address) -> Explanation:
    """Explain the step of an address. Raises MlctlError when the plan does not look at it."""
    changes = {item.address: item for item in plan}
    change = changes.get(address)
    if change is None:
        raise MlctlError.of(
            "plan.not-planned",
            f"the plan says nothing about `{address}`",
            "it is not of the project, or was not chosen when the plan was made",
            did_you_mean(str(address), [str(item) for item in changes]),
        )
    inputs = [item.path.removeprefix("input:") for item in change.fields if item.path.startswith("input:")]
    causes = tuple(found for name in inputs if (found := _of(changes, name)) is not None and found.effective)
    dependents = _dependents(project, address)
    follows = tuple(item for item in plan if item.address in dependents and item.effective)
    spared = tuple(item.address for item in plan if item.address in dependents and not item.effective)
    places = tuple((item, _place(project, address, item)) for item in change.fields)
    return Explanation(change, project.where(address), places, causes, follows, spared if change.effective else ())


def _of(changes: dict[Address, Change], name: str) -> Change | None:
    try:
        return changes.get(Address.parse(name))
    except ValueError:
        return None


def _dependents(project: Project, address: Address) -> set[Address]:
    """All that depends on an address, directly or through others."""
    found = {address}
    for other in project.order:
        if found & project.edges[other].keys():
            found.add(other)
    return found - {address}


def _place(project: Project, address: Address, item: FieldChange) -> SourceRange | None:
    """Where a field stands, or the nearest block around it that is written."""
    path: tuple[str | int, ...] = () if ":" in item.path else tuple(item.path.split("."))
    while path:
        where = project.where(address, path, key=True)
        if where is not None:
            return where
        path = path[:-1]
    return None
