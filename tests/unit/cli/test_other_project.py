"""Two project files in one folder, and a project that gets another name: a state is one project's, and no other takes it apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlctl import workspace
from mlctl.cli.main import run
from mlctl.engine.store import LocalStore
from mlctl.registry import Registry
from mlctl.testing import fake

SHOP = "project: shop\nbuilds:\n  a: {value: 2}\n  b: {value: 2, uses_builds: [a]}\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project `shop`, applied, and the file of another beside it."""
    tool = fake.FakeTool()
    monkeypatch.setattr(workspace, "Registry", lambda: Registry.of(*fake.fake_kinds(tool)))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlctl.yaml").write_text(SHOP)
    (tmp_path / "other.yaml").write_text("project: other\nbuilds:\n  c: {value: 1}\n")
    assert run(["apply", "--auto-approve"]) == 0
    return tmp_path


@pytest.mark.parametrize(
    "command", [["plan"], ["plan", "--destroy"], ["apply", "-y"], ["destroy", "-y"], ["apply", "-y", "--detach"]]
)
def test_another_project_of_the_folder_removes_nothing(
    project: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = (project / ".mlctl/default/state.json").read_bytes()
    capsys.readouterr()
    assert run(["-f", "other.yaml", *command]) == 1
    said = capsys.readouterr()
    assert "error[state.other-project]" in said.err
    assert "the project `shop`" in said.err
    assert "`mlctl state rename-project shop`" in said.err
    assert (project / ".mlctl/default/state.json").read_bytes() == before


def test_a_project_that_was_renamed_goes_on_once_its_state_was_told(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "mlctl.yaml").write_text(SHOP.replace("shop", "store"))
    assert run(["plan"]) == 1
    assert run(["state", "rename-project", "shop", "--auto-approve"]) == 0
    assert run(["plan", "--detailed-exitcode"]) == 0
    assert LocalStore(project / ".mlctl/default").read().project == "store"
    assert run(["state", "rename-project", "shop", "--auto-approve"]) == 1


def test_only_a_state_that_was_another_ones_is_taken_over(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (project / ".mlctl/default/state.json").read_bytes()
    assert run(["state", "rename-project", "shop", "--auto-approve"]) == 1
    assert "change `project:` in its file first" in capsys.readouterr().err
    assert (project / ".mlctl/default/state.json").read_bytes() == before
    (project / "mlctl.yaml").write_text(SHOP.replace("shop", "store"))
    (project / ".mlctl/default").rename(project / "elsewhere")  # as in a bucket, where each name has a place of its own
    assert run(["state", "rename-project", "shop", "--auto-approve"]) == 1
    assert "there is no state of `shop` to take over" in capsys.readouterr().err


def test_what_is_left_of_nothing_is_for_anybody(project: Path) -> None:
    assert run(["destroy", "--auto-approve"]) == 0
    assert run(["-f", "other.yaml", "apply", "--auto-approve"]) == 0
    assert LocalStore(project / ".mlctl/default").read().project == "other"
    assert run(["plan"]) == 1


def test_an_older_state_does_not_say_whose_it_is_and_does_from_the_next_change_on(project: Path) -> None:
    store = LocalStore(project / ".mlctl/default")
    present = store.read()
    store.replace("older", lambda _: type(present)(present.lineage, 0, present.objects))
    assert store.read().project == ""
    assert run(["plan", "--detailed-exitcode"]) == 0
    (project / "mlctl.yaml").write_text(SHOP + "  c: {value: 3}\n")
    assert run(["apply", "--auto-approve"]) == 0
    assert store.read().project == "shop"
