"""A server whose state was lost is taken over as it runs; whatever else is at the port is left alone."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from typing import Any

import pytest

from mlctl.provider import Condition, Outcome
from mlctl.testing.harness import make_record
from mlctl.types.diagnostic import Diagnostic, MlctlError
from tests.integration.serving.project import Project, free_port

pytestmark = pytest.mark.tools


def refusal(project: Project, id: str, version: str = "1", model: str = "one", **block: Any) -> Diagnostic:
    with pytest.raises(MlctlError) as caught:
        project.kind.adopt(project.desired(version, model, **block), id, project.ctx)
    return caught.value.diagnostics[0]


def test_a_running_server_is_taken_over_as_it_is(project: Project) -> None:
    made = project.apply("1", "one")
    (server,) = project.servers()
    url = f"http://127.0.0.1:{project.port}"
    assert "model.version" in refusal(project, url, version="2").summary
    assert "timeout_seconds" in refusal(project, url, serve={"timeout": "9s"}).summary
    assert refusal(project, f"http://127.0.0.1:{project.port + 1}").code == "import.differs"

    desired = project.desired("1", "one")
    adopted = make_record(desired, project.kind.adopt(desired, url, project.ctx))
    assert (adopted.id, adopted.outputs) == (made.id, made.outputs)
    assert project.servers() == [server]  # the very process
    project.record = adopted
    seen = project.read()
    assert seen is not None
    assert seen.condition is Condition.READY
    facts = json.loads((project.folder / "releases" / str(adopted.id) / "release.json").read_bytes())
    assert (facts["lineage"], facts["adopted"]) == (project.ctx.lineage, True)
    project.kind.delete(adopted, project.ctx)
    assert project.servers() == []


def test_a_foreign_server_is_neither_taken_over_nor_stopped(project: Project) -> None:
    command = [sys.executable, "-m", "http.server", str(project.port), "--bind", "127.0.0.1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=project.root) as foreign:
        try:
            url = f"http://127.0.0.1:{project.port}"
            _await(url)
            wrong = refusal(project, url)
            assert wrong.code == "import.not-ours"
            assert f"pid {foreign.pid}" in wrong.why
            with pytest.raises(MlctlError) as caught:
                project.apply("1", "one")
            (taken,) = caught.value.diagnostics
            assert (taken.code, f"pid {foreign.pid}" in taken.why) == ("deploy.port-in-use", True)
            assert f"mlctl import deployments.api {url}" in taken.fix
            project.kind.delete(make_record(project.desired("1", "one"), Outcome(None)), project.ctx)
            assert foreign.poll() is None
            _await(url)
        finally:
            foreign.kill()


def test_where_nothing_answers_there_is_nothing_to_take_over(project: Project) -> None:
    port = free_port()
    assert refusal(project, f"http://127.0.0.1:{port}", serve={"port": port}).code == "import.not-found"


def _await(url: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                assert answer.status == 200
                return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
