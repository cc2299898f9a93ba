"""Spoiled input for the whole command line: whatever stands in a file, mlctl answers in words and changes nothing.

A case is a kind, a seed and a number, from which everything follows. Its spoiled file is put into an applied project, and
commands that only read are run in this process. What must hold after each of them:

1. it ends, within `LIMIT_SECONDS`, with an exit code that says "done" or "error", never 70;
2. it prints no traceback, and no control character that would reach a terminal;
3. every line on stdout is JSON when `--json` was asked for;
4. the state folder holds the same bytes as before;
5. a state that is no JSON any more is refused with a `state.*` diagnostic, and a saved plan that was edited is not applied.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from random import Random

from mlctl.cli import main
from mlctl.cli.catalogue import commands
from mlctl.types.diagnostic import ExitCode
from mlctl.types.value import digest
from tests.faults.fuzz_arena import PLAN, ROOT, STATE, Arena, Case

LIMIT_SECONDS = 10
_ENDS = {ExitCode.OK, ExitCode.ERROR, ExitCode.CHANGES, ExitCode.GATE_FAILED, ExitCode.DRIFT, ExitCode.STALE_PLAN}
_UNSHOWABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_NOT_JSON = re.compile("[\x00-\x08\x0b-\x1f]")  # what JSON escapes; the others are for who shows it
_REPORT = re.compile(r"/\S*mlctl-bug-[0-9-]+\.txt")
_CODE = re.compile(r"\bstate\.[a-z-]+")


class TooLongError(BaseException):
    """The time for one input is over. No `Exception`, so that nothing on the way takes it for one of its own."""


@dataclass(frozen=True)
class Finding:
    """A promise that did not hold."""

    case: Case
    command: tuple[str, ...]
    what: str
    file: Path
    output: str


def run_case(arena: Arena, case: Case) -> Finding | None:
    """Run the commands of a case; the first promise that does not hold, if any."""
    with arena.spoiled(case) as file:
        before = arena.state_folder()
        data = before.get(str(arena.root / STATE), (0, b""))[1]
        broken = file == STATE and not _is_json_state(data)
        edited = file == PLAN and not _is_sealed_plan((arena.root / file).read_bytes())
        asked = [("apply", PLAN.name)] if edited else []  # a plan whose digest is right would rightly be applied
        for command in [*asked, *chosen_commands(case)]:
            code, output, seconds = run_command(arena.root, command)
            what = _wrong(command, code, output, seconds)
            if not what and arena.state_folder() != before:
                what = "it changed the state folder"
            if not what and broken and command[0] in ("plan", "status", "state") and not _CODE.search(output):
                what = "the state is damaged and no `state.*` diagnostic says so"
            if not what and command[0] == "apply" and code == ExitCode.OK:
                what = "it applied a plan that was edited"
            if what:
                return Finding(case, command, what, file, output)
    return None


def chosen_commands(case: Case) -> list[tuple[str, ...]]:
    """The commands for a case: the two that everybody runs, and two of the others."""
    rng = Random(f"commands:{case}")
    every = [
        ("plan", "--json"), ("plan", "--refresh=false", "--verbose"), ("plan", "--target", "entities.shop"), ("status", "--json"),
        ("graph",), ("state", "list"), ("state", "list", "--json"), ("state", "show", "entities.shop"),
        ("show", "datasets.visits"), ("show", "data_checks.visits_ok", "--json"), ("why", "datasets.visits"),
        ("output",), ("output", "--json"), ("logs", "datasets.visits"), ("validate", "--json"),
    ]  # fmt: skip
    if case.kind == "plan":
        every = [
            ("show", PLAN.name), ("show", PLAN.name, "--json"), ("plan", "--diff", PLAN.name),
            ("plan", "--diff", PLAN.name, "--json"),
        ]  # fmt: skip
        return rng.sample(every, 2)
    if "fmt" in commands():
        every.append(("fmt", "--check"))
    first = ("validate",) if case.kind == "spec" else ("status",)
    return [first, ("plan",), *rng.sample(every, 2)]


def run_command(root: Path, arguments: tuple[str, ...]) -> tuple[int | BaseException, str, float]:
    """Run mlctl in this process: its exit code or what it raised, all that it printed, and how long it took."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace", write_through=True) for _ in "12")
    started = time.perf_counter()
    code: int | BaseException
    with chdir(root), _deadline(LIMIT_SECONDS), redirect_stdout(out), redirect_stderr(err):
        try:
            code = main.run(arguments)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            code = error
    seconds = time.perf_counter() - started
    text = out.buffer.getvalue().decode() + "\n" + err.buffer.getvalue().decode()  # type: ignore[attr-defined]
    return code, text, seconds


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    def ring(number: int, frame: object) -> None:
        raise TooLongError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _wrong(command: tuple[str, ...], code: int | BaseException, output: str, seconds: float) -> str:
    """What is wrong with how a command ended, if anything."""
    if isinstance(code, TooLongError) or seconds > LIMIT_SECONDS:
        return f"it took longer than {LIMIT_SECONDS} s"
    if isinstance(code, BaseException):
        return f"it raised {type(code).__name__}: {code}"[:300]
    if code == ExitCode.BUG:
        return f"it has a bug: {_bug(output)}"
    if code not in _ENDS:
        return f"it ended with {code}"
    if "Traceback (most recent call last)" in output:
        return "it printed a traceback"
    if (match := (_NOT_JSON if "--json" in command else _UNSHOWABLE).search(output)) is not None:
        around = output[max(0, match.start() - 40) : match.end() + 20]
        return f"it printed the control character U+{ord(match[0]):04X}: {around!r}"
    if "--json" in command and command[0] in ("plan", "status", "validate"):
        for line in output.split("\n"):
            try:
                json.loads(line or "0")
            except ValueError:
                return f"a line is not JSON: {line[:200]}"
    return ""


def _bug(output: str) -> str:
    """Where a bug is: the last frame of its report and the error. Removes the report."""
    found = _REPORT.search(output)
    if found is None or not Path(found[0]).exists():
        return output.strip()[:200]
    report = Path(found[0])
    lines = report.read_text(errors="replace").rstrip().splitlines()
    report.unlink()
    frame = next((line.strip() for line in reversed(lines) if line.startswith('  File "') and "mlctl" in line), "")
    return f"{frame.replace(str(ROOT), '')}: {lines[-1]}"[:300]


def _is_json_state(data: bytes) -> bool:
    """Whether a state file is at least an object of JSON with the fields of one."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and {"format", "lineage", "serial", "objects"} <= value.keys()


def keep(arena: Arena, finding: Finding, folder: Path) -> Path:
    """Keep the whole project of a finding, so that the real command line can be run on it."""
    case = finding.case
    kept = folder / f"{case.kind}-{case.seed}-{case.number}"
    shutil.rmtree(kept, ignore_errors=True)
    with arena.spoiled(case):
        shutil.copytree(arena.root, kept)
    return kept


def _is_sealed_plan(data: bytes) -> bool:
    """Whether a saved plan has the digest of what stands in it."""
    try:
        value = json.loads(data)
        return bool(value["digest"] == digest({name: item for name, item in value.items() if name != "digest"}))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False
