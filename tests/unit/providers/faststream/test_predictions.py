"""The block of stream predictions: what is refused, what the worker is told, and what is shown of it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from mlctl.provider import Condition, Kind, Logs
from mlctl.providers.faststream.predictions import StreamPredictions, prediction_job
from mlctl.providers.faststream.predictions_spec import StreamPredictionsSpec
from mlctl.testing.harness import make_context, make_desired
from mlctl.types.address import Address, ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Record

KAFKA = {"type": "kafka", "servers": "127.0.0.1:9092"}
BLOCK: dict[str, Any] = {"model": "churn@champion", "broker": KAFKA, "topic": "visits", "output": {"topic": "scores"}}
VIEW = {"view": "spending", "keys": [{"name": "id", "type": "int64"}], "features": ["a"], "ttl_seconds": None}
SERVING = {"columns": ["a"], "keys": VIEW["keys"], "views": [VIEW], "store": None, "transformations": []}


def spec(**changes: Any) -> StreamPredictionsSpec:
    return StreamPredictionsSpec.model_validate({**BLOCK, **changes})


def test_is_a_kind_with_a_log() -> None:
    assert isinstance(StreamPredictions(), Kind)
    assert isinstance(StreamPredictions(), Logs)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "churn"},
        {"topic": "visits of today"},
        {"output": {"topic": "visits"}},  # would be predicted again
        {"dead_letters": {"topic": "scores"}},
        {"dead_letters": {"topic": "visits"}},
        {"dead_letters": {"topic": "rejects"}, "on_bad": "stop"},
        {"on_bad": "drop"},
        {"batch": {"max_records": 0}},
        {"batch": {"max_wait": 5}},
        {"key": ""},
    ],
)
def test_a_block_that_could_not_work_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        spec(**changes)


def made(root: Path, serving: Any = SERVING, **changes: Any) -> Any:
    outputs = {
        "name": "churn", "alias": "champion", "version": "3", "model": "model", "serving": serving, "task": "causal_lm", "digest": "d",
    }  # fmt: skip
    gate = Record(ObjectKey.parse("evaluations.gate#1"), "1", outputs=outputs)
    ctx = make_context(root)
    desired = make_desired(
        StreamPredictions(), "stream_predictions.live", {**BLOCK, **changes}, ctx, {"evaluations.gate": gate}
    )
    return prediction_job(desired, ctx)


def test_the_worker_is_told_all_that_it_needs(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    job = made(tmp_path)
    assert (job.group, job.topic, job.output, job.max_records) == ("mlctl-test-default-live", "visits", "scores", 256)
    assert (job.model.name, job.model.version, job.model.views) == ("churn", "3", [])
    assert made(tmp_path, batch={"max_wait": "5ms"}).max_wait_seconds == 0.005
    assert made(tmp_path, dead_letters={"topic": "rejects"}).dead_letters == "rejects"


def test_a_language_model_and_one_that_is_gone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MlctlError, match=r"model\.gone"):
        made(tmp_path)
    with pytest.raises(MlctlError, match=r"stream\.language-model"):
        made(tmp_path, serving=None)


def test_views_that_are_not_online_and_a_group_of_two_are_told_in_the_plan(tmp_path: Path) -> None:
    training, view = Address("training", "churn"), Address("feature_views", "spending")

    def codes(online: bool = True, **groups: str | None) -> list[str]:
        mine = {Address("stream_predictions", name): spec(group=group) for name, group in groups.items()}
        trained = SimpleNamespace(model=SimpleNamespace(type="mlp"))
        specs = {**mine, training: trained, view: SimpleNamespace(online=online)}
        uses = {**{address: {training} for address in mine}, training: {view}}
        return [item.code for _, item in StreamPredictions().check_together(specs, uses, make_context(tmp_path))]

    assert codes(a=None, b=None) == []
    assert codes(online=False, a=None) == ["stream.view-offline"]
    assert codes(a="mine", b="mine") == ["stream.group-taken"]
    assert codes(a="mine", b="yours") == []


def test_a_worker_that_is_gone_says_why(tmp_path: Path) -> None:
    ctx = make_context(tmp_path)
    record = Record(ObjectKey.parse("stream_predictions.live#"), "live", outputs={})
    folder = ctx.folder(record.key) / "worker"
    assert StreamPredictions().read(record, ctx) is None
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps({"diagnostics": [{"summary": "it ended", "why": "of this"}]}))
    seen = StreamPredictions().read(record, ctx)
    assert seen is not None
    assert seen.condition is Condition.BROKEN
    assert seen.detail.endswith("; it ended: of this")
