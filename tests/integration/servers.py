"""Real servers for tests: PostgreSQL and Redis, each started in a folder of its own on a free port, and ended with the test.

    with postgres() as server:
        server.execute("CREATE TABLE t (id bigint)")
        ... server.url ...

A server can be stopped and started again in the middle: it comes back on the same port, and PostgreSQL with its data.
As fixtures: `from tests.integration.servers import postgres_server, redis_server  # noqa: F401` in a conftest.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

USER, PASSWORD, DATABASE = "mlctl", "mlctl-secret-pw", "shop"
_DEADLINE_SECONDS = 60.0


class Server:
    """One process with a port."""

    def __init__(self, folder: Path, command: Callable[[int], Sequence[str]], answers: Callable[[], bool]) -> None:
        self.folder = folder
        self.port = free_port()
        self._command = command
        self._answers = answers
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return once it answers."""
        with open(self.folder / "server.log", "ab") as log:
            self._process = subprocess.Popen(
                list(self._command(self.port)), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, **_as_user(),
            )  # fmt: skip
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while not self._answers():
            log_text = (self.folder / "server.log").read_text()
            assert self._process.poll() is None, log_text
            assert time.monotonic() < deadline, log_text
            time.sleep(0.05)

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """End it now and wait. SIGINT is PostgreSQL's fast shutdown; Redis ends at once on it without saving."""
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None


class Postgres(Server):
    """A PostgreSQL server with one user, who needs a password over TCP, and one empty database."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.programs = programs
        super().__init__(folder, self._arguments, self._ready)

    @property
    def url(self) -> str:
        """With the password in it."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """The URL of another database of the server."""
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def execute(self, *statements: str, database: str = DATABASE) -> list[tuple[Any, ...]]:
        """Run statements, each committed on its own; the rows of the last one, if it has any."""
        import psycopg

        with psycopg.connect(self.url_of(database), autocommit=True) as connection:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def _arguments(self, port: int) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": str(self.folder), "fsync": "off",
            "full_page_writes": "off", "synchronous_commit": "off", "max_connections": "40", "shared_buffers": "64MB",
        }  # fmt: skip
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self.programs / "postgres"), "-D", str(self.folder / "data"), *options]

    def _ready(self) -> bool:
        asked = [str(self.programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(asked, check=False).returncode == 0


class Redis(Server):
    """A Redis server that keeps nothing on disk: what it held is gone when it is stopped."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, self._arguments, self._ready)

    @property
    def address(self) -> str:
        """As `host:port`, the form of Feast's `connection_string`."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """As a URL."""
        return f"redis://{self.address}"

    def _arguments(self, port: int) -> list[str]:
        return [
            "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir",
            str(self.folder),
        ]  # fmt: skip

    def _ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL server; skips the test where it is not installed."""
    programs = _postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    with _folder() as folder:
        (folder / "password").write_text(PASSWORD)
        shutil.chown(folder / "password", _owner())
        subprocess.run(
            [
                str(programs / "initdb"), "-D", str(folder / "data"), "-U", USER, "--pwfile", str(folder / "password"),
                "--auth-host=scram-sha-256", "--auth-local=trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions",
            ],
            check=True, cwd=folder, stdout=subprocess.DEVNULL, **_as_user(),
        )  # fmt: skip
        server = Postgres(folder, programs)
        server.start()
        try:
            server.execute(f"CREATE DATABASE {DATABASE}", database="postgres")
            yield server
        finally:
            server.stop()


@contextmanager
def redis() -> Iterator[Redis]:
    """A running Redis server; skips the test where it is not installed."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    with _folder() as folder:
        server = Redis(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """One PostgreSQL server for all tests of a session; each makes tables or databases of its own."""
    with postgres() as server:
        yield server


@pytest.fixture
def redis_server() -> Iterator[Redis]:
    """An empty Redis server for one test."""
    with redis() as server:
        yield server


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _postgres_programs() -> Path | None:
    """Where initdb and postgres are: Debian keeps them off the PATH."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda item: int(item.parent.name))
    return versions[-1] if versions else None


@contextmanager
def _folder() -> Iterator[Path]:
    """A temporary folder that the server's user may enter; pytest's own are for the one who runs it alone."""
    folder = Path(tempfile.mkdtemp(prefix="mlctl-server-"))
    shutil.chown(folder, _owner())
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _owner() -> int:
    """PostgreSQL refuses to run as root, so that a test that is root starts its servers as `nobody`."""
    return 65534 if os.geteuid() == 0 else os.geteuid()


def _as_user() -> dict[str, Any]:
    return {"user": _owner(), "group": _owner(), "extra_groups": []} if os.geteuid() == 0 else {}
