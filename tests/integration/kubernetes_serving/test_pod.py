"""The process that a pod is told to run, run on this machine as the pod says: its files, variables, probes and its end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mlctl.providers.serving.kubernetes import kept
from mlctl.testing.harness import make_context
from mlctl.types.secret import Secrets
from tests.integration.serving.project import free_port, run_script
from tests.unit.providers.serving.kubernetes.blocks import TARGET, block, desired

SECRET = "a-token-of-32-letters-and-digits"


def of_kind(manifests: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    return next(item for item in manifests if item["kind"] == kind)


@contextmanager
def pod(manifests: list[dict[str, Any]], root: Path, model: Path, secrets: dict[str, str]) -> Iterator[Any]:
    """As a kubelet does it, with folders of this machine in the place of mounts."""
    container = of_kind(manifests, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    folders = {"release": root / "release", "scratch": root / "scratch", "model": model, "config": root / "config"}
    for name in ("release", "scratch"):
        folders[name].mkdir()
    places = {item["mountPath"]: folders[item["name"]] for item in container["volumeMounts"] if "subPath" not in item}
    for item in container["volumeMounts"]:
        if "subPath" in item:
            held = of_kind(manifests, "ConfigMap")["data"][item["subPath"]]
            parent = places[os.path.dirname(item["mountPath"])]
            (parent / item["subPath"]).write_text(_placed(held, places))
            (parent / item["subPath"]).chmod(0o444)
    environment = {"PATH": os.environ["PATH"]}
    for item in container["env"]:
        value = item.get("value")
        if value is None:
            value = secrets[item["valueFrom"]["secretKeyRef"]["key"]]
        environment[item["name"]] = re.sub(r"\$\((\w+)\)", lambda found: environment[found[1]], _placed(value, places))
    command = [sys.executable, *(_placed(part, places) for part in container["args"])]
    with open(root / "log.txt", "wb") as log:
        process = subprocess.Popen(
            command, cwd=root, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process, container
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)


def _placed(text: str, places: dict[str, Path]) -> str:
    inside = re.compile("|".join(re.escape(path) for path in sorted(places, key=len, reverse=True)))
    return inside.sub(lambda found: str(places[found[0]]), text)


def ask(url: str, payload: Any = None, token: str = "") -> tuple[int, Any]:
    data = None if payload is None else json.dumps(payload).encode()
    headers = {"content-type": "application/json", **({"authorization": f"Bearer {token}"} if token else {})}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=5) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, None
    except OSError:
        return 0, None


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    run_script("make_models.py", folder, "models")
    return folder / "models" / "one"


@pytest.mark.soak
def test_the_process_of_a_pod_serves_answers_its_probes_and_ends_in_time(tmp_path: Path, model: Path) -> None:
    ctx = make_context(tmp_path / "project")
    object.__setattr__(ctx, "secrets", Secrets({"env.API_TOKEN": SECRET}, b"key"))
    port = free_port()
    target = {**TARGET, "secrets": {"API_TOKEN": "churn/token"}}
    given = block(target, serve={"port": port, "auth": {"token": SECRET}})
    serving = {"columns": ["amount", "visits"], "keys": [], "views": [], "store": None}
    asked, served = desired(ctx, given, serving=serving)
    manifests = kept.manifests(asked, served, ctx)
    base = f"http://127.0.0.1:{port}"
    with pod(manifests, tmp_path, model, {"token": SECRET}) as (process, container):
        ready = base + container["readinessProbe"]["httpGet"]["path"]
        deadline = time.monotonic() + 60
        while ask(ready)[0] != 200:
            assert process.poll() is None, (tmp_path / "log.txt").read_text()
            assert time.monotonic() < deadline, (tmp_path / "log.txt").read_text()
            time.sleep(0.1)
        assert ask(base + container["livenessProbe"]["httpGet"]["path"])[0] == 200
        rows = {"instances": [{"amount": 1.0, "visits": 2.0}]}
        assert ask(f"{base}/predict", rows)[0] == 401
        code, answer = ask(f"{base}/predict", rows, SECRET)
        assert (code, answer["model"], answer["version"]) == (200, "churn", "3")
        process.send_signal(signal.SIGTERM)
        pods = of_kind(manifests, "Deployment")["spec"]["template"]["spec"]
        assert process.wait(pods["terminationGracePeriodSeconds"]) == 0
