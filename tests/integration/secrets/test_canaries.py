"""Planted secrets are used by a real project, and found nowhere afterwards: no file, no database, no log, no argument, no output."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from mlctl import templates
from mlctl.types.secret import Secrets, _forms
from tests.integration.serving.project import free_port

TOKEN = 'Kanarie/9+x "q" \\ zt4'  # every character that some encoding changes
PASSWORD = "cnry8f3kq9ztw"
MODEL = """
import hashlib
import logging
import os
import sys
from torch import nn


def build(features, token, words, fail=False):
    for given in (token, words["deep"][0].removeprefix("Bearer ")):
        found = hashlib.sha256(given.encode()).hexdigest()
        assert found == "{digest}", "the program was not given the real value: " + given
    print("building with", token)
    os.write(1, b"")
    sys.stderr.write("token=" + repr(token) + "\\n")
    logging.warning("words are %s", words)
    if fail:
        raise ValueError("no luck with " + token)
    return nn.Sequential(nn.Linear(len(features), 8), nn.ReLU(), nn.Linear(8, 1))
"""
PROJECT = """\
project: canaries
variables:
  token: {{type: string, sensitive: true}}
tracking: {{mlflow: {{uri: "{uri}", experiment: canaries}}}}
datasets:
  visits: {{path: data/visits.csv, key: [visit_id], description: "read with ${{var.token}}", tags: {{by: "${{env.SECRET_TOKEN}}"}}}}
  visits_holdout: {{path: data/visits_holdout.csv, key: [visit_id]}}
training:
  buys:
    data: {{labels: visits, columns: [minutes, pages], target: bought, split: {{by: random, test: 20%}}}}
    model:
      type: python
      entrypoint: src/model.py:build
      params: {{token: "${{var.token}}", words: {{deep: ["Bearer ${{var.token}}"]}}, fail: {fail}}}
    epochs: 10
    batch_size: 32
    optimizer: {{type: adamw, lr: 1e-2}}
    seed: 7
    tags: {{credential: "${{var.token}}"}}
    description: "${{env.SECRET_TOKEN}} opens it"
evaluations:
  buys_gate:
    model: ${{training.buys.model}}
    dataset: visits_holdout
    require: {{roc_auc: {{min: 0.5}}}}
    register: {{name: buys, alias: champion}}
    tags: {{credential: "${{var.token}}"}}
deployments:
  buys_api:
    model: buys@champion
    serve: {{port: {port}}}
    tags: {{credential: "${{env.SECRET_TOKEN}}"}}
policies:
  named:
    deny: "resources[?tags.credential=='nobody']"
"""
READING = [
    ["plan"], ["plan", "--json"], ["plan", "--md"], ["plan", "--out", "saved.plan"], ["status"], ["status", "--json"],
    ["show", "training.buys"], ["show", "training.buys", "--json"], ["show", "deployments.buys_api", "--json"], ["show", "datasets.visits"],
    ["why", "training.buys"], ["why", "training.buys", "--json"], ["output"], ["output", "--json"], ["graph"], ["logs", "training.buys", "-n", "0"],
    ["logs", "deployments.buys_api", "-n", "0"], ["state", "list"], ["state", "list", "--json"], ["state", "pull"], ["validate", "--json"],
    ["runs"], ["env", "list"], ["env", "show", "default", "--json"],
]  # fmt: skip
FORMS = {form for value in (TOKEN, PASSWORD) for form in _forms(value)}


class Shop:
    """The project, and everything that anybody could have seen of it."""

    def __init__(self, root: Path) -> None:
        self.root, self.port = root, free_port()
        self.said: list[str] = []
        self.arguments: set[str] = set()
        (root / "src").mkdir()
        (root / "src" / "model.py").write_text(MODEL.replace("{digest}", hashlib.sha256(TOKEN.encode()).hexdigest()))
        shutil.copytree(templates.root() / "starters" / "minimal" / "data", root / "data")

    def write(self, uri: str = "sqlite:///.mlctl/mlflow.db", fail: str = "false") -> None:
        (self.root / "mlctl.yaml").write_text(PROJECT.format(uri=uri, fail=fail, port=self.port))

    def mlctl(self, *arguments: str, token: str | None = TOKEN) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "SECRET_TOKEN": PASSWORD, "MLCTL_VAR_token": token or ""}
        if token is None:
            del environment["MLCTL_VAR_token"], environment["SECRET_TOKEN"]
        done = subprocess.run(
            [sys.executable, "-m", "mlctl.cli.main", "-C", str(self.root), *arguments],
            env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, cwd=self.root,
        )  # fmt: skip
        self.said.append(done.stdout + done.stderr)
        return done

    def watch(self, stop: threading.Event) -> None:
        """Every argument of every process, while it lives."""
        while not stop.wait(0.02):
            for line in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.arguments.add(line.read_bytes().decode(errors="replace"))
                except OSError:
                    continue

    def end(self) -> None:
        """Stop what the project started."""
        for process in psutil.process_iter():
            try:
                if str(self.root) in " ".join(process.cmdline()) and "mlctl.runtime" in process.cmdline():
                    process.send_signal(signal.SIGKILL)
            except psutil.Error:
                continue


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A project that failed twice, was applied, and was looked at in every way."""
    made = Shop(tmp_path_factory.mktemp("canaries"))
    stop = threading.Event()
    watcher = threading.Thread(target=made.watch, args=(stop,))
    watcher.start()
    try:
        made.write(uri="http://127.0.0.1:9/${env.SECRET_TOKEN}")
        refused = made.mlctl("apply", "--auto-approve", "--json")
        assert refused.returncode == 8, refused.stdout + refused.stderr
        assert "127.0.0.1:9" in refused.stdout
        made.write(fail="true")
        failed = made.mlctl("apply", "--auto-approve")
        assert failed.returncode != 0
        assert "no luck with (sensitive)" in failed.stdout
        made.write()
        applied = made.mlctl("apply", "--auto-approve")
        assert applied.returncode == 0, applied.stdout + applied.stderr
        with ThreadPoolExecutor(2) as pool:
            for arguments, done in zip(READING, pool.map(lambda words: made.mlctl(*words), READING), strict=True):
                assert done.returncode == 0, (arguments, done.stdout + done.stderr)
                assert done.stdout, arguments
        yield made
    finally:
        stop.set()
        watcher.join()
        made.end()


