from __future__ import annotations

import socket
from pathlib import Path

import pytest

from mlctl.runtime.server.handover import Handover, obtain
from mlctl.types.diagnostic import MlctlError


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def release(tmp_path: Path, name: str) -> Path:
    folder = tmp_path / ("a-project-with-a-long-path-" * 5) / name  # longer than the path of a Unix socket may be
    folder.mkdir(parents=True)
    return folder


def test_a_successor_gets_the_very_queue_of_the_old_server(tmp_path: Path) -> None:
    old, new, port = release(tmp_path, "1"), release(tmp_path, "2"), free_port()
    handover = Handover(old)
    listener = obtain(old, "127.0.0.1", port)
    listener.listen(8)
    handover.open(listener)
    with socket.create_connection(("127.0.0.1", port)) as client:  # waits in the queue
        taken = obtain(new, "127.0.0.1", port)
        assert listener.proto == taken.proto == socket.IPPROTO_TCP  # else asyncio leaves Nagle's delay on
        listener.close()
        handover.close()
        connection, _ = taken.accept()
        with connection:
            client.sendall(b"hello")
            assert connection.recv(5) == b"hello"
    taken.close()


def test_another_port_and_dead_siblings_mean_a_socket_of_ones_own(tmp_path: Path) -> None:
    old, new, port = release(tmp_path, "1"), release(tmp_path, "2"), free_port()
    handover = Handover(old)
    listener = obtain(old, "127.0.0.1", port)
    listener.listen(8)
    handover.open(listener)
    other = obtain(new, "127.0.0.1", free_port())
    assert other.getsockname() != listener.getsockname()
    other.close()
    listener.close()
    handover.close()  # the control socket's file stays, as after a kill; nobody listens on it or on the port any more
    again = obtain(new, "127.0.0.1", port)
    again.listen(1)
    again.close()


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger, pytest.raises(MlctlError, match=r"deploy\.port-in-use"):
        obtain(release(tmp_path, "1"), *stranger.getsockname())
