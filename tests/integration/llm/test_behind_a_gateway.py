"""A canary between two versions that are adapters of one engine: the real controller, Envoy, and our middleware in the engine."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from mlctl.testing.harness import make_desired, make_record
from tests.integration.llm.project import Project, ask, chat

pytestmark = pytest.mark.tools


def test_two_adapters_of_one_engine_share_the_requests_and_the_log_tells_them_apart(project: Project) -> None:
    _apply(project, "1")
    assert ask(project.url, "/v1/chat/completions", chat("hello"))[1]["model"] == "helper-v1"
    _apply(project, "2")
    answered = Counter(
        ask(project.url, "/v1/chat/completions", chat("hello"), {"x-user": f"u{number}"})[1]["model"]
        for number in range(40)
    )
    assert answered.keys() == {"helper-v1", "helper-v2"}
    assert 8 <= answered["helper-v2"] <= 32
    engines = {json.loads(path.read_bytes())["session"] for path in project.folder.rglob("engine.json")}
    assert len(engines) == 1
    assert ask(project.url, "/v1/load_lora_adapter", {"lora_name": "x"})[0] == 404
    assert project.record is not None
    project.kind.delete(project.record, project.ctx)
    assert project.of_engine() == []
    [log] = (project.folder / "predictions").glob("*")
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    logged = Counter((row["variant"], row["version"], row["adapter"]) for row in rows)
    assert logged == {
        ("stable", "1", "helper-v1"): answered["helper-v1"] + 1,
        ("candidate", "2", "helper-v2"): answered["helper-v2"],
    }


def _apply(project: Project, version: str) -> None:
    values = {
        "model": "helper@champion",
        "serve": {"port": project.port, "timeout": "20s", "engine": project.vllm()},
        "rollout": {"canary": {"steps": [{"weight": 50, "pause": "confirm"}]}, "unit": "x-user"},
    }
    evaluation = {"evaluations.gate": project.train(version)}
    desired = make_desired(project.kind, "deployments.chat", values, project.ctx, evaluation)
    project.record = make_record(desired, project.kind.apply(desired, project.record, project.ctx))