@pytest.mark.tools
def test_nothing_that_was_said_holds_a_secret(shop: Shop) -> None:
    assert len(shop.said) >= len(READING) + 3
    assert [form for form in FORMS for text in shop.said if form in text] == []
    assert any("(sensitive)" in text for text in shop.said)


@pytest.mark.tools
@pytest.mark.contract(20)
def test_no_process_has_a_secret_among_its_arguments(shop: Shop) -> None:
    assert any("mlctl.runtime" in line for line in shop.arguments)
    assert [line for line in shop.arguments for form in FORMS if form in line] == []


@pytest.mark.tools
@pytest.mark.contract(20)
def test_no_file_of_the_project_holds_a_secret(shop: Shop) -> None:
    found, looked_at = [], set()
    for path in shop.root.rglob("*"):
        if path.is_file():
            looked_at.add(path.name)
            data = path.read_bytes()
            found += [(str(path.relative_to(shop.root)), form) for form in FORMS if form.encode() in data]
    assert found == []
    assert {"state.json", "job.json", "log.txt", "model.json", "mlflow.db", "saved.plan", "ranks.json"} <= looked_at


@pytest.mark.tools
def test_the_programs_had_the_real_values_all_the_same(shop: Shop) -> None:
    """The entrypoint asserts so in the rank, the evaluation and the server."""
    logs = "".join(path.read_text() for path in shop.root.rglob("log.txt"))
    assert logs.count("building with (sensitive)") >= 3
    assert "token='(sensitive)'" in logs


@pytest.mark.tools
@pytest.mark.contract(20)
def test_a_rotation_shows_and_trains_nothing_again(shop: Shop) -> None:
    plan = shop.mlctl("plan", token="another-value-of-it")
    assert "tags.credential: (sensitive)" in plan.stdout
    assert "model.params.token: (sensitive)" in plan.stdout
    summary = next(
        item
        for line in shop.mlctl("plan", "--json", token="another-value-of-it").stdout.splitlines()
        if (item := json.loads(line))["type"] == "change_summary"
    )
    changes = summary.get("changes", summary)
    assert (changes["run"], changes["create"], changes["replace"]) == (0, 0, 0)
    assert changes["update"] == 3


@pytest.mark.tools
def test_looking_and_removing_need_no_secret(shop: Shop) -> None:
    assert shop.mlctl("status", token=None).returncode == 0
    assert "has no value" in shop.mlctl("plan", token=None).stderr
    destroyed = shop.mlctl("destroy", "--auto-approve", token=None)
    assert destroyed.returncode == 0, destroyed.stdout + destroyed.stderr
    assert [form for form in FORMS for text in shop.said if form in text] == []


def test_the_search_would_find_them() -> None:
    hidden = Secrets({"var.a": TOKEN, "env.b": PASSWORD}).hidden
    for form in FORMS:
        assert hidden(f"a {form} b") != f"a {form} b"
    assert any(form in json.dumps({"a": TOKEN}) for form in FORMS)
