"""Upstreams, gateways and clients for tests of gateways."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mlctl.rollout.routes import TOTAL, Backend, Mirror, Routes
from mlctl.runtime.gateway import Gateway, open_gateway
from mlctl.types.jobs.rollout import GatewaySpec, Unit
from tests.integration.servers import free_port

UNIT = Unit(header="X-User-Id", salt="rank-2026 é")
TIMEOUT_SECONDS = 0.6
MAX_BODY = 100_000


class Upstream:
    """A server process that can be killed, and started again on its port."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return once it listens."""
        program = Path(__file__).parent / "upstream.py"
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(program), self.name, str(self.port)], stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def kill(self) -> None:
        """As the system does when memory is short."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.communicate()
            self._process = None

    def backend(self, version: str = "1", model: str | None = None) -> Backend:
        """How routes name it."""
        return Backend("127.0.0.1", self.port, version, model)

    def seen(self, note: str) -> list[dict[str, Any]]:
        """The requests with this note."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", "/seen")
        found: dict[str, list[dict[str, Any]]] = json.load(connection.getresponse())
        connection.close()
        return found.get(note, [])


@dataclass(frozen=True)
class Answer:
    """What a client got."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    def header(self, name: str) -> list[str]:
        """All values of a header that the upstream got."""
        return [value for known, value in self.json()["headers"] if known == name]


class Client:
    """One client with one connection that it keeps."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)

    def ask(
        self, path: str = "/predict", unit: str | bytes | None = None, body: bytes | None = None, **headers: str
    ) -> Answer:
        """One request; `x_mlctl_variant="candidate"` is a header."""
        self.connection.putrequest("GET" if body is None else "POST", path, skip_accept_encoding=True)
        if unit is not None:
            self.connection.putheader(UNIT.header, unit.encode() if isinstance(unit, str) else unit)
        for name, value in headers.items():
            self.connection.putheader(name.replace("_", "-"), value)
        if body is not None:
            self.connection.putheader("content-length", str(len(body)))
        self.connection.endheaders(body)
        answer = self.connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())


@dataclass
class Running:
    """A gateway in front of two upstreams."""

    gateway: Gateway
    spec: GatewaySpec
    folder: Path
    stable: Upstream
    candidate: Upstream
    clients: list[Client] = field(default_factory=list)

    def routes(
        self, share: int, *, unit: Unit | None = UNIT, mirror: int | None = None, candidate: str = "candidate"
    ) -> Routes:
        """So much for the candidate, in hundredths of a percent."""
        return Routes(
            {"stable": self.stable.backend("1"), candidate: self.candidate.backend("2")},
            {"stable": TOTAL - share, candidate: share},
            unit,
            None if mirror is None else Mirror(candidate, mirror),
        )

    def client(self) -> Client:
        """A new one, until `hang_up`."""
        self.clients.append(Client(self.spec.port))
        return self.clients[-1]

    def counted(self, before: Mapping[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        """Requests and errors since."""
        found = {}
        for variant, now in self.gateway.counts().items():
            then = before.get(variant, (0, 0))
            if tuple(now) != tuple(then):
                found[variant] = (now[0] - then[0], now[1] - then[1])
        return found

    def hang_up(self) -> None:
        """All clients of a test."""
        while self.clients:
            self.clients.pop().connection.close()


@contextmanager
def upstreams() -> Iterator[tuple[Upstream, Upstream]]:
    """Two of them."""
    pair = Upstream("stable"), Upstream("candidate")
    try:
        for one in pair:
            one.start()
        yield pair
    finally:
        for one in pair:
            one.kill()


@contextmanager
def running(type: Literal["envoy", "python"], folder: Path, stable: Upstream, candidate: Upstream) -> Iterator[Running]:
    """A gateway that is started, and whatever happens ended."""
    spec = GatewaySpec(
        type=type, host="127.0.0.1", port=free_port(), timeout_seconds=TIMEOUT_SECONDS, max_body_bytes=MAX_BODY
    )
    gateway = open_gateway(type, folder)
    try:
        gateway.start(spec)
        started = Running(gateway, spec, folder, stable, candidate)
        yield started
        started.hang_up()
    finally:
        gateway.stop(0)
