"""Programs that are born with their libraries: forks of an interpreter that has imported them once.

Most of what a test of a worker program waits for is the import of torch, MLflow, Feast or Transformers. A `Nursery` imports
them once for each process of pytest; what is asked of it is forked off, in a session of its own, with the arguments, folder,
environment and open files that were asked for, and then runs as `python -m MODULE` would. It is a process like any other: it
has its own pid, its command line shows in /proc, it can be signalled and killed, and it ends with the nursery.

Nothing is left out but `exec`: that programs start in a fresh interpreter, too, is seen by the tests in `loop`, `secrets` and `rollout`.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import IO, Any

from mlctl.processes.environment import worker_environment

_ROOM = 4000  # bytes of a command line: what a fork shows of its own in /proc has to fit into the nursery's
_POLL_SECONDS = 0.01
_NOTING_SECONDS = 20.0  # from the end of a process until it is noted how it ended


class Born:
    """A process of the nursery, as `subprocess.Popen` shows one."""

    def __init__(self, pid: int, args: Sequence[str], note: Path, output: Path | None) -> None:
        self.pid, self.args, self._note, self._output = pid, list(args), note, output
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """How it ended; None while it lives."""
        if self.returncode is None and self._note.exists():
            self.returncode = int(self._note.read_text())
            self._note.unlink()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """How it ended, once it has."""
        deadline = None if timeout is None else time.monotonic() + timeout
        seen = time.monotonic()
        while self.poll() is None:
            if self._lives():
                seen = time.monotonic()
            elif time.monotonic() - seen > _NOTING_SECONDS:  # nobody is left who would tell
                raise RuntimeError(f"the nursery has ended, and {self.args} with it")
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            time.sleep(_POLL_SECONDS)
        assert self.returncode is not None
        return self.returncode

    def _lives(self) -> bool:
        """Whether it is there, and is not one that has ended and that nobody asks about."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        """What it printed, once it has ended."""
        self.wait(timeout)
        assert self._output is not None
        return self._output.read_text(errors="replace"), None

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The interpreter, and how it is asked."""

    def __init__(self, *modules: str, environment: Mapping[str, str] | None = None) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="nursery-"))
        self._asking = threading.Lock()
        self._count = 0
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with open(self._folder / "log.txt", "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.nursery.inside", str(theirs.fileno()), str(self._folder), ",".join(modules), "." * _ROOM],
                cwd=Path(__file__).parents[2], env={**worker_environment(), **(environment or {})}, pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        theirs.close()
        self._socket = ours

    def start(
        self,
        module: str,
        *arguments: str,
        environment: Mapping[str, str],
        folder: Path,
        output: IO[bytes] | None = None,
        errors: IO[bytes] | None = None,
        before: str = "",
        ranks: int = 1,
        keep: Sequence[int] = (),
        libraries: Sequence[str] = (),
    ) -> Born:
        """Run a module as `python -m` does, printing into a file, or into two. `before` is run first, and alone where there is no module;
        `ranks` are forked from one that sees to them. `libraries` are what it is born with."""
        asked = {
            "module": module, "arguments": arguments, "environment": dict(environment), "folder": str(folder), "before": before,
            "ranks": ranks, "libraries": list(libraries),
        }  # fmt: skip
        with self._asking:
            self._count += 1
            printed = self._folder / f"printed-{self._count}"
            with nullcontext(output) if output is not None else open(printed, "wb") as stream:
                pid = self._asked(asked, [stream.fileno(), (errors or stream).fileno(), *keep])
        return Born(
            pid,
            [sys.executable, "-m", module, *arguments],
            self._folder / str(pid),
            printed if output is None else None,
        )

    def _asked(self, what: object, files: Sequence[int]) -> int:
        try:
            socket.send_fds(self._socket, [json.dumps(what).encode()], files)
            answer = self._socket.recv(100)
        except OSError:
            answer = b""
        if not answer:
            raise RuntimeError(f"the nursery has ended: {(self._folder / 'log.txt').read_text()[-2000:]}")
        return int(answer)

    def lend(self) -> tuple[socket.socket, Path]:
        """Another way to ask it, for a process that is to have one of its own, and where it notes how those ended that it forked."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with self._asking, theirs:
            self._asked("lend", [theirs.fileno()])
        return ours, self._folder

    @classmethod
    def lent(cls, number: int, folder: str) -> Nursery:
        """One that another process made, by the file that was handed over."""
        nursery = object.__new__(cls)
        nursery._folder, nursery._socket, nursery._count = Path(folder), socket.socket(fileno=number), 0
        nursery._asking = threading.Lock()
        return nursery

    def python(
        self, code: str, *, environment: Mapping[str, str], folder: Path, libraries: Sequence[str] = ()
    ) -> Born:  # fmt: skip
        """Run code as `python -c` does."""
        return self.start("", environment=environment, folder=folder, before=code, libraries=libraries)

    def close(self) -> None:
        """End it, and with it whatever it has forked."""
        self._socket.close()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


# What programs import, and ranks; the nursery imports it when the first of a kind is asked for.
_ROWS = ("pandas", "pyarrow.parquet", "duckdb")
_FEATURES = (*_ROWS, "feast")
_MODELS = (*_FEATURES, "mlflow.pyfunc", "torch", "sklearn.linear_model")
_SERVERS = ("aiohttp.web",)
PROGRAMS = {
    **dict.fromkeys(("profile", "data_diff", "checks"), _ROWS),
    **dict.fromkeys(("features", "feature_server", "transform", "stream"), _FEATURES),
    **dict.fromkeys(("train", "models", "evaluate", "server", "stream_predictions", "batch", "export"), _MODELS),
    **dict.fromkeys(("llm_server", "controller", "gateway", "bench"), _SERVERS),
    "monitor": (*_ROWS, "evidently"),
}
RANKS = ("torch", "torch._dynamo", "torch.distributed.fsdp", "mlctl.runtime.trainer.torch_engine.run")
TRANSFORMERS = (*RANKS, "transformers.trainer", "peft", "bitsandbytes", "mlctl.runtime.trainer.hf_engine.run")
# As ranks have them; what programs compute here is too small for a second thread to be of use.
THREADS = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}

# The command line, all of it; it holds nothing heavy.
COMMANDS = (
    "mlctl.cli",
    "mlctl.workspace",
    "mlctl.views",
    "mlctl.registry",
    "mlctl.engine",
    "mlctl.providers",
    "mlctl.spec",
)
# As a terminal has it: what is printed is written when there is enough of it, and not line by line.
BUFFERED = {"PYTHONUNBUFFERED": ""}
MLCTL = Path(sys.executable).with_name("mlctl")

_FOUND = {*sys.path, *os.environ.get("PYTHONPATH", "").split(os.pathsep)}  # where modules are found here, too
_shared: dict[str, Nursery] = {}
_making = threading.Lock()


def shared() -> Nursery:
    """The one nursery of this process for programs and ranks."""
    return _one("programs", (), THREADS)


def commands() -> Nursery:
    """The one nursery of this process for `mlctl` itself."""
    return _one("commands", [f"{name}.*" for name in COMMANDS], BUFFERED)


def start_mlctl(
    *arguments: str, environment: Mapping[str, str], folder: Path, errors: IO[bytes] | None = None
) -> Born:  # fmt: skip
    """The installed program `mlctl` with these arguments. Where its errors go nowhere else, they are among what it prints."""
    called = [str(MLCTL), *arguments]
    channel, notes = shared().lend()
    code = f"""
