"""The `feature_views` kind: windows over a source's events, as snapshots for training and as latest values for serving."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from mlctl.launch import job
from mlctl.provider import Condition, Context, Desired, Family, Observed, Outcome, diff_fields
from mlctl.providers.feast import layout
from mlctl.providers.feast.removal import leave_old_store, take_away
from mlctl.providers.feast.rules import block_problems
from mlctl.providers.feast.source_rules import source_problems
from mlctl.providers.feast.spec import Computed, FeatureViewSpec
from mlctl.providers.feast.store_rules import store_problems, warehouse_problems
from mlctl.types.address import Address
from mlctl.types.change import FieldChange, FieldClass
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.job import JOB_FILE, LOG_FILE, RESULT_FILE, JobResult
from mlctl.types.jobs.features import AdoptViewParams, FeatureColumn, MaterializeParams
from mlctl.types.jobs.profile import Source
from mlctl.types.ownership import not_found
from mlctl.types.state import Record
from mlctl.types.value import Json

PROGRAM = "features"
_DESCRIPTION = re.compile(r"features\.[^.]+\.description")


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
        """The rules of the block and of the store; those of its source wait for the source's columns."""
        return (*block_problems(spec), *store_problems(spec, layout.settings_of(ctx)))

    def check_together(
        self, specs: Mapping[Address, Any], uses: Mapping[Address, Collection[Address]], ctx: Context
    ) -> Iterable[tuple[Address, Diagnostic]]:
        """A view of an offline store in a warehouse has its rows there."""
        return warehouse_problems(specs, layout.settings_of(ctx))

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
        """Field by field; what a feature is said to mean changes nothing of it."""
        return [
            replace(item, field_class=FieldClass.METADATA) if _DESCRIPTION.fullmatch(item.path) else item
            for item in diff_fields(desired, prior, seen)
        ]

    def apply(self, desired: Desired, prior: Record | None, ctx: Context) -> Outcome:
        """Check the source, then materialize. The old snapshots and values stay until the new ones are ready."""
        params = render(desired, ctx)
        wanted = params.model_dump(mode="json")
        folder = _materialize_folder(desired, ctx)
        _clear_leftovers(folder, wanted, desired, ctx)
        result = job.run(PROGRAM, wanted, folder, ctx)
        leave_old_store(prior, params, ctx)
        return Outcome(params.view, _with_origin(result.outputs, desired))

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
        return Outcome(params.view, _with_origin(result.outputs, desired))

    def delete(self, prior: Record, ctx: Context) -> None:
        """Take the view out of the registry and the online store, and remove its snapshots; one that was taken over is given back."""
        view = layout.feast_name(prior.key.address.name)
        folder = ctx.folder(prior.key)
        job.discard(folder / "materialize")
        left, store = False, layout.made_in(prior, ctx)
        # A view or a table without our mark may be somebody else's: only Feast can tell.
        if layout.may_be_there(prior.key, view, store, ctx):
            left = take_away(prior.key, view, store, ctx)
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
        rows, keys, until = (outputs.get(name) for name in ("rows", "snapshot_keys", "until"))
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
    return MaterializeParams(
        view=view,
        entity=entity["name"],
        keys=entity["keys"],
        source=_files(dataset),
        remote=dataset.get("remote"),
        timestamp=dataset["timestamp"],
        source_digest=dataset["digest"],
        log=None if spec.precomputed else layout.stream_log(view, ctx),
        where=spec.where,
        expressions=spec.columns,
        features=[
            _column(spec, item) for item in sorted(spec.computed(), key=lambda item: item.name)
        ],  # their order in the file means nothing
        grid_seconds=0 if spec.precomputed else int(spec.grid),
        sparse=spec.snapshots == "sparse",
        ttl_seconds=None if spec.ttl is None else int(spec.ttl),
        online=spec.online,
        snapshot=layout.snapshot_of(view, ctx),
        store=layout.store_of(ctx),
        marks=layout.marks_of(desired.key, ctx),
    )


def _column(spec: FeatureViewSpec, item: Computed) -> FeatureColumn:
    feature = item.feature
    return FeatureColumn(
        name=item.name,
        aggregate=feature.aggregate,
        column=item.name if spec.precomputed and feature.column is None else feature.column,
        over=feature.over,
        where=feature.where,
        window_steps=0 if item.window is None else int(item.window // spec.grid),
        dtype=feature.type,
    )


def _with_origin(outputs: Mapping[str, Json], desired: Desired) -> dict[str, Json]:
    """The outputs with the data set that each column of the lineage is of."""
    source = f"datasets.{desired.spec.source}"
    told = {
        name: {**item, "from": [[source, column] for column in item["columns"]], "how": _how(item)}
        for name, item in outputs["lineage"].items()
    }
    return {**outputs, "lineage": told}


def _how(item: Mapping[str, Json]) -> str:
    window = f" of {item['window']}" if item["window"] else ""
    where = f" where {item['where']}" if item["where"] else ""
    return f"{item['aggregate'] or 'as it is'}{window}{where}"


def _files(dataset: Mapping[str, Json]) -> Source:
    """The rows of the data set; no files of one that stays in a warehouse."""
    if dataset.get("remote") is None:
        return Source.of(dataset)
    return Source(files=[], format="parquet", columns=dataset["columns"], timestamp=dataset["timestamp"])


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
