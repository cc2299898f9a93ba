"""Apply as a process: Ctrl-C once and twice, at the prompt, JSON that stays JSON, readers that go away, a full disk behind stdout."""

from __future__ import annotations

import json
import os
import pty
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlctl.engine.applier import Applied
from mlctl.engine.runs import Runs
from mlctl.engine.store import LocalStore
from mlctl.types.address import Address, ObjectKey
from mlctl.types.change import Action, Change, Reason
from mlctl.types.diagnostic import ExitCode
from mlctl.types.event import StepDetached, StepSkipped
from mlctl.views.human import result

DRIVER = Path(__file__).with_name("driver.py")
PATIENCE_SECONDS = 20
APPLY = ["apply", "--auto-approve"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "mlctl.yaml").write_text("project: test\nbuilds:\n  a: {value: 2}\n  b: {value: 2, uses_builds: [a]}\n")
    return tmp_path


class Process(subprocess.Popen[bytes]):
    """A process that does not outlive its `with` block: a test that fails must not wait for it for ever."""

    def __exit__(self, *error: Any) -> None:
        self.kill()
        super().__exit__(*error)


def start(project: Path, behaviour: str, *arguments: str, **options: Any) -> Process:
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    command = [sys.executable, str(DRIVER), behaviour, "-C", str(project), *arguments]
    return Process(command, cwd=project, **{"env": environment, **streams})


def run(project: Path, behaviour: str, *arguments: str, **options: Any) -> tuple[int, str, str]:
    with start(project, behaviour, *arguments, **options) as process:
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, (out or b"").decode(), (err or b"").decode()


def begun(project: Path, behaviour: str, arguments: Sequence[str] = APPLY) -> subprocess.Popen[bytes]:
    """An apply whose first step is under way."""
    process = start(project, behaviour, *arguments)
    journal = project / ".mlctl" / "default" / "journal.jsonl"
    until = time.monotonic() + PATIENCE_SECONDS
    while not journal.exists() or journal.read_bytes().count(b"\n") < 2:
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)
    return process


def lines(text: str) -> list[dict[str, Any]]:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_lets_a_step_end_and_begins_no_other(project: Path, number: signal.Signals) -> None:
    process = begun(project, "waits")
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == ExitCode.INTERRUPTED
    assert b"stopping" in err
    assert b"Go on with: mlctl apply" in out


def test_the_second_signal_ends_a_step_that_does_not_listen(project: Path) -> None:
    process = begun(project, "hangs")
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while b"stopping" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=5)
    assert process.returncode == ExitCode.INTERRUPTED
    with LocalStore(project / ".mlctl" / "default").session("test") as session:  # the lock is free, the intent is known
        assert [str(record.key.address) for record in session.ledger if not record.complete] == ["builds.a"]


def test_one_signal_is_enough_at_the_prompt(project: Path) -> None:
    terminal, inside = pty.openpty()
    with start(project, "works", "apply", stdin=inside, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        told = b""
        while b"Only `yes` goes on" not in told:
            piece = os.read(process.stdout.fileno(), 4096)
            assert piece
            told += piece
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=5)
    os.close(terminal)
    os.close(inside)
    assert process.returncode == ExitCode.INTERRUPTED
    assert LocalStore(project / ".mlctl" / "default").read().objects == {}


def test_a_detached_apply_waits_for_another_writer_only_as_long_as_it_was_asked_to(tmp_path: Path) -> None:
    (tmp_path / "mlctl.yaml").write_text("project: test\nentities:\n  users: {key: user_id}\n")
    with LocalStore(tmp_path / ".mlctl" / "default").session("other"):
        code, out, err = run(tmp_path, "real", *APPLY, "--detach")
    assert (code, "state.locked" in err) == (ExitCode.LOCKED, True)
    assert "mlctl attach" not in out
    assert Runs(tmp_path / ".mlctl" / "default").running() == []


