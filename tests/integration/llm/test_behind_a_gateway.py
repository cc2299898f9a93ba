"""A canary between two versions that are adapters of one engine: the real controller, Envoy, and our middleware in the engine."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from mlctl.providers.serving.rollouts import standing
from mlctl.rollout.state import Phase
from mlctl.testing.harness import make_desired, make_record
from tests.integration.llm.project import Project, ask, chat, until

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


def test_a_version_that_answers_nothing_is_held_by_its_gate_and_counted_by_its_own_version(project: Project) -> None:
    metrics = [{"name": "error_rate", "max": 0.05}, {"name": "empty_rate", "max": 0.05}]
    gates = {"guard": {"metrics": metrics, "min_requests": 20, "interval": "1s"}}
    steps = [{"weight": 50, "gate": "guard"}]
    engine = project.vllm(environment={"MUTE": "helper-v2", "START_SECONDS": "2"})
    _apply(project, "1", engine, steps, gates)
    assert "helper v1: vllm: loading the model, " in " ".join(
        project.messages
    )  # a start that takes minutes is not silent
    _apply(project, "2", engine, steps, gates)
    asked = 0
    while (found := standing(project.folder / "rollout")) is not None and found.state.phase is not Phase.HELD:
        assert asked < 2000
        ask(project.url, "/v1/chat/completions", chat("hello"), {"x-user": f"u{asked}"})
        asked += 1
    assert found is not None
    assert found.held is not None
    assert "empty_rate 100.0 %" in found.held.why
    assert "error_rate" not in found.held.why
    until(lambda: standing(project.folder / "rollout").state.in_effect)  # type: ignore[union-attr]
    assert ask(project.url, "/v1/chat/completions", chat("hello"))[1]["model"] == "helper-v1"
    time.sleep(1)  # counts are written twice a second
    [stats] = {path.resolve() for path in project.folder.rglob("stats/*.json")}
    counted = json.loads(stats.read_bytes())["versions"]["variants"]
    assert {name: list(versions) for name, versions in counted.items()} == {"stable": ["1"], "candidate": ["2"]}
    assert counted["candidate"]["2"]["empty"] == counted["candidate"]["2"]["answers"] >= 20


def _apply(
    project: Project,
    version: str,
    engine: Mapping[str, Any] | None = None,
    steps: Sequence[Mapping[str, Any]] = ({"weight": 50, "pause": "confirm"},),
    gates: Mapping[str, Any] | None = None,
) -> None:
    values = {
        "model": "helper@champion",
        "serve": {"port": project.port, "timeout": "20s", "engine": dict(engine or project.vllm())},
        "gates": dict(gates or {}),
        "rollout": {"canary": {"steps": list(steps)}, "unit": "x-user"},
    }
    evaluation = {"evaluations.gate": project.train(version)}
    desired = make_desired(project.kind, "deployments.chat", values, project.ctx, evaluation)
    project.record = make_record(desired, project.kind.apply(desired, project.record, project.ctx))