import sys
from mlctl.processes import worker
from tests import nursery
nursery._shared["programs"] = nursery.Nursery.lent(kept[0], {str(notes)!r})
worker.subprocess = nursery.Subprocess
sys.argv, sys.path[0] = {called!r}, {str(MLCTL.parent)!r}
from mlctl.cli.main import main
main()
"""
    with channel:
        return commands().start(
            "", environment=environment, folder=folder, before=code, errors=errors, keep=[channel.fileno()]
        )


def mlctl(
    *arguments: str, folder: Path, environment: Mapping[str, str] | None = None, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run `mlctl`, as `subprocess.run(..., capture_output=True, text=True)` would."""
    with tempfile.TemporaryFile() as errors:
        born = start_mlctl(*arguments, environment=environment or os.environ, folder=folder, errors=errors)
        try:
            printed, _ = born.communicate(timeout)
        finally:
            born.kill()
        errors.seek(0)
        return subprocess.CompletedProcess(born.args, born.wait(), printed, errors.read().decode(errors="replace"))


def _one(name: str, modules: Sequence[str], environment: Mapping[str, str]) -> Nursery:
    with _making:
        if name not in _shared:
            _shared[name] = Nursery(*modules, environment=environment)
            atexit.register(_shared[name].close)
        return _shared[name]


class Subprocess:
    """Stands for the module `subprocess` in `mlctl.processes.worker`, in tests that call mlctl in their own process."""

    DEVNULL, STDOUT = subprocess.DEVNULL, subprocess.STDOUT

    @staticmethod
    def Popen(
        command: Sequence[str], *, cwd: Path, env: Mapping[str, str], stdout: IO[bytes], pass_fds: Sequence[int], **others: Any
    ) -> Born | subprocess.Popen[bytes]:  # fmt: skip
        """A worker program, forked; one that is to find other modules gets an interpreter of its own."""
        executable, _, module, *arguments = command
        others_too = set(filter(os.path.isdir, env.get("PYTHONPATH", "").split(os.pathsep))) - _FOUND
        if executable != sys.executable or others_too:
            return subprocess.Popen(command, cwd=cwd, env=env, stdout=stdout, pass_fds=pass_fds, **others)
        return shared().start(
            module, *arguments, environment=env, folder=Path(cwd).resolve(), output=stdout, keep=pass_fds,
            libraries=PROGRAMS.get(arguments[0], ()),
        )  # fmt: skip
