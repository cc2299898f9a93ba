"""Write what a verdict asks for into the project file: the model of the arm that won, and no split any more."""

from __future__ import annotations

from typing import Any

from mlctl.cli.patching import Edit, Patched, patched
from mlctl.providers.ab_test.advising import Promotion
from mlctl.spec.editing import REMOVED
from mlctl.types.address import Address
from mlctl.types.diagnostic import MlctlError
from mlctl.workspace import Workspace


def patch_for(workspace: Workspace, promotion: Promotion) -> Patched:
    """The change. Raises MlctlError when the project does not say any more what was judged, or is written so that a person has to
    do it."""
    address = Address.parse(promotion.deployment)
    written: Any = getattr(workspace.project.resources.get(address), "spec", None)
    rollout = None if written is None else written.rollout
    if rollout is None or rollout.ab is None or promotion.arm not in rollout.ab.arms:
        raise MlctlError.of(
            "experiment.nothing-to-promote",
            f"{address} has no arm `{promotion.arm}` any more",
            "it was promoted already, or the split was changed",
            "run `mlctl plan`",
        )
    edits = [Edit(address, ("model",), promotion.model), Edit(address, ("rollout",), REMOVED)]
    try:
        return patched(workspace, edits, whole=True)
    except MlctlError as error:
        first = error.diagnostics[0]
        raise MlctlError.of(
            "experiment.edit-by-hand",
            f"{promotion.deployment} cannot be edited here",
            f"{first.summary}: {first.why}" if first.why else first.summary,
            f"write `model: {promotion.model}` and remove `rollout`",
        ) from None
