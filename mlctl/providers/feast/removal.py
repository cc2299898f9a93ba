"""Take a view out of its registry and its online store: when it is deleted, and when the settings name other ones."""

from __future__ import annotations

from mlctl.launch import job
from mlctl.provider import Context
from mlctl.providers.feast import layout
from mlctl.types.address import ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.event import Progress
from mlctl.types.jobs.features import DeleteParams, MaterializeParams, Store
from mlctl.types.secret import settled
from mlctl.types.state import Record

PROGRAM = "features"
_DOWN = ("features.store-down", "features.registry-down")


def take_away(key: ObjectKey, view: str, store: Store, ctx: Context, *, declared: bool = True) -> bool:
    """Remove what is ours of a view, `declared` or only what is online. Gives whether a view of that name is left."""
    params = DeleteParams(view=view, store=store, marks=layout.marks_of(key, ctx), declared=declared)
    folder = ctx.folder(key) / "delete"
    job.discard(folder)
    return bool(job.run(PROGRAM, params.model_dump(mode="json"), folder, ctx).outputs["left"])


def leave_old_store(prior: Record | None, params: MaterializeParams, ctx: Context) -> None:
    """After a view was made in another store than before: take it out of the old one.

    A server that does not answer, perhaps since it was given up, holds nothing back; what stays there is said.
    """
    if prior is None or "store" not in prior.outputs:
        return
    old, new = (
        layout.made_in(prior, ctx),
        Store.model_validate(ctx.secrets.masked(params.store.model_dump(mode="json"))),
    )
    if settled(old.model_dump(mode="json")) == settled(new.model_dump(mode="json")):
        return
    declared = settled([old.project, old.registry]) != settled([new.project, new.registry])
    if not declared and settled(old.online.model_dump()) == settled(new.online.model_dump()):
        return
    try:
        take_away(prior.key, params.view, old, ctx, declared=declared)
    except MlctlError as error:
        if error.diagnostics[0].code not in _DOWN:
            raise
        ctx.progress(Progress(f"{params.view} stays in the store it was in before: {error.diagnostics[0].summary}"))
