"""Saved plans on the command line: opened with the configuration that is inside them, and nothing of the files beside them."""

from __future__ import annotations

from pathlib import Path

from mlctl.cli.pricing import keeping, of_saved
from mlctl.engine.operations import Operation
from mlctl.engine.promotion import Offer
from mlctl.engine.saved import file as planfile
from mlctl.engine.saved import staleness
from mlctl.engine.saved.file import SavedPlan
from mlctl.spec.reading import displayed
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import State
from mlctl.workspace import HOME, Chosen, Workspace


def opened(workspace: Workspace, path: Path) -> tuple[Workspace, SavedPlan]:
    """A saved plan, with the prices that were given now too, and a workspace of its environment and configuration. Raises
    MlctlError for one that is not of this project."""
    saved = planfile.read(path)
    chosen = workspace.chosen
    if chosen.values or chosen.value_files or workspace.file is not None:
        raise with_a_plan("--file" if workspace.file is not None else "--var")
    if not any(place.exists() for place in (workspace.main, workspace.root / saved.file, workspace.root / HOME)):
        raise MlctlError.of(
            "spec.no-project",
            f"there is no project in {displayed(workspace.root)}",
            f"the plan is of the project `{saved.project}`, whose data and state are beside its project file",
            "run it in the folder of that project, or name it with `-C FOLDER`",
        )
    staleness.check_origin(
        saved, project=_name_here(workspace), environment=chosen.environment or saved.plan.environment
    )
    inside = of_texts(workspace, saved)
    secrets = inside.context(State("")).secrets
    staleness.check_secrets(
        saved, lambda name: secrets.digest(secrets.values[name]) if name in secrets.values else None
    )
    return inside, keeping(saved, inside.pricing)


def of_texts(workspace: Workspace, saved: SavedPlan) -> Workspace:
    """The same folder and state with the configuration of a saved plan."""
    file = workspace.root / saved.file
    chosen, pricing = Chosen(saved.plan.environment), of_saved(saved, workspace.pricing)
    return Workspace(workspace.root, file, chosen, workspace.deep, saved.texts, saved.values, pricing)


def of_past(workspace: Workspace, saved: SavedPlan) -> Workspace:
    """The same of a plan that was applied once. Its prices may be as old as they like: who goes back must not be kept from it."""
    inside = of_texts(workspace, saved)
    inside.pricing = inside.pricing._replace(allow_stale=True)
    return inside


def operation(workspace: Workspace, saved: SavedPlan) -> Operation:
    """What a saved plan would do; what it takes from another environment is looked up there again."""
    return Operation.of(saved, lambda name: offer(workspace, name))


def offer(workspace: Workspace, environment: str) -> Offer:
    """What another environment of the same folder has to give."""
    chosen = Chosen(environment, workspace.chosen.values, workspace.chosen.value_files)
    other = Workspace(workspace.root, workspace.file, chosen, texts=workspace.texts)
    ledger, context = other.reader()
    return Offer.of(ledger, other.kind, context)


def with_a_plan(option: str) -> MlctlError:
    """The error of an option that would change a plan which was reviewed already."""
    return MlctlError.of(
        "cli.usage",
        f"`{option}` has no effect on a saved plan",
        "a saved plan is applied exactly as it was reviewed",
        "leave it out, or make another plan with `mlctl plan --out`",
    )


def _name_here(workspace: Workspace) -> str | None:
    """The name of the project in this folder; None when there is none that can be read. It may well have changed since."""
    try:
        return workspace.loaded.name
    except MlctlError:
        return None
