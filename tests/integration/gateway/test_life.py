"""A gateway outlives whoever started it, comes back as it was, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Literal

import psutil
import pytest

from mlctl.processes import session
from mlctl.rollout.routes import TOTAL, Backend, Routes
from mlctl.runtime.gateway import open_gateway
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.rollout import GatewaySpec
from tests.integration.gateway.parts import Client, Running, Upstream, running
from tests.integration.servers import free_port


def test_a_killed_gateway_comes_back_as_it_was(own: Running) -> None:
    """With the same routes, at once, and with what had been counted; whoever opens it next finds it."""
    own.gateway.configure(own.routes(TOTAL))
    assert own.client().ask().json()["name"] == "candidate"
    assert own.gateway.counts() == {"candidate": (1, 0)}
    os.kill(_pid(own.folder), signal.SIGKILL)
    assert _within(5, lambda: not own.gateway.alive())
    with pytest.raises(MlctlError, match=r"gateway\.not-running"):
        own.gateway.configure(own.routes(0))
    again, began = open_gateway(own.spec.type, own.folder), time.monotonic()
    again.start(own.spec)
    assert time.monotonic() - began < (1 if own.spec.type == "envoy" else 5)
    assert own.client().ask().json()["name"] == "candidate"
    assert again.counts() == {"candidate": (2, 0)}
    assert own.gateway.alive()


def test_a_gateway_outlives_who_configured_it(tmp_path: Path, pair: tuple[Upstream, Upstream]) -> None:
    """Envoy asks to be ended with its parent; ours has none."""
    for type_ in ("envoy", "python"):
        with running_elsewhere(type_, tmp_path / type_, pair[0]) as (gateway, port):
            time.sleep(0.3)
            assert gateway.alive()
            assert _ask_once(port)["name"] == "stable"


def test_stop_lets_requests_end_and_leaves_nothing(own: Running) -> None:
    """Who is being answered gets the whole answer, who comes now is refused."""
    own.gateway.configure(own.routes(0))
    pid, began = _pid(own.folder), time.time() - 60
    client = own.client()
    client.connection.request("GET", "/stream?n=4&pause=0.2")
    answer = client.connection.getresponse()
    stopping = threading.Thread(target=own.gateway.stop, args=(10,))
    stopping.start()
    time.sleep(0.2)
    assert not _listens(own.spec.port)
    assert answer.read().count(b"data:") == 4
    stopping.join(10)
    assert not own.gateway.alive()
    assert session.members(pid, began) == []
    own.gateway.stop(0)


def test_stop_does_not_wait_for_ever(own: Running) -> None:
    """A stream without an end is cut when the time is over."""
    own.gateway.configure(own.routes(0))
    client = own.client()
    client.connection.request("GET", "/stream?n=1000&pause=0.2")
    client.connection.getresponse()
    began = time.monotonic()
    own.gateway.stop(0.5)
    assert 0.4 < time.monotonic() - began < 4
    assert not own.gateway.alive()


def test_a_taken_port_is_found_before_anything_is_started(own: Running) -> None:
    """Also one that another gateway has."""
    own.gateway.configure(own.routes(0))
    for type_ in ("envoy", "python"):
        folder = own.folder.with_name(f"second-{type_}")
        second = open_gateway(type_, folder)  # type: ignore[arg-type]
        with pytest.raises(MlctlError, match=r"deploy\.port-in-use"):
            second.start(own.spec.model_copy(update={"type": type_}))
        assert not second.alive()
        assert not (folder / "process.json").exists()
    own.gateway.start(own.spec)  # it has it itself


def test_only_the_port_is_open_to_others(own: Running) -> None:
    """What configures a gateway is a socket in a private folder."""
    own.gateway.configure(own.routes(0))
    listening = {
        item.laddr.port
        for item in psutil.Process(_pid(own.folder)).net_connections("tcp")
        if item.status == psutil.CONN_LISTEN
    }
    assert listening == {own.spec.port}
    [control] = own.folder.glob("*.sock")
    assert stat.S_IMODE(control.stat().st_mode) == 0o600
    assert stat.S_IMODE(own.folder.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in own.folder.rglob("*.json"))


def test_nobody_listens_before_there_are_routes(own: Running) -> None:
    """A client is better refused than answered by nobody."""
    assert not _listens(own.spec.port)
    own.gateway.configure(own.routes(0))
    assert _listens(own.spec.port)


def test_limits_change_without_a_new_process(own: Running) -> None:
    """And streams go on over that."""
    own.gateway.configure(own.routes(0))
    pid, client = _pid(own.folder), own.client()
    client.connection.request("GET", "/stream?n=5&pause=0.2")
    answer = client.connection.getresponse()
    own.gateway.start(own.spec.model_copy(update={"timeout_seconds": 1.2, "max_body_bytes": 10}))
    began = time.monotonic()
    assert own.client().ask("/hang").status == 504
    assert time.monotonic() - began > 1.1
    assert own.client().ask(body=b"a" * 11).status == 413
    assert answer.read().count(b"data:") == 5
    assert _pid(own.folder) == pid


def test_another_port_is_taken_and_the_old_one_left(own: Running) -> None:
    """One that is not free leaves all as it is."""
    own.gateway.configure(own.routes(0))
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(MlctlError, match=r"deploy\.port-in-use"):
            own.gateway.start(own.spec.model_copy(update={"port": other.getsockname()[1]}))
    assert own.client().ask().status == 200
    moved = own.spec.model_copy(update={"port": free_port()})
    own.gateway.start(moved)
    assert _ask_once(moved.port)["name"] == "stable"
    own.hang_up()
    assert _within(5, lambda: not _listens(own.spec.port))


def test_routes_that_cannot_be_leave_those_before_in_force(own: Running) -> None:
    """Envoy says no; then the next ones are taken as ever."""
    own.gateway.configure(own.routes(0))
    broken = Routes({"stable": Backend("no-such-host", 1, "1")}, {"stable": TOTAL})
    if own.spec.type == "envoy":
        with pytest.raises(MlctlError, match=r"gateway\.refused"):
            own.gateway.configure(broken)
        assert own.client().ask().json()["name"] == "stable"
    else:  # which would be a name to look up, and so a server that does not answer
        own.gateway.configure(broken)
        assert own.client().ask().status == 503
    own.gateway.configure(own.routes(TOTAL))
    assert own.client().ask().json()["name"] == "candidate"


def test_a_path_may_be_longer_than_the_name_of_a_socket(tmp_path: Path, pair: tuple[Upstream, Upstream]) -> None:
    """A hundred bytes are not much for a project."""
    for type_ in ("envoy", "python"):
        with running(type_, tmp_path / ("deep-" * 12) / ("folder-" * 8) / type_, *pair) as started:  # type: ignore[arg-type]
            started.gateway.configure(started.routes(0))
            assert started.client().ask().status == 200
            assert started.gateway.counts()["stable"].requests == 1


class running_elsewhere:
    """A gateway that a process started and configured that is killed since."""

    def __init__(self, type_: Literal["envoy", "python"] | str, folder: Path, upstream: Upstream) -> None:
        self._gateway = open_gateway(type_, folder)  # type: ignore[arg-type]
        self._port = free_port()
        spec = GatewaySpec(type=type_, host="127.0.0.1", port=self._port, timeout_seconds=5, max_body_bytes=1000)  # type: ignore[arg-type]
        self._program = f"""
