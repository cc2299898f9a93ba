"""Nothing of an engine is left behind, whoever is killed; and one engine serves all adapters of its base."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import psutil
import pytest

from mlctl.processes import engine, service, worker
from mlctl.providers.serving.engines.job import language_model_job
from mlctl.types.diagnostic import MlctlError
from mlctl.types.secret import Secrets
from tests.integration.llm.project import Project, ask, chat, until

pytestmark = pytest.mark.tools


@pytest.mark.soak
def test_a_stopped_server_leaves_nobody_of_an_engine_whose_children_do_not_listen(project: Project) -> None:
    project.apply(project.train("1"), project.command({"CHILDREN": "1"}))
    assert len(project.of_engine()) >= 3
    assert project.record is not None
    project.kind.delete(project.record, project.ctx)
    assert project.of_engine() == []
    assert not project.releases.exists()


@pytest.mark.soak
def test_a_stopped_server_leaves_nobody_of_an_engine_that_does_not_listen_itself(project: Project) -> None:
    project.apply(project.train("1"), project.command({"CHILDREN": "1", "DEAF": "1"}))
    worker.stop(project.releases / "1", 40)
    assert project.of_engine() == []


def test_a_killed_server_leaves_nobody_within_seconds(project: Project) -> None:
    project.apply(project.train("1"), project.command())
    os.killpg(project.server().pid, signal.SIGKILL)
    until(lambda: project.of_engine() == [], 12)


def test_what_a_killed_server_and_its_watchdog_left_is_ended_by_the_next_release(project: Project) -> None:
    project.apply(project.train("1"), project.command())
    left = {ask(project.url, "/seen")[1]["pid"]}
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or [""]
        if "mlctl.runtime.llm.watchdog" in command and str(project.root) in command[-1]:
            process.kill()
    project.server().kill()
    until(lambda: not worker.running(project.releases / "1"))
    assert engine.left(project.releases / "1")
    project.apply(project.train("1"), project.command())
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in left)
    assert ask(project.url, "/v1/chat/completions", chat("hello"))[0] == 200
    assert "ended what release 1 had left" in project.log(2)


def test_a_server_that_is_told_to_end_while_its_engine_starts_ends_at_once(project: Project) -> None:
    wanted = project.desired(project.train("1"), project.command({"START_SECONDS": "60", "CHILDREN": "1"}))
    ended: list[str] = []

    def apply() -> None:
        with pytest.raises(MlctlError) as caught:
            project.kind.apply(wanted, None, project.ctx)
        ended.append(caught.value.diagnostics[0].code)

    applying = threading.Thread(target=apply)
    applying.start()
    until(lambda: len(project.of_engine()) >= 3)
    began = time.monotonic()
    worker.stop(project.releases / "1", 30)
    applying.join()
    assert time.monotonic() - began < 5
    assert ended == ["service.died"]
    assert project.of_engine() == []


def test_a_stranger_with_the_number_of_an_old_session_is_left_alone(project: Project, tmp_path: Path) -> None:
    stranger = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        release = tmp_path / "releases" / "1"
        release.mkdir(parents=True)
        started = psutil.Process(stranger.pid).create_time()
        kept = engine.Kept(stranger.pid, started - 3600, engine.boot(), str(release), None, "", "127.0.0.1", 1)
        engine.record(release, kept)
        assert not engine.sweep(release)
        engine.record(
            release, engine.Kept(stranger.pid, started, "another boot", str(release), None, "", "127.0.0.1", 1)
        )
        assert not engine.sweep(release)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_new_adapter_is_loaded_into_the_engine_that_runs_and_the_old_one_taken_out(project: Project) -> None:
    project.apply(project.train("1"), project.vllm())
    first = ask(project.url, "/seen")[1]["pid"]
    assert ask(project.url, "/v1/chat/completions", chat("hello"))[1]["model"] == "helper-v1"
    status, said = ask(project.url, "/v1/load_lora_adapter", {"lora_name": "x", "lora_path": "/tmp"})
    assert (status, said["code"]) == (403, "predict.not-allowed")
    assert ask(project.url, "/inference/v1/generate", {})[0] == 403
    began = time.monotonic()
    project.apply(project.train("2"), project.vllm())
    seconds = time.monotonic() - began
    assert ask(project.url, "/seen")[1]["pid"] == first
    assert ask(project.url, "/v1/chat/completions", chat("hello", model="helper"))[1]["model"] == "helper-v2"
    status, said = ask(project.url, "/v1/chat/completions", chat("hello", model="helper-v1"))
    assert (status, said["error"]["code"]) == (404, "model_not_found")
    assert [item["id"] for item in ask(project.url, "/v1/models")[1]["data"]] == ["helper", "chat"]
    assert ask(project.url, "/seen")[1]["adapters"].keys() == {"helper-v2"}
    assert seconds < 15
    assert project.record is not None
    project.kind.delete(project.record, project.ctx)
    assert project.of_engine() == []
    [log] = (project.folder / "predictions").glob("*")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    # a refusal is written at once, and an answer when its last piece is sent: which is first, nobody says
    assert sorted((line["version"], line["code"]) for line in lines) == [("1", 200), ("2", 200), ("2", 404)]


def test_another_model_by_the_same_name_and_version_is_not_taken_for_the_one_that_is_loaded(project: Project) -> None:
    project.apply(project.train("1"), project.vllm())
    first = ask(project.url, "/seen")[1]["pid"]
    anew = project.train("another")  # the registry was emptied, and begins with version 1
    project.apply(dataclasses.replace(anew, outputs={**anew.outputs, "version": "1"}), project.vllm())
    assert ask(project.url, "/seen")[1]["pid"] != first
    adapters = ask(project.url, "/seen")[1]["adapters"]
    assert adapters == {"helper-v1": str(project.root / "made" / "another" / "adapter")}


@pytest.mark.soak
def test_a_change_of_the_engine_starts_another_one(project: Project) -> None:
    project.apply(project.train("1"), project.vllm())
    first = ask(project.url, "/seen")[1]["pid"]
    project.apply(project.train("1"), project.vllm(max_running=4))
    second = ask(project.url, "/seen")[1]
    assert second["pid"] != first
    assert second["argv"][second["argv"].index("--max-num-seqs") + 1] == "4"
    until(lambda: not psutil.pid_exists(first) or psutil.Process(first).status() == psutil.STATUS_ZOMBIE)


def test_the_end_of_one_release_does_not_end_an_engine_that_another_has(project: Project) -> None:
    """As behind a gateway: each release is a server without a front, and the engine has our middleware inside."""
    releases = []
    for version in ("1", "2"):
        wanted = project.desired(project.train(version), project.vllm())
        job = language_model_job("chat", wanted, project.train(version).outputs, "predictions", project.ctx)
        assert job is not None
        params = {**job.model_dump(mode="json"), "port": 0, "behind_gateway": True}
        folder = project.releases / version
        service.start("llm_server", params, folder, project.root, Secrets({}))
        until(lambda folder=folder: service.find(folder).ready is not None)
        releases.append(service.find(folder).ready or {})
    one, two = releases
    assert one["port"] == two["port"]
    as_two = {"x-mlctl-model": "helper-v2", "x-mlctl-variant": "candidate", "x-mlctl-version": "2"}
    assert ask(two["url"], "/v1/chat/completions", chat("hello"), as_two)[1]["model"] == "helper-v2"
    assert ask(two["url"], "/v1/unload_lora_adapter", {"lora_name": "helper-v1"})[0] == 403
    worker.stop(project.releases / "1", 20)
    assert ask(two["url"], "/v1/chat/completions", chat("hello"), as_two)[1]["model"] == "helper-v2"
    assert [item["id"] for item in ask(two["url"], "/v1/models")[1]["data"]] == ["helper", "chat"]
    assert list(ask(two["url"], "/seen")[1]["adapters"]) == ["helper-v2"]
    until(lambda: _counted(project.releases / "2") == 2, 3)
    os.killpg(service.find(project.releases / "2").pid or 0, signal.SIGKILL)
    until(lambda: project.of_engine() == [], 12)


def _counted(folder: Path) -> int:
    """The requests of the candidate, as a controller reads them."""
    stored = [json.loads(path.read_bytes()) for path in (folder / "stats").glob("*.json")]
    return sum(item["variants"].get("candidate", {"requests": 0})["requests"] for item in stored)


def test_an_adapter_that_cannot_be_loaded_is_told_and_what_runs_goes_on(project: Project) -> None:
    project.apply(project.train("1"), project.vllm())
    evaluation = project.train("2", rank=64)
    with pytest.raises(MlctlError) as caught:
        project.apply(evaluation, project.vllm())
    assert caught.value.diagnostics[0].code == "deploy.no-adapter"
    assert ask(project.url, "/v1/chat/completions", chat("hello"))[1]["model"] == "helper-v1"