def test_plan_and_status_say_when_a_run_is_at_work(project: Path) -> None:
    process = begun(project, "waits")
    (at_work,) = Runs(project / ".mlctl" / "default").running()
    _, _, told = run(project, "works", "plan")
    _, status, _ = run(project, "works", "status")
    _, streamed, _ = run(project, "works", "plan", "--json")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE_SECONDS)
    assert f"the run `{at_work.id}` is at work" in told
    assert "a run is at work on it" in status
    assert "go on with: mlctl apply" not in status
    assert "run.at-work" in [line.get("code") for line in lines(streamed)]
    assert "is at work" not in run(project, "works", "plan")[2]


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan", "--refresh-only", "--refresh=false"), ("plan", "--destroy", "--refresh=deep"), ("plan", "--md", "--json"),
        ("plan", "--diff", "old.plan", "--md"), ("plan", "--md", "--verbose"), ("plan", "--destroy", "--refresh-only"),
        ("apply", "--refresh-only", "--refresh=false"), ("validate", "--json", "--sarif"),
    ],
)  # fmt: skip
def test_options_of_which_one_would_have_no_effect_are_refused(project: Path, arguments: tuple[str, ...]) -> None:
    code, out, err = run(project, "works", *arguments)
    assert code == ExitCode.ERROR
    assert "exclude each other" in out + err


def test_what_is_broken_is_drift_and_is_not_called_unchanged(project: Path) -> None:
    """A nightly job that looks for drift has to fail when a service is down, though the state has nothing to take over."""
    look = ("plan", "--refresh-only", "--detailed-exitcode")
    run(project, "works", *APPLY)
    code, out, _ = run(project, "breaks", *look)
    assert code == ExitCode.DRIFT
    assert "! builds.a: it does not answer" in out
    assert "Nothing was changed outside mlctl" not in out
    assert "`mlctl apply` mends what is broken" in out
    assert "Nothing was changed" not in run(project, "breaks", *look, "--md")[1]
    assert run(project, "breaks", "plan", "--refresh-only")[0] == ExitCode.OK


@pytest.mark.parametrize("severity", ["error", "warning"])
def test_a_comment_on_a_request_says_what_policies_say(project: Path, severity: str) -> None:
    file = project / "mlctl.yaml"
    policy = f"{{deny: changes, message: not this week <b>, severity: {severity}}}"
    file.write_text(f"{file.read_text()}policies:\n  frozen: {policy}\n")
    code, out, err = run(project, "works", "plan", "--md", "--out", "x.plan")
    refused = severity == "error"
    assert code == (ExitCode.POLICY if refused else ExitCode.OK)
    assert (project / "x.plan").exists() is not refused
    assert (
        out.index("2 to create") < out.index("**Refused**" if refused else "**Warnings**") < out.index("| resource |")
    )
    assert "<code>builds.a: not this week &#60;b&#62;</code>" in out
    assert "not this week" in err


def test_a_saved_plan_keeps_what_policies_said_of_it_for_whoever_reviews_it(project: Path) -> None:
    file = project / "mlctl.yaml"
    file.write_text(
        f"{file.read_text()}policies:\n  frozen: {{deny: changes, message: not this week, severity: warning}}\n"
    )
    assert run(project, "works", "plan", "--out", "x.plan")[0] == ExitCode.OK
    code, out, err = run(project, "works", "show", "x.plan")
    assert (code, "2 to create" in out) == (ExitCode.OK, True)
    assert err.count("warning[policy.warned]") == 2
    assert "mlctl.yaml:6" in err
    page = run(project, "works", "show", "x.plan", "--md")[1]
    assert page == run(project, "works", "plan", "--md")[1]
    assert "**Warnings**" in page
    found = lines(run(project, "works", "show", "x.plan", "--json")[1])
    assert [line["code"] for line in found if line["type"] == "diagnostic"] == ["policy.warned"] * 2
    assert run(project, "works", "apply", "x.plan")[0] == ExitCode.OK


def told(out: str, before: str) -> list[str]:
    """The words of the command line that is printed after some text, as a shell reads them."""
    return shlex.split(out.partition(before)[2].splitlines()[0])


def test_the_line_that_applies_a_saved_plan_works_as_it_is_printed(project: Path, tmp_path: Path) -> None:
    inside = tmp_path / "präsenz team" / "shop"
    inside.mkdir(parents=True)
    shutil.copy(project / "mlctl.yaml", inside)
    code, out, _ = run(tmp_path, "works", "-C", str(inside), "plan", "--out", "my first.plan")
    words = told(out, "Apply exactly this with: ")
    assert (code, words) == (0, ["mlctl", "-C", "präsenz team/shop", "apply", "my first.plan"])
    code, out, err = run(tmp_path, "works", *words[1:])
    assert (code, "2 done" in out) == (0, True), err


