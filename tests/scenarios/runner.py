"""Run a scenario: a folder with project files, a `script` and the `output.txt` it has to give.

A script is a line a command, split as a shell would, without a shell. `mlctl ...` runs the installed program in a copy of
the folder; every line of a `--json` run has to be JSON. The other commands are below, each a function; a line that begins
with `#` is kept in the output, so that it reads as a story.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests import nursery

MLCTL = nursery.MLCTL
SCRIPT, OUTPUT = "script", "output.txt"
_TIMEOUT_SECONDS = 240

# What differs from run to run, and what stands for it. The order counts: whole things before their parts.
_MASKS = [
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "<uuid>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "<time>"),
    (re.compile(r"\b[0-9a-f]{64}\b|\b[0-9a-f]{32}\b"), "<digest>"),
    (re.compile(r"\b[0-9a-f]{16}\b"), "<id>"),
    (re.compile(r"\b[0-9a-f]{8}\b"), "<digest>"),
    (re.compile(r"\b(\d+ h )?(\d+ min )?\d+(\.\d+)? s\b"), "<seconds>"),
    (re.compile(r'("seconds"): [\d.]+'), r"\1: <seconds>"),
    (re.compile(r"\bpid \d+"), "pid <pid>"),
    (re.compile(r'\btook [^("\n]*(\(planned [^)]*\))?'), "took <actual>"),
    (re.compile(r"\bestimate: .*; calibrated from (\d+) runs?$", re.MULTILINE), r"estimate: <calibrated from \1>"),
    (re.compile(r"\b(roc_auc|accuracy) \d\.\d+"), r"\1 <metric>"),
    (re.compile(r'("by"|"who"): "[^"]*"'), r'\1: "<who>"'),
    (re.compile(r"\b([Aa]pproved by )[^\s:,]+"), r"\1<who>"),
    (re.compile(r"^(Saved by )\S+", re.MULTILINE), r"\1<who>"),
    (re.compile(r"\bmlctl \d+\.\d+[\w.]*\w"), "mlctl <version>"),
    (re.compile(r'("mlctl"|"python"|"machine"): "[^"]*"'), r'\1: "<version>"'),
    (re.compile(r"^(  (?:by|mlctl|python|machine|seconds): ).*$", re.MULTILINE), r"\1<masked>"),
]
# A step that takes long, on a machine that is busy, says so every few seconds.
_PROGRESS = re.compile(r'^    [a-z_]+\.[\w-]+: .*\n|^\{"type": "apply_progress".*\n', re.MULTILINE)


@dataclass
class Scenario:
    """One run of a script in a folder of its own."""

    source: Path
    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    hidden: list[str] = field(default_factory=list)

    def run(self) -> str:
        """The story: each command, what it printed, and its exit code when that is not 0."""
        shutil.copytree(self.source, self.root, ignore=shutil.ignore_patterns(SCRIPT, OUTPUT))
        lines = iter((self.source / SCRIPT).read_text().splitlines())
        return "".join(self._line(line, lines) for line in lines)

    def _line(self, line: str, rest: Iterator[str]) -> str:
        if not line.strip() or line.startswith("#"):
            return f"{line}\n"
        name, *arguments = shlex.split(line)
        if name == "mlctl":
            return f"$ {line}\n{self._mlctl(arguments)}"
        if arguments and arguments[-1] == "<<":
            body = "".join(f"{item}\n" for item in iter(lambda: next(rest), "EOF"))
            arguments[-1] = body
            line += "\n" + body + "EOF"
        _BUILT_IN[name](self, *arguments)
        return f"$ {line}\n"

    def _mlctl(self, arguments: list[str]) -> str:
        # no terminal, no colour, a known width and nothing of the machine's own settings
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(self.root.parent), "LC_ALL": "C.UTF-8", "TZ": "UTC", "COLUMNS": "120",
            "PYTHONPATH": str(self.root.parent / "hidden"), "MLCTL_DEVICE": "cpu:2:16GiB",
            "MLCTL_PRICES_ON": "2026-11-22", **self.environment,
        }  # fmt: skip
        done = nursery.start_mlctl(*arguments, environment=environment, folder=self.root)
        said, _ = done.communicate(timeout=_TIMEOUT_SECONDS)
        if "--json" in arguments:
            lines = [json.loads(line) for line in said.splitlines()]
            assert all(isinstance(line, dict) for line in lines), said
            if arguments[0] == "plan" and done.returncode in (0, 2):
                counts = ["create", "update", "replace", "destroy", "run", "import", "forget", "unchanged"]
                assert [*lines[-1]][: len(counts) + 1] == ["type", *counts]
        assert "Traceback (most recent call last)" not in said, said
        code = f"exit code {done.returncode}\n" if done.returncode else ""
        return self._masked(said) + code

    def _masked(self, text: str) -> str:
        text = _PROGRESS.sub("", text)
        for path in (self.root.resolve(), self.root):
            text = text.replace(str(path), "<project>")
        text = text.replace(str(MLCTL), "<mlctl>")
        for pattern, mask in _MASKS:
            text = pattern.sub(mask, text)
        return text


def _write(scenario: Scenario, name: str, text: str) -> None:
    """`write FILE <<` and lines up to `EOF`: the file holds these lines."""
    path = scenario.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _replace(scenario: Scenario, name: str, old: str, new: str) -> None:
    """`replace FILE OLD NEW`: change a text that stands in the file once."""
    path = scenario.root / name
    text = path.read_text()
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {name}"
    path.write_text(text.replace(old, new))


def _remove(scenario: Scenario, name: str) -> None:
    """`rm FILE`."""
    (scenario.root / name).unlink()


def _grow(scenario: Scenario, name: str, megabytes: str) -> None:
    """`grow FILE N`: append comment lines until the file has N megabytes."""
    path = scenario.root / name
    line = "# " + "x" * 117 + "\n"
    path.write_text(path.read_text() + line * (int(megabytes) * 1_000_000 // len(line)))


def _hex(scenario: Scenario, name: str, digits: str) -> None:
    """`hex FILE DIGITS`: append bytes."""
    with open(scenario.root / name, "ab") as stream:
        stream.write(bytes.fromhex(digits))


def _hide(scenario: Scenario, module: str) -> None:
    """`hide MODULE`: from here on it is as if this package were not installed."""
    folder = scenario.root.parent / "hidden"
    folder.mkdir(exist_ok=True)
    (folder / f"{module}.py").write_text(
        f"raise ModuleNotFoundError(\"No module named '{module}'\", name='{module}')\n"
    )


def _unhide(scenario: Scenario, module: str) -> None:
    """`unhide MODULE`: it is installed again."""
    (scenario.root.parent / "hidden" / f"{module}.py").unlink()


def _absent(scenario: Scenario, name: str) -> None:
    """`absent FILE`: fail unless there is no such file."""
    assert not (scenario.root / name).exists(), f"{name} exists"


def _present(scenario: Scenario, name: str) -> None:
    """`present FILE`: fail unless there is such a file."""
    assert (scenario.root / name).exists(), f"{name} does not exist"


def _env(scenario: Scenario, name: str, value: str) -> None:
    """`env NAME VALUE`: set a variable for the commands that follow."""
    scenario.environment[name] = value


_BUILT_IN: dict[str, Callable[..., None]] = {
    "write": _write, "replace": _replace, "rm": _remove, "grow": _grow, "hex": _hex, "hide": _hide, "unhide": _unhide,
    "absent": _absent, "present": _present, "env": _env,
}  # fmt: skip
