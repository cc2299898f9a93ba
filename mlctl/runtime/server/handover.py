"""The listening socket of a deployment, handed on from the old server process to the new one over a Unix socket.

The other way is a socket for each process on one port (SO_REUSEPORT). But each of those has a queue of its own, and what
stands in it when its process closes it is reset. Measured with two bare accept loops and 16 clients that connect for each
request, 40 replacements: 116 of 101,841 requests lost with SO_REUSEPORT, none of 121,356 with one socket handed on.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from pathlib import Path

from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.server import CONTROL_SOCKET

BACKLOG = 2048

_CONNECT_SECONDS = 2.0


def obtain(folder: Path, host: str, port: int) -> socket.socket:
    """The listening socket of a sibling release that serves this address, or else a new one, bound and not yet listening.

    Port 0 is a new one on any port that is free.

    To be called while the process has one thread. Raises MlctlError `deploy.port-in-use` and `deploy.cannot-bind`.
    """
    for sibling in sorted(folder.parent.iterdir()) if port else ():
        if sibling != folder and (listener := _ask(sibling)) is not None:
            if listener.getsockname()[:2] == (host, port):
                return listener
            listener.close()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio switches Nagle's delay off only for sockets that say they are TCP (40 ms a request).
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(
        socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
    )  # else the port stays taken for a minute after a kill
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise bind_failed(host, port, error) from None
    return listener


def bind_failed(host: str, port: int, error: OSError) -> MlctlError:
    """What to say when an address cannot be bound or listened on."""
    if isinstance(error, PermissionError):
        return MlctlError.of(
            "deploy.cannot-bind", f"port {port} may not be used", str(error), "choose a port above 1023"
        )
    return MlctlError.of(
        "deploy.port-in-use",
        f"port {port} of {host} is in use by another program",
        str(error),
        "stop that program, or set another `serve.port`",
    )


class Handover:
    """Gives the listening socket to a successor that asks for it on the control socket in this release's private folder."""

    def __init__(self, folder: Path) -> None:
        """Make the control socket; who connects is refused until `open`. To be called while the process has one thread."""
        (folder / CONTROL_SOCKET).unlink(missing_ok=True)
        self._control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with _short_paths(folder):
            self._control.bind(CONTROL_SOCKET)
        self._listener: socket.socket | None = None

    def open(self, listener: socket.socket) -> None:
        """From now on, give this socket away."""
        self._listener = listener.dup()  # the event loop closes its own when it stops accepting
        self._control.listen(4)
        threading.Thread(target=self._serve, name="handover", daemon=True).start()

    def close(self) -> None:
        """Give nothing away any more, and hold nothing: with no successor, clients are then refused and not left waiting."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)  # wakes the thread up
        self._control.close()
        if self._listener is not None:
            self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._control.accept()
            except OSError:
                return  # closed
            with connection, contextlib.suppress(OSError):  # the one who asked may be gone
                if self._listener is not None:
                    socket.send_fds(connection, [b"L"], [self._listener.fileno()])


def _ask(sibling: Path) -> socket.socket | None:
    """The listening socket of a release, or None when it is not serving (any more)."""
    if not (sibling / CONTROL_SOCKET).exists():
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
        control.settimeout(_CONNECT_SECONDS)
        try:
            with _short_paths(sibling):
                control.connect(CONTROL_SOCKET)
            _, handles, _, _ = socket.recv_fds(control, 1, 1)
        except OSError:
            return None
    if not handles:
        return None
    os.set_inheritable(handles[0], False)
    return socket.socket(fileno=handles[0])


def _short_paths(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Be inside a folder: the path of a Unix socket may only be some 100 bytes long, and that of a project may be longer."""
    return contextlib.chdir(folder)
