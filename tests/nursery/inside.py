"""The nursery itself: `python -m tests.nursery.inside SOCKET FOLDER MODULE,MODULE... ROOM` imports, then forks off what is asked for."""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import shutil
import signal
import socket
import sys
import time
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

_ASKED = 1 << 20  # bytes that a request may have
_FILES = 16
_PR_SET_PDEATHSIG = 1


class Nursery:
    """It forks when asked, and notes how those ended that it has forked."""

    def __init__(self, channel: socket.socket, notes: Path) -> None:
        self._channel, self._notes, self._pid = channel, notes, os.getpid()
        self._lent: dict[int, socket.socket] = {}  # channels of others, by file
        self._wake, wakes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wakes = wakes
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)

    def serve(self) -> None:
        selector = selectors.DefaultSelector()
        selector.register(self._channel, selectors.EVENT_READ)
        selector.register(self._wake, selectors.EVENT_READ)
        while True:
            ready = {key.fd for key, _ in selector.select()}
            if self._wake in ready:
                os.read(self._wake, 4096)
            self._reap()
            if self._channel.fileno() in ready and not self._answer(self._channel, selector):
                return
            for number in ready & self._lent.keys():
                if not self._answer(self._lent[number], selector):
                    selector.unregister(number)
                    self._lent.pop(number).close()

    def _answer(self, channel: socket.socket, selector: selectors.BaseSelector) -> bool:
        """Do what is asked; False when whoever asked is gone."""
        try:
            data, files, _, _ = socket.recv_fds(channel, _ASKED, _FILES)
            if not data:
                return False
            asked = json.loads(data)
            if asked == "lend":
                (number,) = files
                self._lent[number] = socket.socket(fileno=number)
                selector.register(number, selectors.EVENT_READ)
                channel.send(b"0")
                return True
            prepare(asked["libraries"])
            pid = os.fork()
            if pid == 0:
                try:
                    selector.close()
                    self._become(asked, files)
                finally:  # a folder that is not there, for one: it must not go on as a second nursery
                    traceback.print_exc()
                    os._exit(1)
            for number in files:
                os.close(number)
            # of one that had the same number, and that nobody asked about
            (self._notes / str(pid)).unlink(missing_ok=True)
            channel.send(str(pid).encode())
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            made = self._notes / f".{pid}"
            made.write_text(str(os.waitstatus_to_exitcode(status)))
            made.replace(self._notes / str(pid))

    def _become(self, asked: dict[str, Any], files: list[int]) -> NoReturn:
        signal.set_wakeup_fd(-1)
        for channel in (self._channel, *self._lent.values()):
            channel.close()
        for number in (self._wake, self._wakes):
            os.close(number)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setsid()
        _die_with_parent(self._pid)
        os.dup2(files[0], 1)
        os.dup2(files[1], 2)
        for number in set(files[:2]):
            os.close(number)
        asked["kept"] = files[2:]
        for number in files[2:]:
            os.set_inheritable(number, False)
        os.chdir(asked["folder"])
        os.environ.clear()
        os.environ.update(asked["environment"])
        time.tzset()
        sys.path[0] = asked["folder"]
        sys.path[1:1] = [item for item in asked["environment"].get("PYTHONPATH", "").split(os.pathsep) if item]
        _show([sys.executable, "-m", asked["module"], *asked["arguments"]])
        if asked["ranks"] == 1:
            _run(asked)
        _spread(asked)


def _run(asked: dict[str, Any]) -> NoReturn:
    """What `python -m MODULE` does, to the end of the process."""
    sys.argv = [asked["module"], *asked["arguments"]]
    code = 0
    try:
        exec(asked["before"], {"__name__": "__main__", "kept": asked["kept"]})
        if asked["module"]:
            runpy.run_module(asked["module"], run_name="__main__", alter_sys=True)
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _spread(asked: dict[str, Any]) -> NoReturn:
    """Ranks as torchrun starts them: they find each other by the environment, and one that fails ends all."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    world = {
        "WORLD_SIZE": asked["ranks"],
        "LOCAL_WORLD_SIZE": asked["ranks"],
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }
    os.environ.update({name: str(value) for name, value in world.items()})
    left: set[int] = set()

    def pass_on(number: int, _: object) -> None:
        for pid in left:
            os.kill(pid, number)

    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # until there are ranks that it can be passed on to
    launcher = os.getpid()
    for rank in range(asked["ranks"]):
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            _die_with_parent(launcher)
            os.environ.update({"RANK": str(rank), "LOCAL_RANK": str(rank)})
            _run(asked)
        left.add(pid)
    signal.signal(signal.SIGTERM, pass_on)
    failed = 0
    while left:
        pid, status = os.wait()
        left.discard(pid)
        if status and not failed:
            failed = 1
            pass_on(signal.SIGKILL, None)
    os._exit(failed)


def _die_with_parent(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was gone before this was asked for
        os._exit(1)


def _show(command: list[str]) -> None:
    """Have /proc show this command line: its bytes are where the arguments of this process were put when it was started."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])
    text = b"\0".join(map(os.fsencode, command))[: end - start - 1]
    ctypes.memset(start, 0, end - start)
    ctypes.memmove(start, text, len(text))


def prepare(modules: Sequence[str]) -> None:
    """Import what is not there yet: modules; with `.*` at the end of a name, all below it, too.

    What cannot be imported is left to whoever needs it: that is where it is an error, and told as one.
    """
    if all(name in sys.modules for name in modules):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in modules:
            try:
                _import(name)
            except Exception:
                traceback.print_exc()
    gc.freeze()  # what is never looked at is never copied


def _import(name: str) -> None:
    if name == "feast":
        from mlctl.runtime.features.feast_opening import import_feast

        return import_feast()
    module = importlib.import_module(name.removesuffix(".*"))
    if name.endswith(".*"):
        for found in pkgutil.iter_modules(getattr(module, "__path__", ()), f"{module.__name__}."):
            if not found.name.endswith("__main__"):
                prepare([f"{found.name}.*"])
    return None


def main() -> None:
    """Import what is to be there from the beginning, and serve until whoever asks is gone."""
    gc.set_threshold(50_000, 20, 100)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    prepare([name for name in sys.argv[3].split(",") if name])
    Nursery(socket.socket(fileno=int(sys.argv[1])), Path(sys.argv[2])).serve()
    shutil.rmtree(sys.argv[2], ignore_errors=True)  # a process of xdist ends without a word


if __name__ == "__main__":
    main()
