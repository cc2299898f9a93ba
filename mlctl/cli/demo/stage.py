"""The stage of a demonstration: a project in a folder, the real `mlctl` on it, and a telling of what each step came to.

Whatever ends a demonstration ends what it started: nothing runs when it is over.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlctl import templates
from mlctl.cli.options import emit_json
from mlctl.files import atomic
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.views.human.style import Paint, wants_color


@dataclass
class Done:
    """A command that has ended."""

    exit_code: int
    lines: list[dict[str, Any]]
    errors: str

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Its JSON lines of one type."""
        return [line for line in self.lines if line.get("type") == kind]


@dataclass
class Stage:
    """One demonstration under way."""

    root: Path
    port: int
    as_json: bool
    began: float = field(default_factory=time.monotonic)
    steps: int = 0
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._paint = Paint(wants_color(sys.stdout))
        self._running: subprocess.Popen[bytes] | None = None

    def head(self, text: str) -> None:
        """What comes next."""
        self.steps += 1
        if not self.as_json:
            print(f"\n{self._paint(f'{self.steps}. {text}', 'bold')}", flush=True)

    def tell(self, step: str, text: str, **figures: Any) -> None:
        """What came of it, with its figures."""
        if self.as_json:
            emit_json(
                {"type": "demo", "step": step, "text": text, "at": round(time.monotonic() - self.began, 1), **figures}
            )
        else:
            print(f"   {text}", flush=True)

    def check(self, step: str, holds: bool, text: str, **figures: Any) -> None:
        """Something that has to hold, or the demonstration has failed."""
        if not holds:
            self.wrong.append(text)
        mark = self._paint("ok", "green") if holds else self._paint("WRONG", "red", "bold")
        self.tell(step, text if self.as_json else f"{mark}  {text}", holds=holds, **figures)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start `mlctl ... --json` in the project; `wait` gives what came of it."""
        if not self.as_json:
            print(self._paint(f"   $ mlctl {' '.join(arguments)}", "dim"), flush=True)
        command = [sys.executable, "-m", "mlctl.cli.main", "-C", str(self.root), *arguments, "--json"]
        environment = {name: value for name, value in os.environ.items() if name not in ("MLCTL_ENV", "FORCE_COLOR")}
        self._running = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        return self._running

    def wait(self, process: subprocess.Popen[bytes]) -> Done:
        """The end of a command, with its lines."""
        out, errors = process.communicate()
        self._running = None
        lines = [json.loads(line) for line in out.decode().splitlines() if line.startswith("{")]
        return Done(process.returncode, lines, errors.decode())

    def mlctl(self, *arguments: str, expected: tuple[int, ...] = (0,)) -> Done:
        """Run a command to its end. Raises MlctlError when it ends otherwise than it may here."""
        done = self.wait(self.start(*arguments))
        return self.expect(done, " ".join(arguments), expected)

    def expect(self, done: Done, command: str, expected: tuple[int, ...]) -> Done:
        """Raise MlctlError when a command ended otherwise than it may here."""
        if done.exit_code not in expected:
            told = done.errors.strip() or "; ".join(str(line.get("summary", "")) for line in done.of("diagnostic"))
            raise MlctlError.of(
                "demo.failed",
                f"`mlctl {command}` ended with exit code {done.exit_code}",
                told[-2000:],
                f"look around in {self.root}, then remove it",
            )
        return done

    def write(self, name: str, data: bytes) -> None:
        """A file of the project."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(path, data, mode=0o644)

    def close(self) -> None:
        """End all that this demonstration has started."""
        process = self._running
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        if (self.root / ".mlctl").exists():
            quiet = subprocess.run(
                [sys.executable, "-m", "mlctl.cli.main", "-C", str(self.root), "destroy", "--auto-approve", "--lock-timeout", "60s"],
                stdin=subprocess.DEVNULL, capture_output=True, check=False, start_new_session=True,
            )  # fmt: skip
            if quiet.returncode != ExitCode.OK:
                sys.stderr.write(quiet.stderr.decode())


@contextmanager
def stage(folder: Path | None, files: Mapping[str, bytes], *, as_json: bool) -> Iterator[Stage]:
    """A stage in a folder of its own, with the demo's project and these files. Ends everything, whatever happens."""
    place = _fresh(folder)
    made = Stage(place, free_port(), as_json)
    before = signal.signal(signal.SIGTERM, _interrupt)  # as Ctrl-C: what was started is ended
    try:
        made.write("mlctl.yaml", templates.fill(templates.demo(), {"port": str(made.port)}))
        for name, data in files.items():
            made.write(name, data)
        yield made
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        made.close()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, before)
        if folder is None:
            shutil.rmtree(place, ignore_errors=True)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _fresh(folder: Path | None) -> Path:
    if folder is None:
        return Path(tempfile.mkdtemp(prefix="mlctl-demo-")).resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise MlctlError.of(
            "demo.folder-taken", f"{folder} is not empty", "a demonstration overwrites nothing", "name a new folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def free_port() -> int:
    """A port that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
