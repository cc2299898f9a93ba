"""A bug is reported in a file of its own, whatever else happens in that second."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mlctl.cli import dispatch
from mlctl.cli.dispatch import _report
from mlctl.views.json.text import escaped


def test_two_bugs_in_one_second_have_two_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dispatch.time, "strftime", lambda form: "20260101-000000")
    for text in ("first", "second", "third"):
        assert _report(ZeroDivisionError(text), ["plan"]).code == "bug.internal"
    written = sorted(tmp_path.iterdir())
    assert [path.name for path in written] == [
        "mlctl-bug-20260101-000000-2.txt",
        "mlctl-bug-20260101-000000-3.txt",
        "mlctl-bug-20260101-000000.txt",
    ]
    assert [path.read_text().rstrip().rpartition(" ")[2] for path in written] == ["second", "third", "first"]


def test_a_command_in_another_program_leaves_its_garbage_collection_alone(tmp_path: Path) -> None:
    before = gc.get_threshold()
    dispatch.dispatch("validate", ["-C", str(tmp_path)])
    assert gc.isenabled()
    assert gc.get_threshold() == before


def test_what_was_printed_is_all_there_when_the_process_ends_at_once(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mlctl.cli.main", "schema"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)


@pytest.mark.parametrize("text", ["plain", "\x7f", "\x9b31m", "ü\u202ex", "\u2028", "日本"])
def test_json_text_steers_no_terminal_and_stays_the_same_value(text: str) -> None:
    found = escaped(json.dumps({text: [text]}, ensure_ascii=False))
    assert json.loads(found) == {text: [text]}
    assert text in found or not text.isprintable()
    assert found.isprintable()


def test_why_says_that_a_plan_says_nothing_of_what_is_out_of_the_project_and_in_use(tmp_path: Path) -> None:
    """Its user still holds it in the state, and only it was asked about."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        driver = Path(__file__).with_name("driver.py")
        return subprocess.run(
            [sys.executable, str(driver), "works", *arguments], cwd=tmp_path, capture_output=True, text=True
        )

    (tmp_path / "mlctl.yaml").write_text("project: p\nbuilds:\n  a: {value: 1}\n  b: {value: 2, uses_builds: [a]}\n")
    assert run("apply", "--auto-approve").returncode == 0
    (tmp_path / "mlctl.yaml").write_text("project: p\nbuilds:\n  b: {value: 2}\n")
    done = run("why", "builds.a")
    assert done.returncode == 1
    assert "error[plan.not-planned]" in done.stderr


def test_the_module_is_the_command_from_anywhere(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mlctl", "version"], cwd=tmp_path, text=True, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout.split()[0], done.stderr) == (0, "mlctl", "")


def test_an_option_that_is_not_listed_is_not_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch.dispatch("apply", ["--targt", "x"]) == 1
    told = capsys.readouterr().err
    assert "--target" in told
    assert "--rest" not in told


@pytest.mark.parametrize("arguments", [[], ["-C", "."]])
@pytest.mark.parametrize("name", ["data", "deploy", "models"])
def test_a_group_of_commands_alone_prints_its_help(
    name: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch.dispatch(name, arguments) == 1
    said = capsys.readouterr()
    assert f"Usage: mlctl {name} [OPTIONS] COMMAND" in said.out
    assert said.err == ""


def test_lineage_is_found_under_its_other_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch.dispatch("lineage", []) == 1
    said = capsys.readouterr().err
    assert "`mlctl graph`" in said
    assert "`mlctl models provenance`" in said


def test_status_of_one_object_is_what_show_tells(tmp_path: Path) -> None:
    (tmp_path / "mlctl.yaml").write_text("project: shop\n")
    command = [sys.executable, "-m", "mlctl", "-C", str(tmp_path), "status"]
    done = subprocess.run([*command, "deployments.api"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "for one object: `mlctl show deployments.api`" in done.stderr
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
