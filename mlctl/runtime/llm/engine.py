"""The engine as a process: started in a session of its own, waited for, and ended with all that belongs to it."""

from __future__ import annotations

import http.client
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from mlctl.processes import engine as engines
from mlctl.runtime.llm.watchdog import GOODBYE
from mlctl.types.jobs.llm import PLACES, EngineJob
from mlctl.types.secret import ENVIRONMENT

_POLL_SECONDS = 0.1
_HEALTH_SECONDS = 2.0
_JOIN_TRIES = 5
_SWEEP_SECONDS = 5.0  # SIGTERM to those that are left, before SIGKILL
# The shell waits for a word, and becomes the engine. So there is no moment in which an engine runs and nobody knows of it.
_GATE = 'read -r go && exec "$@" </dev/null'
# of our own Python, and of a terminal that the command was given in: nothing to an engine, or worse
_NOT_FOR_ENGINES = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "OMP_NUM_THREADS", ENVIRONMENT, "TQDM_DISABLE")
_PLACE = re.compile(r"\{(" + "|".join(sorted(PLACES)) + r")\}")


class Engine:
    """The engine of a release: its own, or one that it shares. To be used by a thread that lives as long as the process does."""

    def __init__(self, job: EngineJob, folder: Path, root: Path) -> None:
        self.job, self._folder, self._root = job, folder, root
        self.kept: engines.Kept | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{self.at.host}:{self.at.port}"

    @property
    def at(self) -> engines.Kept:
        """What is written down of it. Raises ValueError before it is there."""
        if self.kept is None:
            raise ValueError("there is no engine yet")
        return self.kept

    def start(
        self,
        host: str,
        port: int,
        digest: str | None,
        places: Mapping[str, str],
        given: Mapping[str, str],
        arguments: Sequence[str],
    ) -> None:
        """Begin. Its session is on disk before its program runs, and somebody watches who ends it if we are killed.

        `digest` is that of an engine that others may share, `places` are put into what the job says, `given` and `arguments`
        are further variables and arguments.
        """
        own = Path(places["folder"])
        known = {**places, "host": host, "port": str(port)}
        for name, text in self.job.files.items():
            path = own / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(filled(text, known), encoding="utf-8")
        told = {name: filled(value, known) for name, value in self.job.environment.items()}
        inherited = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_ENGINES}
        self._watch()
        since = time.time()
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _GATE, "engine", *(filled(part, known) for part in (*self.job.command, *arguments))],
            cwd=self._root,
            env={**inherited, **told, **given},
            stdin=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        key = given[KEY_VARIABLE]
        self.kept = engines.Kept(self._process.pid, since, engines.boot(), str(own), digest, key, host, port)
        engines.record(self._folder, self.kept)
        with suppress(BrokenPipeError):
            assert self._process.stdin is not None  # noqa: S101
            self._process.stdin.write(b"go\n")
            self._process.stdin.close()

    def join(self, digest: str) -> bool:
        """Take part in the engine of another release, when there is one that does all that this one needs."""
        self.kept = engines.join(self._folder, digest)
        if self.kept is None:
            return False
        self._watch()
        for _ in range(_JOIN_TRIES):  # a busy one may not answer at once
            if self.healthy():
                return True
        self.stop(0.0)
        self.kept = None
        return False

    def ended(self) -> str | None:
        """How it has ended, once it has."""
        if self._process is not None:
            code = self._process.poll()
            return None if code is None else spoken_end(code)
        return None if self.kept is None or _lives(self.kept.session) else "with another release's"

    def wait_ready(self, stopped: Callable[[], bool], tell: Callable[[], None]) -> str:
        """Wait until it answers; why it never will, or empty text. Also returns when `stopped` says so. `tell` is called meanwhile."""
        deadline = time.monotonic() + self.job.start_seconds
        while not stopped():
            if (how := self.ended()) is not None:
                return f"it ended {how}"
            if self.healthy():
                stranger = self._stranger()
                if not stranger:
                    self.kept = replace(self.at, ready=True)
                    engines.record(self._folder, self.kept)
                return stranger
            if time.monotonic() > deadline:
                return f"it did not answer within {self.job.start_seconds:g} s (`start_timeout`)"
            tell()
            time.sleep(_POLL_SECONDS)
        return ""

    def healthy(self) -> bool:
        """Whether it says that it can be asked."""
        connection = http.client.HTTPConnection(self.at.host, self.at.port, timeout=_HEALTH_SECONDS)
        try:
            connection.request("GET", self.job.health)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def stop(self, grace_seconds: float) -> bool:
        """End it and all of its session, unless another release has it too; whether it was ended.

        One that is ready may finish what is under way; while it starts, vLLM does not listen to a SIGTERM.
        """
        kept = None if self.kept is None else engines.leave(self._folder)
        if kept is not None:
            if kept.ready and _lives(kept.session):
                with suppress(ProcessLookupError):
                    os.kill(kept.session, signal.SIGTERM)
                deadline = time.monotonic() + grace_seconds
                while self.ended() is None and time.monotonic() < deadline:
                    time.sleep(_POLL_SECONDS)
            engines.end(self._folder, kept, _SWEEP_SECONDS if kept.ready else 0.0)
            if self._process is not None:
                self._process.wait()
        if self._watchdog is not None and self._watchdog.stdin is not None:
            with suppress(OSError):
                self._watchdog.stdin.write(GOODBYE)
                self._watchdog.stdin.close()
            self._watchdog.wait()
            self._watchdog = None
        return kept is not None

    def _watch(self) -> None:
        self._watchdog = subprocess.Popen(
            [sys.executable, "-m", "mlctl.runtime.llm.watchdog", str(self._folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def _stranger(self) -> str:
        """Whether it is somebody else who answers: a port can be taken between our look at it and the engine's."""
        import psutil

        with suppress(psutil.Error):
            for connection in psutil.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN and connection.laddr.port == self.at.port and connection.pid:
                    holder = psutil.Process(connection.pid)
                    if holder.create_time() < self.at.since - 1:
                        return f"port {self.at.port} was taken meanwhile by pid {holder.pid} ({holder.name()})"
        return ""


KEY_VARIABLE = "MLCTL_KEY"  # of those paths of an engine that only its own servers may ask for


def new_key() -> str:
    """A key that nobody can guess."""
    return secrets.token_hex(16)


def filled(text: str, places: Mapping[str, str]) -> str:
    """A text with the places that are known put in."""
    return _PLACE.sub(lambda found: places.get(found[1], found[0]), text)


def free_port(host: str) -> int:
    """A port that nobody listens on."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def spoken_end(code: int) -> str:
    """`with exit code 1`, `by SIGKILL`."""
    if code >= 0:
        return f"with exit code {code}"
    name = signal.Signals(-code).name
    return f"by {name}" + (" (the system ends programs so when memory is out)" if name == "SIGKILL" else "")


def _lives(pid: int) -> bool:
    import psutil

    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
