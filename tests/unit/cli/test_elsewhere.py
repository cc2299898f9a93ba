"""Two machines and one state: what one of them made is not let go of, nor made anew, by the other one without a word."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlctl import workspace
from mlctl.cli.main import run
from mlctl.engine.store import LocalStore
from mlctl.registry import Registry
from mlctl.testing import fake
from mlctl.types.address import Address

PROJECT = "project: shop\nbuilds:\n  a: {value: 2}\ntraining:\n  m: {value: 4, uses_builds: [a]}\nthings:\n  t: {value: 1}\nservices:\n  s: {value: 3, uses_builds: [a]}\n"


class Training(fake.FakeBuild):
    """What `retrain` works on."""

    section = "training"


class Shared:
    """A store that is not of this machine alone: a folder that both see."""

    def __init__(self, home: Path) -> None:
        self.inner = LocalStore(home)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "shared")


@pytest.fixture
def on(tmp_path: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs a command on a machine: each has a folder and a tool of its own. On the first one all is made."""
    tools = {"first": fake.FakeTool(), "second": fake.FakeTool()}
    monkeypatch.setattr(workspace, "open_store", lambda *given: Shared(store.home))

    def on(machine: str, *command: str) -> int:
        kinds = (*fake.fake_kinds(tools[machine]), Training(tools[machine]))
        monkeypatch.setattr(workspace, "Registry", lambda: Registry.of(*kinds))
        monkeypatch.chdir(tmp_path / machine)
        return int(run(list(command)))

    for name in tools:
        (tmp_path / name).mkdir()
        (tmp_path / name / "mlctl.yaml").write_text(PROJECT)
    assert on("first", "apply", "--auto-approve") == 0
    return on


@pytest.mark.parametrize(
    "command",
    [
        ["apply", "-y"], ["apply", "-y", "--json"], ["apply", "-y", "--detach"], ["apply", "-y", "--refresh-only"],
        ["retrain", "-y"], ["destroy", "-y"], ["destroy", "-y", "--target", "services.s"], ["plan", "--detailed-exitcode"],
        ["plan", "--out", "x.plan"], ["plan", "--refresh-only", "--detailed-exitcode"], ["plan", "--destroy", "--out", "x.plan"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_nothing_is_forgotten_or_made_anew_on_another_machine(
    on: Callable[..., int], store: LocalStore, command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = store.read()
    capsys.readouterr()
    assert on("second", *command) == 1
    said = capsys.readouterr()
    text = said.out if "--json" in command else said.err
    assert text.count("state.made-elsewhere") == 1
    assert ("services.s" if command[0] != "retrain" else "builds.a") in text
    assert "--forget-elsewhere" in text
    assert str(before.objects[next(iter(before.objects))].provenance["by"]) in text, "who made it"
    assert store.read() == before
    assert not (tmp_path / "second" / "x.plan").exists()
    assert on("first", *command) in (0, 2), "where it was made it is as always"


def test_a_plan_that_only_looks_warns(on: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert on("second", "plan") == 0
    assert "warning[state.made-elsewhere]" in capsys.readouterr().err
    assert on("second", "plan", "--json") == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    [found] = [item for item in told if item.get("code") == "state.made-elsewhere"]
    assert found["severity"] == "warning"
    assert "makes them anew here" in found["why"]


@pytest.mark.parametrize("command", [["apply"], ["retrain"], ["destroy"], ["apply", "--refresh-only"]], ids=" ".join)
def test_with_the_word_it_goes_on(
    on: Callable[..., int], store: LocalStore, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert on("second", *command, "--auto-approve", "--forget-elsewhere") == 0
    assert "warning[state.made-elsewhere]" in capsys.readouterr().err
    left = {str(key.address) for key in store.read().objects}
    assert ("builds.a" in left) is (command in (["apply"], ["retrain"]))
    if command != ["retrain"]:  # which makes no more than trainings need
        assert on("second", "plan", "--refresh-only", "--detailed-exitcode") == 0


def test_a_plan_that_was_reviewed_with_the_word_needs_no_other(on: Callable[..., int]) -> None:
    assert on("second", "plan", "--out", "x.plan", "--forget-elsewhere") == 0
    assert on("second", "apply", "x.plan", "--forget-elsewhere") == 1, "a saved plan takes no option"
    assert on("second", "apply", "x.plan") == 0
    assert on("second", "plan", "--detailed-exitcode") == 0


def test_what_is_on_a_cluster_is_of_no_machine(on: Callable[..., int], store: LocalStore) -> None:
    service = record_of(store, "services.s")
    with store.session("test") as session:
        session.record(replace(service, spec={**service.spec, "target": {"type": "kubernetes"}}))
    assert on("second", "destroy", "-y", "--target", "services.s") == 0


def test_a_state_in_a_folder_is_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tool = fake.FakeTool()
    monkeypatch.setattr(workspace, "Registry", lambda: Registry.of(*fake.fake_kinds(tool), Training(tool)))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlctl.yaml").write_text(PROJECT)
    assert run(["apply", "-y"]) == 0
    tool.objects.clear()
    assert run(["apply", "-y"]) == 0
    assert "state.made-elsewhere" not in capsys.readouterr().err


def record_of(store: LocalStore, name: str) -> Any:
    return next(item for item in store.read().objects.values() if item.key.address == Address.parse(name))