def test_a_saved_plan_in_a_folder_without_a_project_says_so(project: Path, tmp_path: Path) -> None:
    run(project, "works", "plan", "--out", "first.plan")
    (tmp_path / "empty").mkdir()
    code, _, err = run(tmp_path / "empty", "works", "apply", str(project / "first.plan"))
    assert (code, "spec.no-project" in err) == (ExitCode.ERROR, True)
    assert "the plan is of the project `test`" in " ".join(err.split())
    assert not list((tmp_path / "empty").iterdir())


def test_a_locale_of_ascii_alone_stands_in_the_way_of_no_file(tmp_path: Path) -> None:
    (tmp_path / "dät a").mkdir()
    (tmp_path / "dät a" / "größe.csv").write_text("n\n1\n")
    (tmp_path / "mlctl.yaml").write_text("project: test\ndatasets:\n  n: {path: dät a/größe.csv}\n", encoding="utf-8")
    ascii_only = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    with start(tmp_path, "real", *APPLY, env={**os.environ, **ascii_only}) as process:
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, err) == (0, b"")
    assert "✓ datasets.n" in out.decode()


def test_the_lines_that_init_prints_work_as_they_are_printed(tmp_path: Path) -> None:
    (tmp_path / "my team").mkdir()
    code, out, _ = run(tmp_path, "works", "-C", "my team", "init", "shop")
    assert (code, told(out, "Next:\n")) == (0, ["cd", "my team/shop", "&&", "mlctl", "plan"])
    code, out, _ = run(tmp_path, "works", "init", "--provider", "catalog", "--section", "catalog_entries", "my kind")
    assert (code, told(out, "Next:\n")) == (0, ["cd", str(tmp_path / "my kind")])


def test_a_word_on_how_to_use_a_command_of_a_group_names_that_command(project: Path) -> None:
    _, _, err = run(project, "works", "state", "show")
    assert "see `mlctl state show --help`" in err


@pytest.mark.parametrize("group", ["state", "env", "features", "experiment", "monitor", "schedule"])
def test_the_help_of_a_group_has_examples(project: Path, group: str) -> None:
    code, out, _ = run(project, "works", group, "--help")
    assert (code, "Examples:" in out) == (ExitCode.OK, True)


def test_a_repair_of_the_state_is_asked_for_and_only_where_something_is_to_be_mended(project: Path) -> None:
    run(project, "works", *APPLY)
    state = project / ".mlctl" / "default" / "state.json"
    repair = ("state", "fsck", "--repair")
    assert "cli.not-interactive" not in run(project, "works", *repair)[2]
    state.chmod(0o644)
    code, out, err = run(project, "works", *repair)
    assert (code, "Mend 1 file?" in err, "has mode 644" in out) == (ExitCode.ERROR, True, True)
    assert state.stat().st_mode & 0o777 == 0o644
    assert "mended: " in run(project, "works", *repair, "--auto-approve")[1]
    assert state.stat().st_mode & 0o777 == 0o600
    assert "`--auto-approve` needs `--repair`" in run(project, "works", "state", "fsck", "--auto-approve")[2]


def test_state_import_is_import(project: Path) -> None:
    found = [
        run(project, "works", *words, "builds.nobody", "x", "--json") for words in (("import",), ("state", "import"))
    ]
    assert found[0] == found[1]
    assert "import.no-block" in found[0][1]


def test_what_is_skipped_because_of_itself_is_named_once() -> None:
    address = Address("builds", "a")
    skipped = StepSkipped(Change(Action.RUN, ObjectKey.parse("builds.a#1"), Reason.SPEC), address, "it failed before")
    other = replace(skipped, because=Address("builds", "b"))
    assert "because of" not in result.render(Applied(skipped=[skipped]))
    assert "because of builds.b: it failed before" in result.render(Applied(skipped=[other]))


def test_what_goes_on_alone_is_in_the_table_of_outcomes() -> None:
    left = StepDetached(Change(Action.RUN, ObjectKey.parse("builds.a#1"), Reason.SPEC), 3.0)
    text = result.render(Applied(detached=[left], interrupted=True))
    assert "goes on  builds.a  run  without this command, after 3.0 s with it" in text
    assert "Go on with: mlctl apply" in text


