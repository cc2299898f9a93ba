"""A real server sends its spans to a receiver: what a client is told leads to the trace, the log and the explanation."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from mlctl.types.secret import Secrets
from tests.integration.observe.receiver import attributes, mlflow_server
from tests.integration.serving.alone import served
from tests.integration.serving.project import run_script, wait_until
from tests.unit.runtime.middleware.test_spans import plain, receiving

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE = PARENT.split("-")[1]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("observe")
    run_script("make_models.py", folder, "models")
    return folder / "models/one"


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]


@pytest.mark.tools
def test_a_prediction_has_one_id_in_the_answer_the_log_the_trace_and_the_explanation(
    tmp_path: Path, model: Path
) -> None:
    folder = tmp_path / "explanations"
    with receiving() as receiver:
        observe = {
            "traces": {"endpoint": receiver.url, "sample": 1.0, "headers": {"x-key": "${secret:env.OTLP_KEY}"}},
            "explain": {"per_minute": 600, "method": "auto", "tolerance": 0.01, "folder": str(folder)}, "json_logs": True,
        }  # fmt: skip
        secrets = Secrets({"env.OTLP_KEY": "a secret key of ours"}, b"key")
        with served(tmp_path, model, secrets, observe=observe) as server:
            body = {"instances": [{"amount": 1.0, "visits": 2.0}]}
            for number in range(12):
                _, headers, _ = server.call(body, headers={"traceparent": PARENT, "x-request-id": f"r-{number}"})
            assert headers["traceparent"].split("-")[1] == TRACE
            wait_until(lambda: len(receiver.spans()) >= 24, 10)
            wait_until(lambda: bool(lines(folder)), 60)
            page = server.call(None, "/metrics", {"accept": "application/openmetrics-text; version=1.0.0"}, "GET")[2]
            before = (tmp_path / "releases/1/log.txt").read_text()
        found = lines(folder)[0]
        row = next(item for item in lines(tmp_path / "predictions") if item["request_id"] == found["request_id"])
        told = [plain(span.attributes) for _, _, span in receiver.spans() if span.name == "POST /predict"]
    assert {row["trace_id"], found["trace_id"]} == {TRACE}
    assert found["request_id"] in {item["mlctl.request.id"] for item in told}
    assert found["refused"] is None
    assert found["base"] + sum(found["values"].values()) == pytest.approx(row["score"], rel=0.01)
    assert receiver.headers[0]["x-key"] == "a secret key of ours"
    assert "a secret key" not in "".join(
        path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()
    )
    assert f'# {{trace_id="{TRACE}"}}' in page
    assert all(json.loads(line)["program"] in ("server", "explain") for line in before.splitlines())


@pytest.mark.tools
@pytest.mark.soak
def test_a_trace_of_a_server_is_found_in_mlflow_by_the_id_of_its_answer(tmp_path: Path, model: Path) -> None:
    with mlflow_server(tmp_path) as receiver:
        observe = {"traces": {"endpoint": receiver.url, "sample": 1.0, "headers": receiver.headers}}
        with served(tmp_path, model, observe=observe) as server:
            _, headers, answer = server.call({"instances": [{"amount": 1.0, "visits": 2.0}]})
            spans = receiver.spans(headers["traceparent"].split("-")[1], 2)
    assert set(spans) == {"POST /predict", "model.predict"}
    told = attributes(spans["POST /predict"])
    assert (told["mlctl.request.id"], told["mlctl.deployment"]) == (headers["x-request-id"], "api")
    assert spans["model.predict"]["parent_span_id"] == spans["POST /predict"]["span_id"]
    assert answer["request_id"] == headers["x-request-id"]


@pytest.mark.tools
def test_a_receiver_that_is_away_costs_no_request_and_is_told(tmp_path: Path, model: Path) -> None:
    observe = {"traces": {"endpoint": "http://127.0.0.1:9", "sample": 1.0, "headers": {}}}
    with served(tmp_path, model, observe=observe) as server:
        began = time.monotonic()
        for _ in range(20):
            assert server.call({"instances": [{"amount": 1.0, "visits": 2.0}]})[0] == 200
        assert time.monotonic() - began < 5
        wait_until(lambda: server.metric("mlctl_spans_dropped_total") >= 20, 15)
    assert "spans cannot be sent to http://127.0.0.1:9" in (tmp_path / "releases/1/log.txt").read_text()
