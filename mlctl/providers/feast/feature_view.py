"""The `feature_views` kind: windows over a source's events, as snapshots for training and as latest values for serving."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from mlctl.launch import job
from mlctl.provider import Condition, Context, Desired, Family, Observed, Outcome, diff_fields
from mlctl.providers.feast import layout
from mlctl.providers.feast.rules import block_problems, source_problems
from mlctl.providers.feast.spec import FeatureViewSpec
from mlctl.types.change import FieldChange, FieldClass
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.job import JOB_FILE, LOG_FILE, RESULT_FILE, JobResult
from mlctl.types.jobs.features import AdoptViewParams, DeleteParams, FeatureColumn, MaterializeParams
from mlctl.types.jobs.profile import Source
from mlctl.types.ownership import not_found
from mlctl.types.state import Record
from mlctl.types.value import Json

PROGRAM = "features"


class FeatureView:
    """One worker run computes the snapshots, declares the view in Feast, and fills its online table."""

    section: ClassVar[str] = "feature_views"
    family: ClassVar[Family] = Family.DEFINITION
    spec: ClassVar[type[FeatureViewSpec]] = FeatureViewSpec
    identity: ClassVar[frozenset[str]] = frozenset()
    field_class: ClassVar[FieldClass] = FieldClass.FEATURES
    settings: ClassVar[frozenset[str]] = frozenset({"feature_store"})
    named_by_address: ClassVar[bool] = True  # Feast, its tables and the snapshots know it by its name

    def check(self, spec: FeatureViewSpec, ctx: Context) -> Sequence[Diagnostic]:
        """The rules of the block; those of its source wait for the source's columns."""
        return tuple(block_problems(spec))

    def read(self, prior: Record, ctx: Context) -> Observed | None:
        """Snapshot file, registry and online table, by size, mark and row count. None when the snapshots are gone."""
        snapshots = prior.outputs.get("offline")
        if snapshots is None or not (ctx.root / snapshots).is_file():
            return None
        try:
            problem = layout.trouble(prior.key, prior.outputs, ctx)
        except (KeyError, TypeError, ValueError):
            problem = "its record does not say what was made"
        return Observed() if problem is None else Observed(condition=Condition.BROKEN, detail=problem)

    def diff(self, desired: Desired, prior: Record, seen: Observed) -> Sequence[FieldChange]:
        """Field by field."""
        return diff_fields(desired, prior, seen)

    def apply(self, desired: Desired, prior: Record | None, ctx: Context) -> Outcome:
        """Check the source, then materialize. The old snapshots and values stay until the new ones are ready."""
        params = render(desired, ctx)
        wanted = params.model_dump(mode="json")
        folder = _materialize_folder(desired, ctx)
        _clear_leftovers(folder, wanted, desired, ctx)
        result = job.run(PROGRAM, wanted, folder, ctx)
        return Outcome(params.view, result.outputs)

    def adopt(self, desired: Desired, id: str, ctx: Context) -> Outcome:
        """Take over the view that Feast knows by this name, when definition and snapshots are what would be made."""
        params = render(desired, ctx)
        layout.expect_name(id, params.view, desired.address)
        if not layout.has_registry(ctx):
            why = f"there is no registry {params.store.registry}"
            raise not_found(
                f"feature view `{id}` in Feast", why, str(desired.address), "run `mlctl apply`: it makes the view"
            )
        folder = ctx.folder(desired.key) / "adopt"
        job.discard(folder)  # an earlier look says nothing about the view now
        result = job.run(PROGRAM, AdoptViewParams(wanted=params).model_dump(mode="json"), folder, ctx)
        return Outcome(params.view, result.outputs)

    def delete(self, prior: Record, ctx: Context) -> None:
        """Take the view out of the registry and the online store, and remove its snapshots; one that was taken over is given back."""
        view = layout.feast_name(prior.key.address.name)
        folder = ctx.folder(prior.key)
        job.discard(folder / "materialize")
        left = False
        # A view or a table without our mark may be somebody else's: only Feast can tell.
        if layout.is_registered(prior.key, ctx) or (
            layout.has_registry(ctx) and (layout.has_online_table(view, ctx) or layout.mentions(view, ctx))
        ):
            params = DeleteParams(view=view, store=layout.store_of(ctx), marks=layout.marks_of(prior.key, ctx))
            job.discard(folder / "delete")
            left = bool(job.run(PROGRAM, params.model_dump(mode="json"), folder / "delete", ctx).outputs["left"])
        else:
            layout.drop_online_table(view, ctx)
        snapshot = ctx.root / layout.snapshot_of(view, ctx)
        snapshot.with_name(f".{snapshot.name}.new").unlink(missing_ok=True)
        if not left:
            snapshot.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)

    def log(self, prior: Record, ctx: Context) -> Path | None:
        """The log of the last materialization."""
        path = ctx.folder(prior.key) / "materialize" / LOG_FILE
        return path if path.exists() else None

    def describe(self, prior: Record) -> str:
        """How much there is, up to when, and whether it is served."""
        outputs = prior.outputs
        rows, keys, until = (outputs.get(name) for name in ("rows", "keys", "until"))
        if rows is None or keys is None or until is None:
            return ""
        served = ", online" if outputs.get("online") else ""
        return f"{rows:,} snapshots of {keys:,} keys until {until[:16].replace('T', ' ')}{served}"


def render(desired: Desired, ctx: Context) -> MaterializeParams:
    """The block and the outputs of its source and entity as parameters of the worker. Raises MlctlError with all problems."""
    spec: FeatureViewSpec = desired.spec
    dataset, entity = desired.input("datasets", spec.source).outputs, desired.input("entities", spec.entity).outputs
    problems = list(source_problems(spec, entity, dataset, desired.address))
    if problems:
        raise MlctlError(problems)
    view = layout.feast_name(desired.address.name)
    columns = [
        FeatureColumn(
            name=name,
            aggregate=item.aggregate,
            column=item.column,
            window_steps=int(item.window // spec.grid),
            dtype=item.type,
        )
        for name, item in sorted(spec.features.items())  # their order in the file means nothing
    ]
    return MaterializeParams(
        view=view,
        entity=entity["name"],
        join_key=entity["join_key"],
        key_type=entity["dtype"],
        source=Source.of(dataset),
        timestamp=dataset["timestamp"],
        source_digest=dataset["digest"],
        features=columns,
        grid_seconds=int(spec.grid),
        ttl_seconds=None if spec.ttl is None else int(spec.ttl),
        online=spec.online,
        snapshot=layout.snapshot_of(view, ctx),
        store=layout.store_of(ctx),
        marks=layout.marks_of(desired.key, ctx),
    )


def _materialize_folder(desired: Desired, ctx: Context) -> Path:
    return ctx.folder(desired.key) / "materialize"


def _clear_leftovers(folder: Path, wanted: Mapping[str, Json], desired: Desired, ctx: Context) -> None:
    """Remove a job that would be taken for the one wanted: one of other parameters that still runs, or one whose work is gone."""
    try:
        stored = json.loads((folder / JOB_FILE).read_bytes())["params"]
    except (OSError, ValueError, KeyError):
        return
    if stored != wanted:
        job.discard(folder)
    elif job.state(folder) is job.JobState.DONE:
        made = JobResult.from_json(json.loads((folder / RESULT_FILE).read_bytes()))
        if layout.trouble(desired.key, made.outputs, ctx) is not None:
            job.discard(folder)
