from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mlctl.providers.serving.deployment import Deployment
from mlctl.providers.serving.observing import observation, observe_problems
from mlctl.providers.serving.spec.deployment import DeploymentSpec
from mlctl.providers.serving.spec.observe import TracesSpec
from mlctl.providers.serving.wanted import wanted
from mlctl.testing.harness import make_context
from mlctl.types.jobs.observe import UNOBSERVED
from mlctl.types.jobs.rollout import Revision

KUBERNETES = {
    "type": "kubernetes", "namespace": "ml", "image": "r/s:1", "models": {"url": "pvc://m/x"}, "cpus": "1", "memory": "1Gi",
}  # fmt: skip
VLLM = {"port": 8080, "engine": "vllm"}


def spec(**block: Any) -> DeploymentSpec:
    return DeploymentSpec.model_validate({"model": "shops@champion", "serve": {"port": 8080}, **block})


def problems(tmp_path: Path, **block: Any) -> list[tuple[str, tuple[str | int, ...]]]:
    return [(item.code, tuple(item.path)) for item in observe_problems(spec(**block), make_context(tmp_path))]


def test_a_deployment_that_says_nothing_is_told_nothing() -> None:
    assert observation(spec(), "p/predictions") == UNOBSERVED


def test_what_is_asked_for_is_what_servers_are_told() -> None:
    observe = {
        "traces": {"endpoint": "http://127.0.0.1:4318", "sample": 0.5, "headers": {"x-project": "7"}}, "explain": {"per_minute": 60}, "logs": "json",
    }  # fmt: skip
    rollout = {"canary": {"steps": [{"weight": 10}]}, "unit": "X-User-Id"}
    found = observation(spec(observe=observe, rollout=rollout), "objects/api/self/predictions")
    assert found.unit_header == "x-user-id"
    assert found.traces is not None
    assert (found.traces.endpoint, found.traces.sample, found.traces.headers) == (
        "http://127.0.0.1:4318",
        0.5,
        {"x-project": "7"},
    )
    assert found.explain is not None
    assert (found.explain.per_minute, found.explain.method, found.explain.folder) == (
        60,
        "auto",
        "objects/api/self/explanations",
    )
    assert found.json_logs


def test_a_unit_counts_only_where_a_gateway_splits_by_it() -> None:
    assert observation(spec(rollout={"all_at_once": True}), "p").unit_header is None


@pytest.mark.parametrize("traced", [True, False])
def test_a_gateway_is_traced_when_its_servers_are(traced: bool) -> None:
    observe = {"traces": {"endpoint": "http://127.0.0.1:4318"}, "logs": "json"} if traced else {}
    found = spec(observe=observe, rollout={"canary": {"steps": [{"weight": 10}]}})
    revision = Revision(digest="d", model="shops", version="1", program="server", params={})
    told = wanted("deployments.api", "api", found, {"shops@champion": revision})
    assert (told.gateway.traced, told.json_logs) == (traced, traced)


@pytest.mark.parametrize(
    ("block", "path"),
    [
        ({"observe": {"capture": "full"}}, ("observe", "capture")),
        ({"serve": VLLM, "log": {"predictions": False}, "observe": {"capture": "hash"}}, ("observe", "capture")),
        ({"serve": VLLM, "observe": {"explain": {}}}, ("observe", "explain")),
        ({"target": KUBERNETES, "observe": {"explain": {}}}, ("observe", "explain")),
        (
            {"target": KUBERNETES, "serve": VLLM, "observe": {"traces": {"endpoint": "http://h:1"}}},
            ("observe", "traces"),
        ),
        ({"target": KUBERNETES, "serve": VLLM, "observe": {"logs": "json"}}, ("observe", "logs")),
        ({"target": KUBERNETES, "serve": VLLM, "observe": {"capture": "none"}}, ("observe", "capture")),
    ],
)
def test_what_has_no_effect_is_refused(tmp_path: Path, block: dict[str, Any], path: tuple[str, ...]) -> None:
    assert problems(tmp_path, **block) == [("observe.no-effect", path)]


@pytest.mark.parametrize("log", [{"predictions": False, "features": False}, {"features": False}])
def test_explanations_need_features_in_the_log(tmp_path: Path, log: dict[str, bool]) -> None:
    assert problems(tmp_path, log=log, observe={"explain": {}}) == [
        ("observe.nothing-to-explain", ("observe", "explain"))
    ]


def test_a_header_that_lets_one_in_has_to_be_a_secret(tmp_path: Path) -> None:
    def observe(headers: dict[str, str]) -> dict[str, Any]:
        return {"observe": {"traces": {"endpoint": "http://h:1", "headers": headers}}}

    for name in (
        "Authorization",
        "x-api-key",
        "X-Honeycomb-Team",
        "dd-token",
        "x-sentry-auth",
        "signoz-ingestion-key",
        "uptrace-dsn",
    ):
        path = ("observe", "traces", "headers", name)
        assert problems(tmp_path, **observe({name: "Bearer in the clear"})) == [("observe.header-in-the-clear", path)]
    assert problems(tmp_path, **observe({"x-mlflow-experiment-id": "0"})) == []


@pytest.mark.parametrize(
    "given", ["", "collector:4318", "grpc://h:4317", "http://", "http://h:99999", "http://me:secret@h:4318"]
)
def test_what_is_no_receiver_is_refused_where_it_stands(given: str) -> None:
    with pytest.raises(ValidationError):
        TracesSpec.model_validate({"endpoint": given})


@pytest.mark.parametrize("headers", [{"content-type": "x"}, {"a b": "x"}, {"x": "a\r\nb"}])
def test_headers_that_would_break_a_request_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        TracesSpec.model_validate({"endpoint": "http://h:1", "headers": headers})


@pytest.mark.parametrize("share", [0, 1.5, -1])
def test_a_share_is_one(share: float) -> None:
    with pytest.raises(ValidationError):
        TracesSpec.model_validate({"endpoint": "http://h:1", "sample": share})


def test_the_kind_asks_these_rules(tmp_path: Path) -> None:
    found = Deployment().check(spec(observe={"capture": "full"}), make_context(tmp_path))
    assert [item.code for item in found] == ["observe.no-effect"]
