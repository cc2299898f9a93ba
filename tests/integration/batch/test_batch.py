"""Batches of a real model over real files."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from mlctl.launch.job import JobState, state
from mlctl.processes import worker
from mlctl.provider import Condition, Desired
from mlctl.providers.batch.batch import batch_job
from mlctl.testing.harness import make_desired
from mlctl.types.address import ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.features import ViewSource
from mlctl.types.state import Record
from tests.integration.batch.project import BatchProject, shop_rows
from tests.integration.batch.project import table as rows_of
from tests.integration.serving.project import KEYS, expected

pytestmark = pytest.mark.tools


def table(record: Record, project: BatchProject) -> list[dict[str, Any]]:
    """All rows that a batch put out."""
    return rows_of(project.root / str(record.outputs["path"]))


def test_every_row_gets_the_score_of_serving_once_and_what_is_gone_is_made_again(project: BatchProject) -> None:
    rows = shop_rows(25)
    data, block = project.dataset(rows), {"columns": ["country"], "rows_per_part": 10, "output": "out/shops"}
    record = project.apply(project.desired(data, **block))
    found = table(record, project)
    assert [row["id"] for row in found] == [row["id"] for row in rows]
    assert [row["country"] for row in found] == [row["country"] for row in rows]
    assert [row["score"] for row in found] == pytest.approx(
        [expected("one", row["amount"], row["visits"]) for row in rows], abs=1e-6
    )
    assert [row["prediction"] for row in found] == [int(row["score"] >= 0.5) for row in found]
    assert {(row["model"], row["model_version"]) for row in found} == {("shops", "1")}
    assert len(record.outputs["files"]) == 3
    assert rows_of(project.root / "out" / "shops") == found  # the folder of the project shows the same
    seen = project.kind.read(record, project.ctx)
    assert seen is not None
    assert seen.condition is Condition.READY
    program = project.folder(project.desired(data, **block)) / "process.json"
    pid = program.read_text()
    (project.root / "out" / "shops").unlink()
    seen = project.kind.read(record, project.ctx)
    assert seen is not None
    assert seen.detail == "`out/shops` does not show these predictions"
    assert project.apply(project.desired(data, **block)).outputs == record.outputs
    assert rows_of(project.root / "out" / "shops") == found
    assert program.read_text() == pid  # nothing was predicted for that
    (project.root / record.outputs["files"][1]).unlink()
    seen = project.kind.read(record, project.ctx)
    assert seen is not None
    assert (seen.condition, seen.detail) == (Condition.BROKEN, "`part-00001.parquet` is gone, or was changed")
    kept = (project.root / record.outputs["files"][0]).stat().st_mtime_ns
    assert table(project.apply(project.desired(data, **block)), project) == found
    assert (project.root / record.outputs["files"][0]).stat().st_mtime_ns == kept  # that one part alone
    project.kind.delete(record, project.ctx)
    assert not os.path.lexists(project.root / "out" / "shops")
    assert not project.folder(project.desired(data, **block)).exists()


def test_another_version_other_rows_and_no_other_place_make_another_batch(project: BatchProject) -> None:
    data = project.dataset(shop_rows(5))
    identity = project.desired(data).identity
    assert project.desired(data, project.evaluation(version="2")).identity != identity
    assert project.desired(project.dataset(shop_rows(6))).identity != identity
    assert (
        project.desired(project.dataset(shop_rows(5)), executor="ray").identity == identity
    )  # where it runs is not what it is


def test_a_killed_batch_goes_on_with_the_next_part(project: BatchProject) -> None:
    desired = project.desired(project.dataset(shop_rows(40_000)), rows_per_part=1000)
    folder = project.folder(desired)
    errors: list[MlctlError] = []

    def apply() -> None:
        try:
            project.kind.apply(desired, None, project.ctx)
        except MlctlError as error:
            errors.append(error)

    thread = threading.Thread(target=apply)
    thread.start()
    deadline = time.monotonic() + 30
    while len(list((folder / "made").glob("*.json"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(json.loads((folder / "process.json").read_text())["pid"], signal.SIGKILL)
    thread.join()
    assert [error.diagnostics[0].code for error in errors] == ["job.died"]
    kept = {path.name: path.stat().st_mtime_ns for path in (folder / "made").glob("*.json")}
    assert 2 <= len(kept) < 40
    record = project.apply(desired)
    after = {path.name: path.stat().st_mtime_ns for path in (folder / "made").glob("*.json")}
    assert {name: after[name] for name in kept} == kept  # none of them was made twice
    assert [row["id"] for row in table(record, project)] == list(range(40_000))


@pytest.mark.soak
def test_a_batch_that_is_made_anew_has_the_same_bytes(project: BatchProject) -> None:
    desired = project.desired(project.dataset(shop_rows(2000)), rows_per_part=500)
    record = project.apply(desired)
    project.kind.delete(record, project.ctx)
    assert project.apply(desired).outputs["digest"] == record.outputs["digest"]


def prepared(project: BatchProject, name: str, desired: Desired) -> Path:
    """The folder of a job whose rows are read."""
    from mlctl.runtime.batch.rows import check_names, prepare

    folder = project.root / name
    folder.mkdir()
    job = batch_job(desired, project.ctx)
    check_names(job)
    prepare(job, folder)
    return folder


def test_only_rows_that_are_asked_for(project: BatchProject, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet as parquet

    monkeypatch.chdir(project.root)
    data = project.dataset(shop_rows(20))
    folder = prepared(project, "one", project.desired(data, where="country = 'de' AND visits > 3"))
    wanted = [row["id"] for row in shop_rows(20) if row["country"] == "de" and row["visits"] > 3]
    assert parquet.read_table(folder / "rows.parquet")["id"].to_pylist() == wanted
    none = prepared(project, "none", project.desired(data, where="visits > 1000"))
    assert parquet.read_table(none / "rows.parquet").num_rows == 0
    with pytest.raises(MlctlError) as caught:
        prepared(project, "bad", project.desired(data, where="county = 'de'"))
    assert caught.value.diagnostics[0].code == "batch.bad-where"


def test_what_cannot_be_predicted_says_why(project: BatchProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.root)
    rows = shop_rows(3)
    refused: list[tuple[list[dict[str, Any]], dict[str, Any], str]] = [
        ([{"id": 1, "amount": 1.0}], {}, "data.missing-column"),
        (rows, {"columns": ["town"]}, "data.missing-column"),
        ([{"id": 1, "amount": "x", "visits": 2}], {}, "batch.not-numeric"),
        ([{"id": 1, "amount": 1, "visits": 2, "score": 3}], {"columns": ["score"]}, "batch.name-collision"),
        (rows, {"generate": {"prompt": "country"}}, "batch.generate-unused"),
    ]
    for index, (given, block, code) in enumerate(refused):
        with pytest.raises(MlctlError) as caught:
            prepared(project, f"job{index}", project.desired(project.dataset(given, f"data{index}"), **block))
        assert caught.value.diagnostics[0].code == code
    for gate, code in (
        (project.evaluation(version=None), "model.none-passed"),
        (project.evaluation(model="gone"), "model.gone"),
    ):
        with pytest.raises(MlctlError) as caught:
            project.apply(project.desired(project.dataset(rows), gate))
        assert caught.value.diagnostics[0].code == code


def test_features_are_joined_as_they_were_known_and_a_stranger_gets_no_score(
    project: BatchProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    import duckdb

    from mlctl.runtime.batch.rows import Rows, inputs, unknown

    monkeypatch.chdir(project.root)
    snapshots = "VALUES (1, TIMESTAMP '2024-01-01', 2.0, 4), (1, TIMESTAMP '2024-01-03', 3.0, 5)"
    duckdb.execute(
        f"COPY (SELECT * FROM ({snapshots}) AS t(household_id, event_timestamp, amount, visits)) TO '{project.root}/views.parquet'"
    )
    view = {
        "view": "spending", "keys": KEYS, "offline": "views.parquet", "features": {"amount": "float64", "visits": "int64"},
        "ttl_seconds": None, "grid_seconds": 86_400, "until": "2024-01-03T00:00:00+00:00", "digest": "v",
    }  # fmt: skip
    made = Record(ObjectKey.parse("feature_views.spending#1"), "1", outputs=view)
    gate = project.evaluation(keys=KEYS)
    gate = Record(gate.key, gate.id, outputs={**gate.outputs, "views": [ViewSource.from_outputs(view).model_dump()]})
    at = ["2024-01-02 00:00:00", "2024-01-04 00:00:00", "2024-01-04 00:00:00"]
    rows = [{"id": index, "household_id": (1, 1, 9)[index], "at": moment} for index, moment in enumerate(at)]
    data = project.dataset(rows, timestamp="at")
    given = {"datasets.shops": data, "evaluations.gate": gate, "feature_views.spending": made}

    def desired(features: list[str]) -> Desired:
        values = {"model": "shops@champion", "dataset": "shops", "features": features}
        return make_desired(project.kind, "batch_predictions.x", values, project.ctx, given)

    folder = prepared(project, "job", desired(["spending"]))
    (found,) = Rows(folder).between(0, 3)
    assert inputs(found, 2)[:2].tolist() == [[2.0, 4.0], [3.0, 5.0]]
    assert unknown(found).tolist() == [False, False, True]
    assert found.column("id").to_pylist() == [0, 1, 2]
    with pytest.raises(MlctlError, match=r"batch\.other-views"):
        prepared(project, "other", desired([]))


@pytest.mark.soak
def test_a_batch_that_is_asked_to_stop_keeps_what_it_has(project: BatchProject) -> None:
    desired = project.desired(project.dataset(shop_rows(40_000)), rows_per_part=1000)
    folder: Path = project.folder(desired)

    def apply() -> None:
        with pytest.raises(MlctlError, match=r"job\.stopped|job\.died"):
            project.kind.apply(desired, None, project.ctx)

    thread = threading.Thread(target=apply)
    thread.start()
    deadline = time.monotonic() + 30
    while len(list((folder / "made").glob("*.json"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    worker.stop(folder, grace_seconds=20)
    thread.join()
    assert json.loads((folder / "result.json").read_text())["status"] == "preempted"
    assert state(folder) is JobState.DEAD
    assert project.apply(desired).outputs["rows"] == 40_000


@pytest.mark.filterwarnings("ignore:.*type hint:UserWarning")
def test_a_worker_of_a_cluster_makes_the_part_that_the_program_would(
    project: BatchProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlctl.runtime.batch.parts import note, parts
    from mlctl.runtime.batch.ray import _Worker
    from mlctl.runtime.batch.rows import prepare

    desired = project.desired(project.dataset(shop_rows(20)), rows_per_part=10)
    monkeypatch.chdir(project.root)
    job, folder = batch_job(desired, project.ctx), project.root / "there"
    folder.mkdir()
    worker_there = _Worker(job.model_dump(mode="json"), str(folder), str(project.root))
    for part in parts(prepare(job, folder), 10):
        assert worker_there.make(part.index, part.start, part.stop) is None
        assert note(folder, part) is not None
    wanted = [expected("one", row["amount"], row["visits"]) for row in shop_rows(20)]
    assert [row["score"] for row in rows_of(folder / "parts")] == pytest.approx(wanted, abs=1e-6)
    broken = job.model_copy(update={"model": job.model.model_copy(update={"folder": "models/bad"})})
    problem = _Worker(broken.model_dump(mode="json"), str(folder), str(project.root)).make(0, 0, 10)
    assert problem is not None
    assert problem["code"] == "model.unusable"


@pytest.mark.soak
def test_a_cluster_of_ray_makes_the_same_bytes_as_one_process(project: BatchProject) -> None:
    data = project.dataset(shop_rows(5000))
    there = project.apply(project.desired(data, rows_per_part=500, executor={"type": "ray", "workers": 2}))
    project.kind.delete(there, project.ctx)
    here = project.apply(project.desired(data, rows_per_part=500))
    assert here.outputs["digest"] == there.outputs["digest"]
    assert not [
        item
        for item in psutil.process_iter()
        if "raylet" in item.name() and str(project.root) in " ".join(item.cmdline())
    ]
