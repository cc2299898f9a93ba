from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mlctl.provider import Kind
from mlctl.providers.serving.deployment import Deployment, server_job
from mlctl.providers.serving.releases import releases
from mlctl.providers.serving.spec.deployment import DeploymentSpec
from mlctl.testing.harness import make_context, make_desired
from mlctl.types.address import ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Record

BLOCK = {"model": "shops@champion", "serve": {"port": 8080}}
KEY = ObjectKey.parse("deployments.api#")


def evaluation(**outputs: Any) -> Record:
    serving = {"columns": ["a", "b"], "keys": [], "views": [], "store": None}
    made = {
        "name": "shops",
        "alias": "champion",
        "version": 3,
        "model": "models/3",
        "serving": serving,
        "digest": "d",
        **outputs,
    }
    return Record(ObjectKey.parse("evaluations.gate#1"), "1", outputs=made)


def apply_code(tmp_path: Path, inputs: dict[str, Record], block: dict[str, Any] | None = None) -> str:
    kind, ctx = Deployment(), make_context(tmp_path)
    with pytest.raises(MlctlError) as raised:
        kind.apply(make_desired(kind, "deployments.api", block or BLOCK, ctx, inputs), None, ctx)
    assert not (ctx.folder(KEY)).exists()
    return raised.value.diagnostics[0].code


def test_is_a_kind() -> None:
    assert isinstance(Deployment(), Kind)


def test_apply_refuses_what_it_cannot_serve_before_anything_is_made(tmp_path: Path) -> None:
    assert apply_code(tmp_path, {}) == "deploy.unknown-model"
    assert apply_code(tmp_path, {"evaluations.gate": evaluation(alias="other")}) == "deploy.unknown-model"
    assert apply_code(tmp_path, {"evaluations.gate": evaluation(version=None, model=None)}) == "deploy.no-champion"
    assert apply_code(tmp_path, {"evaluations.gate": evaluation()}) == "deploy.model-gone"
    (tmp_path / "models" / "3").mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        block = {**BLOCK, "serve": {"port": stranger.getsockname()[1]}}
        assert apply_code(tmp_path, {"evaluations.gate": evaluation()}, block) == "deploy.port-in-use"


def test_features_without_predictions_are_refused(tmp_path: Path) -> None:
    kind, ctx = Deployment(), make_context(tmp_path)

    def check(log: dict[str, Any]) -> list[str]:
        return [item.code for item in kind.check(DeploymentSpec.model_validate({**BLOCK, "log": log}), ctx)]

    assert check({"predictions": False, "features": True}) == ["deploy.log-without-predictions"]
    assert check({"predictions": False, "keep": "7d"}) == ["deploy.log-without-predictions"]
    assert check({"predictions": True, "keep": "7d"}) == []
    assert check({"predictions": False}) == check({"predictions": False, "features": False}) == check({}) == []


def test_a_log_is_kept_for_a_time_that_dates_can_say() -> None:
    for keep in ("12h", "100000000d"):
        with pytest.raises(ValidationError):
            DeploymentSpec.model_validate({**BLOCK, "log": {"keep": keep}})


def test_every_field_of_a_block_reaches_the_server() -> None:
    def job(**serve: Any) -> dict[str, Any]:
        log = serve.pop("log", {})
        spec = DeploymentSpec.model_validate({**BLOCK, "serve": {"port": 8080, **serve}, "log": log})
        return server_job("api", spec, evaluation().outputs, "p").model_dump(mode="json")

    base = job()
    for changed in (
        job(port=8081),
        job(host="::1"),
        job(timeout="5s"),
        job(batching={"max_size": 7}),
        job(batching={"max_wait": "1ms"}),
        job(log={"features": False}),
        job(log={"keep": "30d"}),
        job(log={"predictions": False}),
    ):
        assert changed != base
    assert job(batching={"max_size": 32, "max_wait": "0s"}, timeout="30s") == base  # defaults written out are no change


def test_a_deployment_that_was_never_started(tmp_path: Path) -> None:
    kind, ctx = Deployment(), make_context(tmp_path)
    cut_off = Record(KEY)
    assert kind.read(cut_off, ctx) is None
    assert kind.log(cut_off, ctx) is None
    assert kind.describe(cut_off) == ""
    kind.delete(cut_off, ctx)
    gone = Record(KEY, "4", outputs={"url": "http://127.0.0.1:1", "port": 1})
    assert kind.read(gone, ctx) is None
    kind.delete(gone, ctx)
    assert releases(ctx.folder(KEY) / "releases") == []


def test_delete_keeps_the_prediction_log(tmp_path: Path) -> None:
    kind, ctx = Deployment(), make_context(tmp_path)
    folder = ctx.folder(KEY)
    (folder / "releases" / "1").mkdir(parents=True)
    (folder / "predictions").mkdir()
    (folder / "predictions" / "2026-03-01.jsonl").write_text("{}\n")
    kind.delete(Record(KEY, "1"), ctx)
    assert [path.name for path in folder.iterdir()] == ["predictions"]
