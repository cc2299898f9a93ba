"""A real vLLM with a tiny model: adapters come and go while it runs, behind a server of ours and with our middleware inside."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from mlctl.processes import engine, service, worker
from mlctl.providers.serving import controllers
from mlctl.providers.serving.engines.job import language_model_job
from mlctl.testing.harness import make_desired, make_record
from mlctl.types.environments import environment_ready
from mlctl.types.jobs.rollout import Order
from mlctl.types.secret import Secrets
from mlctl.types.state import Record
from tests.integration.llm.project import Project, ask, chat, ended, until
from tests.integration.text.tiny import make_model

pytestmark = [
    pytest.mark.soak,
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
    pytest.mark.skipif(not environment_ready("vllm"), reason="vLLM is not installed: mlctl engine install vllm"),
]
ENGINE = {"type": "vllm", "dtype": "float32", "max_model_len": 128, "max_running": 4, "lora": {"max_rank": 8}}


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Project]:
    """A project whose base is a random model, and whose versions are random adapters of it."""
    for project in ended(Project(tmp_path)):
        make_model(tmp_path / "models" / "base", hidden=256)
        yield project


def adapted(project: Project, version: str) -> Record:
    """An evaluation that let an adapter pass."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    record = project.train(version)
    torch.manual_seed(int(version))
    base = AutoModelForCausalLM.from_pretrained(project.root / "models" / "base")
    config = LoraConfig(r=8, lora_alpha=64, target_modules="all-linear", init_lora_weights=False)
    get_peft_model(base, config).save_pretrained(project.root / "made" / version / "adapter")
    path = project.root / "made" / version / "adapter" / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "base_model_name_or_path": "models/base"}))
    return record


def answer(project: Project, model: str = "helper") -> str:
    client = openai.OpenAI(base_url=f"{project.url}/v1", api_key="unused", max_retries=0)
    stream = client.chat.completions.create(**chat("what is red", model, stream=True, max_tokens=12, temperature=0))
    text = "".join(item.choices[0].delta.content or "" for item in stream if item.choices)
    client.close()
    return text


def test_a_new_adapter_answers_after_seconds_and_a_killed_server_leaves_nobody(tiny: Project) -> None:
    one, two = adapted(tiny, "1"), adapted(tiny, "2")
    tiny.apply(one, ENGINE)
    kept = engine.find(tiny.releases / "1")
    assert kept is not None
    first = answer(tiny)
    began = time.monotonic()
    tiny.apply(two, ENGINE)
    seconds = time.monotonic() - began
    again = engine.find(tiny.releases / "2")
    assert again is not None
    assert (again.session, seconds < 20) == (kept.session, True)
    second = answer(tiny)
    assert first != second
    assert second == answer(tiny, "chat")  # the deployment's name
    status, said = ask(tiny.url, "/v1/chat/completions", chat("what is red", "helper-v1"))
    assert (status, said["error"]["code"]) == (404, "model_not_found")
    _, told = ask(tiny.url, "/v1/models")
    assert [item["id"] for item in told["data"]] == ["helper", "chat"]
    tiny.apply(one, ENGINE)
    assert answer(tiny) == first
    os.killpg(tiny.server().pid, signal.SIGKILL)
    until(lambda: not engine.members(kept), 30)


def test_behind_a_gateway_the_engine_itself_counts_by_variant_and_refuses_what_is_not_for_clients(
    tiny: Project,
) -> None:
    evaluation = adapted(tiny, "1")
    wanted = tiny.desired(evaluation, ENGINE)
    job = language_model_job("chat", wanted, evaluation.outputs, "predictions", tiny.ctx)
    assert job is not None
    folder = tiny.releases / "1"
    service.start(
        "llm_server", {**job.model_dump(mode="json"), "port": 0, "behind_gateway": True}, folder, tiny.root, Secrets({})
    )
    until(lambda: service.find(folder).ready is not None or not worker.running(folder), 300)
    ready = service.find(folder).ready
    assert ready is not None, tiny.log(1)
    as_candidate = {"x-mlctl-model": "helper-v1", "x-mlctl-variant": "candidate"}
    status, said = ask(ready["url"], "/v1/chat/completions", chat("what is blue", max_tokens=8), as_candidate)
    assert (status, said["model"]) == (200, "helper-v1")
    assert ask(ready["url"], "/v1/unload_lora_adapter", {"lora_name": "helper-v1"})[0] == 403
    assert ask(ready["url"], "/healthz") == (200, {"deployment": "chat", "release": "1", "ready": True})
    until(lambda: _requests(folder, "candidate") == 1, 5)
    kept = engine.find(folder)
    assert kept is not None
    worker.stop(folder, 60)
    assert not engine.members(kept)


def test_a_canary_of_two_adapters_behind_the_real_gateway_answers_everybody_whole_until_it_is_taken_back(
    tiny: Project,
) -> None:
    _roll_out(tiny, "1")
    assert {model for model, _ in (_streamed(tiny, f"u{number}") for number in range(4))} == {"helper-v1"}
    _roll_out(tiny, "2")
    by_user = [dict(_streamed(tiny, f"u{number}") for number in range(16)) for _ in range(2)]
    assert by_user[0].keys() == {"helper-v1", "helper-v2"}
    assert by_user[0] == by_user[1]  # greedy, and every user is where they were
    assert len({json.loads(path.read_bytes())["session"] for path in tiny.folder.rglob("engine.json")}) == 1
    assert tiny.record is not None
    controllers.order(Order(what="abort", who="a test"), tiny.folder / "rollout")
    until(lambda: {_streamed(tiny, f"u{number}")[0] for number in range(16)} == {"helper-v1"}, 20)
    tiny.kind.delete(tiny.record, tiny.ctx)
    assert not tiny.of_engine()


def _roll_out(project: Project, version: str) -> None:
    values = {
        "model": "helper@champion",
        "serve": {"port": project.port, "timeout": "60s", "engine": ENGINE},
        "rollout": {"canary": {"steps": [{"weight": 50, "pause": "confirm"}]}, "unit": "x-user"},
    }
    evaluation = {"evaluations.gate": adapted(project, version)}
    desired = make_desired(project.kind, "deployments.chat", values, project.ctx, evaluation)
    project.record = make_record(desired, project.kind.apply(desired, project.record, project.ctx))


def _streamed(project: Project, user: str) -> tuple[str, str]:
    """Who answers a user, and what; the answer came to its end."""
    client = openai.OpenAI(base_url=f"{project.url}/v1", api_key="unused", max_retries=0)
    asked = chat("what is red", "helper", stream=True, max_tokens=8, temperature=0)
    events = list(client.chat.completions.create(**asked, extra_headers={"x-user": user}))
    client.close()
    choices = [item.choices[0] for item in events if item.choices]
    assert choices[-1].finish_reason in ("stop", "length")
    return events[0].model, "".join(choice.delta.content or "" for choice in choices)


def _requests(folder: Path, variant: str) -> int:
    stored = [json.loads(path.read_bytes()) for path in (folder / "stats").glob("*.json")]
    return sum(item["variants"][variant]["requests"] for item in stored if variant in item["variants"])
