"""The block of a stream: what is refused, and what the worker is told."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from mlctl.provider import Condition, Kind, Logs
from mlctl.providers.faststream.spec import StreamSpec
from mlctl.providers.faststream.stream import Stream, stream_job
from mlctl.testing.harness import make_context, make_desired
from mlctl.types.address import Address, ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.features import FeatureColumn, Key, Marks, MaterializeParams, SqliteOnline, Store
from mlctl.types.jobs.profile import Source
from mlctl.types.state import Record

KAFKA = {"type": "kafka", "servers": "127.0.0.1:9092"}
BLOCK: dict[str, Any] = {"view": "activity", "broker": KAFKA, "topic": "trips"}
KEY = ObjectKey.parse("streams.live#")


def spec(**changes: Any) -> StreamSpec:
    return StreamSpec.model_validate({**BLOCK, **changes})


def test_is_a_kind_with_a_log() -> None:
    assert isinstance(Stream(), Kind)
    assert isinstance(Stream(), Logs)


@pytest.mark.parametrize(
    "changes",
    [
        {"broker": {"type": "nats", "servers": "a:1"}},
        {"broker": {"type": "kafka", "servers": "localhost"}},
        {"broker": {"type": "kafka", "servers": "localhost:99999"}},
        {"broker": {"type": "kafka", "servers": "kafka://localhost:9092"}},
        {"broker": {"type": "kafka", "servers": []}},
        {"broker": {**KAFKA, "url": "redis://a"}},
        {"broker": {**KAFKA, "sasl": {"username": "u"}}},
        {"broker": {"type": "redis", "url": "localhost:6379"}},
        {"broker": {"type": "redis", "url": "http://localhost"}},
        {"topic": "trips of today"},
        {"topic": ""},
        {"format": "avro"},
        {"lateness": "2d"},
        {"lateness": 10},
        {"offset": "latest"},
    ],
)
def test_a_block_that_could_not_work_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        spec(**changes)


def test_certificates_have_to_be_there(tmp_path: Path) -> None:
    ctx = make_context(tmp_path)

    def codes(ca: str | None) -> list[str]:
        return [item.code for item in Stream().check(spec(broker={**KAFKA, "tls": {"ca": ca}}), ctx)]

    assert codes("ca.pem") == ["stream.no-ca"]
    assert codes("../ca.pem") == ["spec.path-outside"]
    (tmp_path / "ca.pem").write_text("")
    assert codes("ca.pem") == codes(None) == []


def test_views_that_cannot_take_a_stream_are_refused(tmp_path: Path) -> None:
    def codes(
        online: bool = True, precomputed: bool = False, key: tuple[str, ...] = ("id",), streams: int = 1
    ) -> list[str]:
        specs: dict[Address, Any] = {
            Address("feature_views", "activity"): SimpleNamespace(
                online=online, precomputed=precomputed, source="trips"
            ),
            Address("datasets", "trips"): SimpleNamespace(key=list(key)),
            **{Address("streams", f"s{number}"): spec() for number in range(streams)},
        }
        return [item.code for _, item in Stream().check_together(specs, {}, make_context(tmp_path))]

    assert codes() == []
    assert codes(online=False) == ["stream.view-offline"]
    assert codes(precomputed=True) == ["stream.no-windows"]
    assert codes(key=()) == ["stream.no-key"]
    assert codes(streams=3) == ["stream.view-taken", "stream.view-taken"]


def params(key: list[str]) -> MaterializeParams:
    return MaterializeParams(
        view="activity",
        entity="user",
        keys=[Key(name="user_id", type="int64")],
        source=Source(files=["t.parquet"], format="parquet", columns={"id": "bigint"}, key=key),
        timestamp="at",
        source_digest="d",
        features=[FeatureColumn(name="n", aggregate="count", column=None, window_steps=2, dtype="int64")],
        grid_seconds=60,
        ttl_seconds=None,
        online=True,
        snapshot=".mlctl/default/features/offline/activity.parquet",
        store=Store.model_validate(
            {"project": "p", "registry": "r", "online": SqliteOnline(path="o"), "offline": {"type": "duckdb"}}
        ),
        marks=Marks(lineage="l", object="o"),
    )


def view(tmp_path: Path, key: list[str], *, folder: str = "materialize") -> Record:
    record = Record(
        ObjectKey.parse("feature_views.activity#"), "activity", outputs={"evidence": {"online_until": "2026-01-01"}}
    )
    place = make_context(tmp_path).folder(record.key) / folder
    place.mkdir(parents=True)
    stored = params(key).model_dump(mode="json")
    told = {"op": "adopt", "wanted": stored} if folder == "adopt" else stored
    (place / "job.json").write_text(json.dumps({"program": "features", "params": told}))
    return record


def job(tmp_path: Path, record: Record, **changes: Any) -> dict[str, Any]:
    ctx = make_context(tmp_path)
    desired = make_desired(Stream(), "streams.live", {**BLOCK, **changes}, ctx, {"feature_views.activity": record})
    return stream_job(desired, desired.input("feature_views", "activity"), ctx).model_dump(mode="json")


def test_every_field_of_a_block_reaches_the_worker(tmp_path: Path) -> None:
    made = view(tmp_path, ["id"])
    base = job(tmp_path, made)
    assert base["log"] == ".mlctl/default/features/streams/activity"
    assert base["group"] == "mlctl-test-default-live"
    for changes in (
        {"topic": "other"},
        {"group": "mine"},
        {"lateness": "1m"},
        {"broker": {"type": "redis", "url": "redis://localhost"}},
        {"broker": {**KAFKA, "servers": ["a:1", "b:2"]}},
        {"broker": {**KAFKA, "tls": {}}},
        {"broker": {**KAFKA, "tls": {"ca": "ca.pem"}}},
        {"broker": {**KAFKA, "sasl": {"username": "u", "password": "p"}}},
        {"broker": {**KAFKA, "sasl": {"username": "u", "password": "p", "mechanism": "PLAIN"}}},
    ):
        assert job(tmp_path, made, **changes) != base
    assert job(tmp_path, made, lateness="10s", format="json", group=None) == base  # defaults written out are no change


def test_a_view_that_was_taken_over_can_be_streamed_into(tmp_path: Path) -> None:
    assert job(tmp_path, view(tmp_path, ["id"], folder="adopt"))["view"]["view"] == "activity"


def test_a_view_without_a_key_or_of_another_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MlctlError) as raised:
        job(tmp_path / "a", view(tmp_path / "a", []))
    assert raised.value.diagnostics[0].code == "stream.no-key"
    unknown = view(tmp_path / "b", ["id"])
    (make_context(tmp_path / "b").folder(unknown.key) / "materialize" / "job.json").write_text("{}")
    with pytest.raises(MlctlError) as raised:
        job(tmp_path / "b", unknown)
    assert raised.value.diagnostics[0].code == "stream.view-unknown"


def test_a_stream_that_was_never_started(tmp_path: Path) -> None:
    kind, ctx = Stream(), make_context(tmp_path)
    assert kind.read(Record(KEY), ctx) is None
    assert kind.log(Record(KEY), ctx) is None
    assert kind.describe(Record(KEY)) == ""
    kind.delete(Record(KEY), ctx)


def test_a_dead_worker_says_why_it_ended(tmp_path: Path) -> None:
    kind, ctx = Stream(), make_context(tmp_path)
    folder = ctx.folder(KEY) / "worker"
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps({"diagnostics": [{"summary": "no broker", "why": "refused"}]}))
    seen = kind.read(Record(KEY, "live", outputs={"topic": "t", "view": "v"}), ctx)
    assert seen is not None
    assert seen.condition is Condition.BROKEN
    assert "no broker: refused" in seen.detail
