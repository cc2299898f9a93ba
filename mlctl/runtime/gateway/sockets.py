"""Unix sockets in folders whose path may be longer than the 100 bytes that the address of a socket holds."""

from __future__ import annotations

import http.client
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def connected(path: Path, seconds: float) -> Iterator[socket.socket]:
    """A connection to a Unix socket. Raises OSError when nobody listens there."""
    with _short(path) as address, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(seconds)
        connection.connect(address)
        yield connection


def listening(path: Path) -> socket.socket:
    """A Unix socket that only we may connect to; one that a killed process left there is taken away."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _short(path) as address:
        listener.bind(address)
    path.chmod(0o600)
    listener.listen(16)
    return listener


def ask(path: Path, method: str, target: str, seconds: float) -> tuple[int, bytes]:
    """One HTTP request to a server on a Unix socket: status and body. Raises OSError, also for what is no HTTP."""
    with connected(path, seconds) as connection:
        client = _Connection("mlctl", timeout=seconds)
        client.sock = connection
        try:
            client.request(method, target, headers={"Connection": "close"})
            answer = client.getresponse()
            return answer.status, answer.read()
        except http.client.HTTPException as error:
            raise OSError(f"{type(error).__name__}: {error}") from error


class _Connection(http.client.HTTPConnection):
    sock: Any


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """A short name for a path: by the open folder where the system has such names."""
    if len(os.fsencode(path)) < 100 or not Path("/proc/self/fd").is_dir():
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
