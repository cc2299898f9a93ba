"""MLflow as every worker program uses it: a store that is ready, an experiment, and runs that are found again by our marks.

A run or version counts as ours by its tags alone, so that a crash between making one and noting it makes no second one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException

from mlctl.files import atomic
from mlctl.files.lock import FileLock
from mlctl.runtime import secrets
from mlctl.types.diagnostic import MlctlError, said
from mlctl.types.jobs.tracking import LINEAGE_TAG, OBJECT_TAG, SQLITE, TrackingTarget
from mlctl.types.ownership import ADOPTED_TAG, owner_of

_SOURCE_TAG, _NAME_TAG = "mlflow.source.name", "mlflow.runName"
PARENT_TAG = "mlflow.parentRunId"  # MLflow shows such a run below the other


@contextlib.contextmanager
def tracking_errors(uri: str) -> Iterator[None]:
    """MLflow's own errors in our words. Everything done meanwhile can be repeated."""
    try:
        yield
    except MlflowException as error:
        raise MlctlError.of(
            "tracking.failed",
            f"MLflow did not do what it was asked for: {said(error)}",
            f"the tracking store is {uri}",
            "check that it can be reached and written to, then run the command again",
        ) from None


def connect(target: TrackingTarget) -> MlflowClient:
    """A client of the store, which is made when it does not exist. Call inside `tracking_errors`."""
    path = target.database(Path.cwd())
    if path is None:
        return MlflowClient(tracking_uri=target.uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(path.name + ".lock"))
    lock.acquire(blocking=True)  # two programs that meet no database would both build one
    try:
        beside = path.with_name(f".{path.name}.new")
        shutil.rmtree(beside, ignore_errors=True)  # what a kill left
        if not path.exists():
            _build(path, beside)
        try:
            with contextlib.closing(sqlite3.connect(path, timeout=20)) as database:
                database.execute("PRAGMA journal_mode=WAL")  # a write then costs a third; the file remembers it
        except sqlite3.Error as error:
            raise MlctlError.of(
                "tracking.bad-database",
                f"the tracking database {path} cannot be opened",
                str(error),
                "move the file away, or name another in `tracking.mlflow.uri`",
            ) from None
        client = MlflowClient(tracking_uri=f"{SQLITE}{path.resolve()}")
        client.search_experiments(max_results=1)
    finally:
        lock.release()
    return client


def _build(path: Path, folder: Path) -> None:
    """Make a database in a folder beside its place and swap it in. MLflow builds one in hundreds of statements that no
    transaction holds together, and what a kill among them leaves it can neither use nor go on with."""
    folder.mkdir()
    building, whole = folder.resolve() / "building.db", folder / "whole.db"
    MlflowClient(tracking_uri=f"{SQLITE}{building}").search_experiments(max_results=1)
    with contextlib.closing(sqlite3.connect(building)) as source, contextlib.closing(sqlite3.connect(whole)) as target:
        source.backup(target)  # a copy, since MLflow keeps the other one open
    for leftover in ("-wal", "-shm"):  # of a database that was removed; they must not be taken for the new one's
        path.with_name(path.name + leftover).unlink(missing_ok=True)
    os.replace(whole, path)
    atomic.sync_folder(path.parent)
    shutil.rmtree(folder, ignore_errors=True)


def experiment_id(client: MlflowClient, target: TrackingTarget) -> str:
    """The experiment of the project, made or restored when it is missing."""
    path = target.database(Path.cwd())
    found = client.get_experiment_by_name(target.experiment)
    if found is None:
        place = (path.parent / "mlartifacts").resolve().as_uri() if path is not None else None
        with contextlib.suppress(MlflowException):  # another program made it meanwhile
            return str(
                client.create_experiment(target.experiment, artifact_location=place, tags={LINEAGE_TAG: target.lineage})
            )
        found = client.get_experiment_by_name(target.experiment)
    if found.lifecycle_stage == "deleted":
        if found.tags.get(LINEAGE_TAG) != target.lineage:
            raise MlctlError.of(
                "provider.not-ours",
                f"the MLflow experiment `{target.experiment}` was deleted, and this project did not make it",
                owner_of(found.tags),
                f"restore it yourself (`mlflow experiments restore -x {found.experiment_id}`), or set another `tracking.mlflow.experiment`",
            )
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def own_runs(client: MlflowClient, target: TrackingTarget, *, everywhere: bool = False) -> list[Any]:
    """The runs of this object that are not deleted, oldest first: in the project's experiment, or in any."""
    if everywhere:
        places = [item.experiment_id for item in _experiments(client)]
    else:
        found = client.get_experiment_by_name(target.experiment)
        places = [] if found is None else [found.experiment_id]
    if not places:
        return []
    mine = f"tags.`{OBJECT_TAG}` = '{target.object}' AND tags.`{LINEAGE_TAG}` = '{target.lineage}'"
    return list(
        client.search_runs(
            places,
            filter_string=mine,
            run_view_type=ViewType.ACTIVE_ONLY,
            order_by=["attributes.start_time ASC"],
        )
    )


def runs_below(client: MlflowClient, run: Any) -> list[Any]:
    """The runs that name this one as their parent, such as the trials of a search."""
    below = f"tags.`{PARENT_TAG}` = '{run.info.run_id}'"
    return list(client.search_runs([run.info.experiment_id], filter_string=below))


def _experiments(client: MlflowClient) -> Iterator[Any]:
    token = None
    while True:
        page = client.search_experiments(page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def give_back(client: MlflowClient, run: Any, target: TrackingTarget) -> None:
    """Take our marks off a run that was there before us: last the one that keeps it from being deleted as our own."""
    for name in (*target.marks(), ADOPTED_TAG):
        if name in run.data.tags:
            client.delete_tag(run.info.run_id, name)


def open_run(client: MlflowClient, target: TrackingTarget, tags: Mapping[str, str]) -> Any:
    """The one run of this object, made when there is none, marked as running."""
    runs = own_runs(client, target)
    if not runs:
        name = target.address.partition(".")[2]
        own = {**tags, **target.labels, **target.marks()}
        everything = {_NAME_TAG: name, _SOURCE_TAG: "mlctl", **secrets.known().hidden(own)}
        return client.create_run(experiment_id(client, target), tags=everything, run_name=name)
    client.update_run(runs[0].info.run_id, status="RUNNING")
    set_tags(client, runs[0], {**tags, **target.labels})
    return client.get_run(runs[0].info.run_id)


def set_tags(client: MlflowClient, run: Any, tags: Mapping[str, str]) -> None:
    """Set the tags that are not so already; each costs a write."""
    for name, value in secrets.known().hidden(tags).items():
        if run.data.tags.get(name) != value:
            client.set_tag(run.info.run_id, name, value)
