"""Holds a deployment's port while its gateway has left and its server is still to come: who connects waits, and is not refused.

The server takes the listening socket over as it would from a release before it, through a control socket beside the releases.
"""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlctl.types.jobs.server import CONTROL_SOCKET

_FOLDER = "hold"  # beside the releases, which have numbers
_BACKLOG = 2048
_POLL_SECONDS = 0.005
_LONGEST_PATH = 100  # of a Unix socket


@contextmanager
def holding(host: str, port: int, releases: Path, *, wanted: bool) -> Iterator[None]:
    """Take the port as soon as it is free, and give it to the server that asks for it. Does nothing when it is not `wanted`."""
    if not wanted:
        yield
        return
    holder = _Holder(host, port, releases / _FOLDER)
    holder.start()
    try:
        yield
    finally:
        holder.over.set()
        holder.join()


class _Holder(threading.Thread):
    def __init__(self, host: str, port: int, folder: Path) -> None:
        super().__init__(name="port", daemon=True)
        self.over = threading.Event()
        self._place = (host, port)
        self._folder = folder

    def run(self) -> None:
        """Wait for the port, then for whoever asks for it. What cannot be done leaves a gap, and nothing worse."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True, mode=0o700)
        try:
            with suppress(OSError), self._control() as control:
                listener = self._listener()
                if listener is None:
                    return
                with listener:
                    control.listen(4)
                    self._give(control, listener)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _listener(self) -> socket.socket | None:
        """The port, once its holder has left it; None when nobody waits for it any more."""
        family = socket.AF_INET6 if ":" in self._place[0] else socket.AF_INET
        while not self.over.is_set():
            listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(self._place)
                listener.listen(_BACKLOG)
                return listener
            except OSError:
                listener.close()
                time.sleep(_POLL_SECONDS)
        return None

    def _give(self, control: socket.socket, listener: socket.socket) -> None:
        control.settimeout(0.1)
        while not self.over.is_set():
            with suppress(OSError):
                connection, _ = control.accept()
                with connection:
                    socket.send_fds(connection, [b"L"], [listener.fileno()])

    def _control(self) -> socket.socket:
        """The control socket, at a path that is short enough however deep the project lies. Raises OSError."""
        control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        path = self._folder / CONTROL_SOCKET
        handle = os.open(self._folder, os.O_RDONLY)
        try:
            long = len(os.fsencode(path)) > _LONGEST_PATH
            control.bind(f"/proc/self/fd/{handle}/{CONTROL_SOCKET}" if long else str(path))
        except OSError:
            control.close()
            raise
        finally:
            os.close(handle)
        return control
