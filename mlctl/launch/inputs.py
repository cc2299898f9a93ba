"""What programs that predict are told: the model that a block names, the snapshots that its features come from, and the rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from mlctl.provider import Context, Desired, Input
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.jobs.features import ViewSource
from mlctl.types.jobs.train import TableInput
from mlctl.types.jobs.used_model import Made, UsedModel, used_model


def model_of(desired: Desired) -> UsedModel:
    """The model of the block's field `model`. Raises MlctlError."""
    inputs = [Made(at, item.outputs, item.digest) for at, item in desired.inputs.items() if isinstance(item, Input)]
    return used_model(desired.spec.model, inputs, str(desired.address))


def check_there(model: UsedModel, desired: Desired, ctx: Context) -> None:
    """The model's folder has to be there. Raises MlctlError."""
    if not ctx.path(model.folder).is_dir():
        raise MlctlError.of(
            "model.gone",
            f"the model folder `{model.folder}` does not exist",
            f"it is that of {model.name} version {model.version}",
            "run `mlctl plan --refresh=deep`",
            address=str(desired.address),
        )


def with_snapshots(
    model: UsedModel,
    desired: Desired,
    features: Sequence[str],
    differ: Callable[[Collection[str], Collection[str]], Diagnostic],
) -> UsedModel:
    """The model with the snapshots of the block's own inputs, as they are now, in the order that it reads them.

    Raises MlctlError, as `differ` says it of what the model reads and what is named, when those are not the same views.
    """
    views = [ViewSource.from_outputs(desired.input("feature_views", name).outputs) for name in features]
    reads, named = [view.view for view in model.views], {view.view for view in views}
    if {*reads} != named:
        raise MlctlError([differ({*reads}, named)])
    return model.model_copy(update={"views": sorted(views, key=lambda view: reads.index(view.view))})


def rows_of(desired: Desired, code: str, why: str) -> TableInput:
    """The rows of the block's field `dataset`, which have to be in files. Raises MlctlError `code`."""
    name: str = desired.spec.dataset
    outputs = desired.input("datasets", name).outputs
    if "files" not in outputs:
        raise MlctlError.of(
            code,
            f"the rows of datasets.{name} stay in their database",
            why,
            f"remove `copy: false` from datasets.{name}",
            address=str(desired.address),
        )
    return TableInput.of(name, outputs)