import os, signal
from pathlib import Path
from mlctl.rollout.routes import Backend, Routes
from mlctl.runtime.gateway import open_gateway
from mlctl.types.jobs.rollout import GatewaySpec
gateway = open_gateway({type_!r}, Path({str(folder)!r}))
gateway.start(GatewaySpec.model_validate_json({spec.model_dump_json()!r}))
gateway.configure(Routes({{"stable": Backend("127.0.0.1", {upstream.port}, "1")}}, {{"stable": 10000}}))
os.kill(os.getpid(), signal.SIGKILL)
"""

    def __enter__(self) -> tuple[object, int]:
        done = subprocess.run([sys.executable, "-c", self._program], check=False, timeout=60)
        assert done.returncode == -signal.SIGKILL
        return self._gateway, self._port

    def __exit__(self, *_: object) -> None:
        self._gateway.stop(0)


def _pid(folder: Path) -> int:
    found: int = json.loads((folder / "process.json").read_text())["pid"]
    return found


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _within(seconds: float, look: object) -> bool:
    deadline = time.monotonic() + seconds
    while not look() and time.monotonic() < deadline:  # type: ignore[operator]
        time.sleep(0.01)
    return bool(look())  # type: ignore[operator]


def _ask_once(port: int) -> dict[str, object]:
    client = Client(port)
    try:
        return client.ask().json()
    finally:
        client.connection.close()
