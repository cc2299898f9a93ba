"""One server with a real online store, asked everything a client and an operator may ask."""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mlctl.provider import Condition
from mlctl.providers.serving.client import predict
from mlctl.types.diagnostic import MlctlError
from tests.integration.serving.project import Project, ended, expected, run_script, wait_until

pytestmark = pytest.mark.tools


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Project]:
    root = tmp_path_factory.mktemp("served")
    project = Project(root, models)
    run_script("make_store.py", root, "store")
    for project_ in ended(project):
        project_.apply("3", "one", store=True, serve={"batching": {"max_size": 16, "max_wait": "20ms"}})
        yield project_


def call(
    project: Project, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
) -> tuple[int, Mapping[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", project.port, timeout=20)
    try:
        connection.request(
            method, path, body if isinstance(body, bytes | None) else json.dumps(body).encode(), dict(headers or {})
        )
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


def ask(project: Project, payload: Mapping[str, Any]) -> dict[str, Any]:
    assert project.record is not None
    return predict(project.record, payload)


def refusal(project: Project, payload: Mapping[str, Any]) -> tuple[str, str]:
    with pytest.raises(MlctlError) as raised:
        ask(project, payload)
    [found] = raised.value.diagnostics
    return found.code, found.why


def metric(project: Project, name: str, **labels: str) -> float:
    _, _, page = call(project, "GET", "/metrics")
    total = 0.0
    for line in page.decode().splitlines():
        match = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
        if match and match[1] == name and all(f'{key}="{value}"' in (match[2] or "") for key, value in labels.items()):
            total += float(match[3])
    return total


def test_outputs_and_reading(served: Project) -> None:
    assert served.record is not None
    outputs = dict(served.record.outputs)
    assert len(outputs.pop("digest")) == 32
    assert outputs == {
        "url": f"http://127.0.0.1:{served.port}",
        "port": served.port,
        "model": "shops",
        "version": "3",
        "predictions": ".mlctl/default/objects/deployments.api/self/predictions",
    }
    seen = served.read()
    assert seen is not None
    assert seen.condition is Condition.READY
    assert served.kind.describe(served.record) == f"http://127.0.0.1:{served.port}  shops v3"
    log = served.kind.log(served.record, served.ctx)
    assert log is not None
    assert "ready on http://127.0.0.1" in log.read_text()
    provenance = json.loads((served.folder / "releases" / "1" / "release.json").read_bytes())
    assert (provenance["evaluation"], provenance["version"], provenance["release"]) == ("evaluations.gate#1", "3", "1")


def test_an_equal_apply_keeps_the_process(served: Project) -> None:
    before = [process.pid for process in served.servers()]
    assert served.record is not None
    outputs = served.record.outputs
    assert (
        served.apply("3", "one", store=True, serve={"batching": {"max_size": 16, "max_wait": "20ms"}}).outputs
        == outputs
    )
    assert [process.pid for process in served.servers()] == before


def test_instances(served: Project) -> None:
    answer = ask(
        served, {"instances": [{"amount": 2, "visits": 1}, {"amount": None, "visits": 3.5, "household_id": 7}]}
    )
    first, second = answer["predictions"]
    assert first == {"score": pytest.approx(expected("one", 2, 1), abs=1e-6), "prediction": 1}
    assert second == {
        "household_id": 7,
        "score": pytest.approx(expected("one", None, 3.5), abs=1e-6),
        "prediction": 0,
        "missing": ["amount"],
    }
    assert (answer["model"], answer["version"]) == ("shops", "3")


def test_keys_read_the_online_store(served: Project) -> None:
    missing_before = metric(served, "mlctl_feature_missing_total", feature="amount")
    [one] = ask(served, {"household_id": 1})["predictions"]
    assert one == {"household_id": 1, "score": pytest.approx(expected("one", 2.0, 4), abs=1e-6), "prediction": 1}
    two, three = ask(served, {"keys": [2, 3]})["predictions"]
    assert two["score"] == pytest.approx(expected("one", -1.0, 0), abs=1e-6)
    assert three == {
        "household_id": 3,
        "score": pytest.approx(expected("one", None, 2), abs=1e-6),
        "prediction": 0,
        "missing": ["amount"],
    }
    assert metric(served, "mlctl_feature_missing_total", feature="amount") == missing_before + 1


def test_keys_without_current_values_are_named(served: Project) -> None:
    status, _, body = call(served, "POST", "/predict", {"keys": [1, 4, 99]})  # 4 has only expired values
    answer = json.loads(body)
    assert (status, answer["code"], answer["field"]) == (404, "predict.unknown-key", "household_id")
    assert answer["message"].endswith("household_id 4, 99")


@pytest.mark.parametrize(
    ("payload", "code", "field"),
    [
        ({"household": 1}, "predict.unknown-field", "household"),
        ({"household_id": "one"}, "predict.bad-key", "household_id"),
        ({"keys": [1, 1.5]}, "predict.bad-key", "keys[1]"),
        ({"instances": [{"amount": 1, "visit": 2}]}, "predict.unknown-feature", "instances[0].visit"),
        ({"instances": [{"amount": 1}]}, "predict.missing-feature", "instances[0].visits"),
        ({"instances": [{"amount": "2", "visits": 1}]}, "predict.bad-value", "instances[0].amount"),
    ],
)
def test_a_bad_body_names_its_field(served: Project, payload: dict[str, Any], code: str, field: str) -> None:
    assert call(served, "POST", "/predict", payload)[0] == 422
    found, why = refusal(served, payload)
    assert found == code
    assert f"`{field}`" in why


def test_limits(served: Project) -> None:
    status, _, body = call(served, "POST", "/predict", b'{"instances": [' + b" " * 1_100_000 + b"]}")
    assert (status, json.loads(body)["code"]) == (413, "predict.too-large")
    status, _, body = call(served, "POST", "/predict", {"keys": [1] * 1001})
    assert (status, json.loads(body)["code"]) == (422, "predict.too-many")


def test_request_ids(served: Project) -> None:
    _, headers, body = call(served, "POST", "/predict", {"household_id": 1}, {"X-Request-Id": "mine-1"})
    assert (headers["x-request-id"], json.loads(body)["request_id"]) == ("mine-1", "mine-1")
    _, headers, body = call(served, "POST", "/predict", b"not json", {"X-Request-Id": 'evil"{}'})
    assert re.fullmatch(r"[0-9a-f-]{36}", headers["x-request-id"])
    assert json.loads(body)["request_id"] == headers["x-request-id"]


def test_operators_pages(served: Project) -> None:
    _, _, body = call(served, "GET", "/healthz")
    assert json.loads(body) == {"deployment": "api", "release": "1", "model": "shops", "version": "3", "ready": True}
    assert call(served, "GET", "/readyz")[0] == 200
    _, _, body = call(served, "GET", "/openapi.json")
    forms = json.loads(body)["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"][
        "oneOf"
    ]
    assert forms[0]["properties"]["instances"]["items"]["required"] == ["amount", "visits"]
    assert call(served, "GET", "/docs")[0] == 404
    before = metric(
        served, "mlctl_requests_total", deployment="api", model="shops", version="3", role="stable", code="200"
    )
    rows, timed = metric(served, "mlctl_predictions_total"), metric(served, "mlctl_request_duration_seconds_count")
    ask(served, {"keys": [1, 2]})
    assert (
        metric(served, "mlctl_requests_total", deployment="api", model="shops", version="3", role="stable", code="200")
        == before + 1
    )
    assert metric(served, "mlctl_predictions_total") == rows + 2
    assert metric(served, "mlctl_request_duration_seconds_count") == timed + 1
    assert metric(served, "mlctl_log_dropped_total") == 0


def test_concurrent_requests_share_batches_and_get_their_own_answers(served: Project) -> None:
    batches, rows = metric(served, "mlctl_batch_rows_count"), metric(served, "mlctl_batch_rows_sum")
    answers: dict[int, float] = {}

    def client(number: int) -> None:
        answers[number] = ask(served, {"instances": [{"amount": number / 10, "visits": 0}]})["predictions"][0]["score"]

    threads = [threading.Thread(target=client, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: pytest.approx(expected("one", number / 10, 0), abs=1e-6) for number in range(24)}
    assert metric(served, "mlctl_batch_rows_sum") - rows == 24
    assert metric(served, "mlctl_batch_rows_count") - batches < 24


def test_prediction_log(served: Project) -> None:
    call(served, "POST", "/predict", {"household_id": 3}, {"X-Request-Id": "logged"})
    call(served, "POST", "/predict", {"household_id": 99}, {"X-Request-Id": "refused"})
    wait_until(lambda: {"logged", "refused"} <= {row["request_id"] for row in served.log_rows()}, seconds=2.0)
    rows = {row["request_id"]: row for row in served.log_rows()}
    logged = rows["logged"]
    assert abs((datetime.now(UTC) - datetime.fromisoformat(logged.pop("ts"))).total_seconds()) < 60
    assert 0 < logged.pop("latency_seconds") < 5
    assert len(logged.pop("trace_id")) == 32
    assert set(logged.pop("feature_ref")) == {"spending"}
    assert logged == {
        "request_id": "logged", "schema_version": 2, "deployment": "api", "model": "shops", "version": "3", "role": "stable", "variant": "stable",
        "key": {"household_id": 3},
        "features": {"amount": None, "visits": 2.0}, "score": pytest.approx(expected("one", None, 2), abs=1e-6), "prediction": 0, "code": 200,
    }  # fmt: skip
    refused = rows["refused"]
    assert (refused["code"], refused["key"], refused["score"], refused["features"]) == (
        404,
        {"household_id": 99},
        None,
        None,
    )


def test_a_port_in_use_is_told_with_its_holder_and_nothing_is_started(
    served: Project, tmp_path: Path, models: Path
) -> None:
    other = Project(tmp_path, models)
    other.port = served.port
    with pytest.raises(MlctlError) as raised:
        other.apply("1", "one")
    [found] = raised.value.diagnostics
    assert found.code == "deploy.port-in-use"
    assert str(served.servers()[0].pid) in found.why
    assert not other.folder.exists()