def test_json_is_never_mixed_with_a_question(project: Path) -> None:
    terminal, inside = pty.openpty()
    os.write(terminal, b"yes\n")
    code, out, _ = run(project, "works", "apply", "--json", stdin=inside)
    os.close(terminal)
    os.close(inside)
    assert code == ExitCode.ERROR
    assert [line["type"] for line in lines(out)][-2:] == ["diagnostic", "apply_summary"]
    assert lines(out)[-2]["code"] == "cli.not-interactive"
    assert lines(out)[-1]["exit_code"] == ExitCode.ERROR


def test_a_figure_that_is_no_number_is_null_in_json(project: Path) -> None:
    code, out, _ = run(project, "diverges", *APPLY, "--json")
    assert code == ExitCode.OK
    (first, *_) = [line for line in lines(out) if line["type"] == "apply_progress"]
    assert first["metrics"] == {"loss": None}
    assert lines(out)[-1]["type"] == "apply_summary"


def test_an_unknown_command_is_told_as_json(project: Path) -> None:
    code, out, _ = run(project, "works", "aply", "--json")
    assert (code, lines(out)[0]["code"]) == (ExitCode.ERROR, "cli.unknown-command")


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_an_apply_goes_on_when_nobody_reads_any_more(project: Path, flags: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    code, _, err = run(project, "works", *APPLY, *flags, stdout=writer)
    os.close(writer)
    assert (code, err) == (ExitCode.OK, "")
    assert all(record.complete for record in LocalStore(project / ".mlctl" / "default").read().objects.values())
    assert len(LocalStore(project / ".mlctl" / "default").read().objects) == 2


@pytest.mark.parametrize("arguments", [["plan"], ["graph"], ["plan", "--json"], ["--help"]])
def test_a_reader_that_went_away_is_no_error(project: Path, arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    code, _, err = run(project, "works", *arguments, stdout=writer)
    os.close(writer)
    assert (code, err) == (ExitCode.OK, "")


@pytest.mark.parametrize(
    "arguments", [["plan"], ["plan", "--json"], ["plan", "--md"], ["plan", "--md", "--detailed-exitcode"], ["--help"]]
)
def test_output_that_cannot_be_written_is_a_clear_error(project: Path, arguments: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        code, _, err = run(project, "works", *arguments, stdout=full)
    assert code == ExitCode.ERROR
    assert "cli.cannot-write" in err
    assert "No space left on device" in err
    assert "Traceback" not in err
    assert not list(project.glob("mlctl-bug-*"))


def test_a_state_that_cannot_be_folded_is_a_clear_error_with_the_summary_and_loses_nothing(project: Path) -> None:
    run(project, "works", *APPLY)
    generations = project / ".mlctl" / "default" / "generations"
    shutil.rmtree(generations)
    generations.write_text("")  # no old state can be kept aside any more
    code, out, err = run(project, "works", "destroy", "--auto-approve")
    assert code == ExitCode.PARTLY_APPLIED
    assert "state.cannot-write" in err
    assert "Traceback" not in err
    assert "All is done (2 in" in out
    assert "Go on, once it is mended, with: mlctl destroy" in out
    (about,) = [
        item.read() for item in Runs(project / ".mlctl" / "default").kept() if item.read().operation == "destroy"
    ]
    assert (about.exit_code, about.counts["done"]) == (ExitCode.PARTLY_APPLIED, 2)
    assert LocalStore(project / ".mlctl" / "default").read().objects == {}
    generations.unlink()
    assert run(project, "works", *APPLY)[0] == ExitCode.OK
    assert len(LocalStore(project / ".mlctl" / "default").read().objects) == 2


def test_a_state_that_cannot_be_written_in_the_end_ends_a_stream_of_json_with_its_summary(project: Path) -> None:
    run(project, "works", *APPLY)
    generations = project / ".mlctl" / "default" / "generations"
    shutil.rmtree(generations)
    generations.write_text("")
    code, out, _ = run(project, "works", "destroy", "--auto-approve", "--json")
    last = lines(out)[-1]
    assert (code, last["type"], last["exit_code"], last["done"]) == (8, "apply_summary", 8, 2)
    assert "state.cannot-write" in [line.get("code") for line in lines(out)]


def test_a_destroy_that_was_cut_off_does_not_send_anyone_to_apply() -> None:
    skipped = StepSkipped(
        Change(Action.DELETE, ObjectKey.parse("builds.a#1"), Reason.REQUESTED), Address("builds", "a"), ""
    )
    text = result.render(Applied(skipped=[skipped], interrupted=True), "mlctl destroy")
    assert "Go on with: mlctl destroy" in text
    assert "mlctl apply" not in text
