"""The endpoint that takes rewards: `POST /rewards {"request_id": ..., "reward": ...}`, or a list of such.

Whoever gets a 200 or 202 can rely on it: the reward is on the disk. What is malformed is refused loudly (422) and counted;
what is late, came twice, or belongs to no request is counted too, so that nobody wonders why an arm does not move.
"""

from __future__ import annotations

import hmac
import io
import ipaddress
import json
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from typing import Any, Literal

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, generate_latest

from mlctl.runtime.controller.ledger import STATES, Ledger, Reward
from mlctl.stats.bandit import ArmRewards

_MOST_BYTES, _MOST_REWARDS, _LONGEST_ID, _LARGEST = 1024 * 1024, 1000, 256, 1e12
_CONNECTIONS, _IDLE_SECONDS, _TAKING_SECONDS = 64, 15.0, 30.0
_WHOLE_SECONDS = 15.0  # within which a request that has begun is here, however busily its sender trickles
_UPDATE_SECONDS = 1.0

_Asked = tuple[list[Reward], Future[list[str]]]


class Malformed(ValueError):
    """A body that is no reward; the text says what is wrong with it."""


def parsed(body: bytes, kind: Literal["binary", "mean"], now: float) -> list[Reward]:
    """The rewards of a body. Raises Malformed: all of them are taken, or none."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Malformed("the body is not JSON") from error
    items = given if isinstance(given, list) else [given]
    if not 1 <= len(items) <= _MOST_REWARDS:
        raise Malformed(f"{len(items)} rewards; 1 to {_MOST_REWARDS} can come at once")
    return [
        _parsed(item, kind, now, f"[{number}]" if isinstance(given, list) else "") for number, item in enumerate(items)
    ]


def _parsed(item: object, kind: str, now: float, place: str) -> Reward:
    if not isinstance(item, dict):
        raise Malformed(f"{place or 'the body'} is not an object with `request_id` and `reward`")
    if unknown := sorted(item.keys() - {"request_id", "reward"}):
        raise Malformed(f"{place}.{unknown[0]}: there is no such field; a reward has `request_id` and `reward`")
    name, value = item.get("request_id"), item.get("reward")
    if not isinstance(name, str) or not 1 <= len(name) <= _LONGEST_ID or not _text(name):
        raise Malformed(f"{place}.request_id: the `x-request-id` of the answer that the reward is for, as text")
    if isinstance(value, bool) and kind == "binary":
        value = int(value)
    if (
        not isinstance(value, int | float)
        or isinstance(value, bool)
        or not abs(value) <= _LARGEST  # neither what is not finite, nor a whole number that no float holds
    ):
        raise Malformed(f"{place}.reward: {json.dumps(value)[:80]} is not a number")
    if kind == "binary" and value not in (0, 1):
        raise Malformed(f"{place}.reward: {value:g} is neither 0 nor 1, and this bandit's rewards are `binary`")
    return Reward(name, float(value), now)


def _text(name: str) -> bool:
    """Whether it can be written down: half of a surrogate pair cannot."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


class Rewards:
    """Listens, and keeps the ledger up to date from one thread. Raises OSError when the port is taken."""

    def __init__(
        self,
        open_ledger: Callable[[], Ledger],
        kind: Literal["binary", "mean"],
        port: int,
        *,
        host: str = "127.0.0.1",
        token: str | None = None,
    ) -> None:
        if token is None and not ipaddress.ip_address(host).is_loopback:
            raise ValueError(
                f"{host} is not a loopback address: whoever reaches it could steer the shares; give a token"
            )
        self.kind = kind
        self.token = token
        self.problem = ""  # what keeps shares from following the rewards, if anything does
        self._asked: queue.Queue[_Asked | None] = queue.Queue(1000)
        self._sums: dict[tuple[str, str], ArmRewards] = {}
        self._metrics = _Metrics()
        self._server = _Server((host, port), self)
        try:
            self._ledger = open_ledger()
        except sqlite3.Error as error:
            self._server.server_close()
            raise OSError(f"the index of the rewards cannot be opened: {error}") from error
        except BaseException:
            self._server.server_close()
            raise
        self._update()
        self._threads = [
            threading.Thread(target=self._keep, name="rewards", daemon=True),
            threading.Thread(target=self._server.serve_forever, args=(0.1,), name="rewards-http", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def sums(self) -> dict[tuple[str, str], ArmRewards]:
        """What came back of each arm and version of it, a second ago at most."""
        return self._sums

    def close(self) -> None:
        """Take no more, finish what was begun, and let go of port and files."""
        self._server.shutdown()
        self._asked.put(None)
        for thread in self._threads:
            thread.join()
        self._server.server_close()
        self._ledger.close()

    def take(self, rewards: list[Reward]) -> list[str]:
        """Have rewards on the disk. Raises OSError when that cannot be done."""
        answer: Future[list[str]] = Future()
        try:
            self._asked.put((rewards, answer), timeout=_TAKING_SECONDS)
            return answer.result(_TAKING_SECONDS)
        except (queue.Full, TimeoutError, sqlite3.Error) as error:
            raise OSError(f"rewards cannot be written now: {error}") from error

    def malformed(self) -> None:
        """Somebody sent what is none."""
        self._metrics.malformed.inc()

    def exposition(self) -> bytes:
        """The counters, as Prometheus reads them."""
        return generate_latest(self._metrics.registry)

    def _keep(self) -> None:
        """Write what was asked for, as much at once as has come: one fsync for all of them."""
        due = time.monotonic()
        while True:
            batch, ending = self._batch(max(0.0, due - time.monotonic()))
            self._write(batch)
            if ending:
                return
            if time.monotonic() >= due:
                self._update()
                due = time.monotonic() + _UPDATE_SECONDS

    def _batch(self, seconds: float) -> tuple[list[_Asked], bool]:
        """What has come within so many seconds, and whether that is the end."""
        batch: list[_Asked] = []
        try:
            while len(batch) < _MOST_REWARDS:
                item = self._asked.get_nowait() if batch else self._asked.get(timeout=seconds)
                if item is None:
                    return batch, True
                batch.append(item)
        except queue.Empty:
            pass
        return batch, False

    def _write(self, batch: list[_Asked]) -> None:
        if not batch:
            return
        try:
            states = self._ledger.take([reward for rewards, _ in batch for reward in rewards])
        except (OSError, sqlite3.Error) as error:
            for _, answer in batch:
                answer.set_exception(error)
            return
        for rewards, answer in batch:
            answer.set_result(states[: len(rewards)])
            states = states[len(rewards) :]

    def _update(self) -> None:
        """A disk that refuses is tried again at the next update: rewards themselves are safe in their file, or were refused."""
        try:
            self._ledger.update(time.time())
            self._sums = self._ledger.by_version()
            self._metrics.show(self._ledger.counted(), self._sums)
            self.problem = ""
        except (OSError, sqlite3.Error) as error:
            self.problem = f"rewards are not matched for now: {error}"


class _Metrics:
    """What Prometheus is told."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.malformed = Counter(
            "mlctl_rewards_malformed", "Bodies that were refused since they hold no reward", registry=self.registry
        )
        self._states = Gauge(
            "mlctl_rewards", "Rewards by what became of them", ["state"], registry=self.registry
        )  # fmt: skip
        self._number = Gauge("mlctl_arm_rewards", "Rewards that count", ["arm", "version"], registry=self.registry)
        self._total = Gauge("mlctl_arm_rewards_sum", "Sum of them", ["arm", "version"], registry=self.registry)
        for state in STATES:
            self._states.labels(state).set(0)

    def show(self, counted: dict[str, int], sums: dict[tuple[str, str], ArmRewards]) -> None:
        """Say how things stand. They come out of the ledger, so they go on where they were after a restart."""
        for state, number in counted.items():
            self._states.labels(state).set(number)
        for (arm, version), rewards in sums.items():
            self._number.labels(arm, version).set(rewards.number)
            self._total.labels(arm, version).set(rewards.total)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128  # five, as is usual, let the sixth of a burst wait a second for its connection

    def __init__(self, address: tuple[str, int], rewards: Rewards) -> None:
        self.rewards = rewards
        self.room = threading.BoundedSemaphore(_CONNECTIONS)
        super().__init__(address, _Handler)

    def process_request(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        """One thread a connection, and no more than there is room for: whoever comes then is turned away at once."""
        if not self.room.acquire(blocking=False):
            if isinstance(request, socket):
                with suppress(OSError):
                    request.sendall(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        """One connection, to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.room.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""


class _Bounded(io.RawIOBase):
    """What a client sends: it may wait before a request, but one that has begun has to be whole in time."""

    def __init__(self, connection: socket) -> None:
        self._connection = connection
        self._deadline: float | None = None  # None while no byte of a request has come

    def next(self) -> None:
        """A request is over, and another may follow."""
        self._deadline = None

    def readable(self) -> bool:
        """It is for reading."""
        return True

    def readinto(self, buffer: Any) -> int:
        """What has come. Raises TimeoutError."""
        left = _IDLE_SECONDS if self._deadline is None else self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        try:
            size = self._connection.recv_into(buffer)
        finally:
            self._connection.settimeout(_IDLE_SECONDS)  # of answers
        if self._deadline is None:
            self._deadline = time.monotonic() + _WHOLE_SECONDS
        return size


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    disable_nagle_algorithm = True

    def setup(self) -> None:
        """Read by the clock."""
        super().setup()
        self.rfile.close()
        self._bounded = _Bounded(self.connection)
        self.rfile = io.BufferedReader(self._bounded)

    def handle_one_request(self) -> None:
        """A request, for which the clock begins anew."""
        self._bounded.next()
        super().handle_one_request()

    def do_POST(self) -> None:
        """Take rewards."""
        if self.path != "/rewards":
            return self._json(404, {"error": "rewards are sent to /rewards"}, close=True)
        if self.server.rewards.token is None and self.headers.get("Origin") is not None:
            told = "a page in a browser may not send rewards; have its server send them, or set a token"
            return self._json(403, {"error": told}, close=True)
        if not self._allowed():
            return self._json(401, {"error": "a token is needed: Authorization: Bearer ..."}, close=True)
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit() or len(length) > 18:
            return self._json(411, {"error": "the body's length is needed"}, close=True)
        if int(length) > _MOST_BYTES:
            return self._json(413, {"error": f"at most {_MOST_BYTES} bytes"}, close=True)
        body = self.rfile.read(int(length))
        try:
            rewards = parsed(body, self.server.rewards.kind, time.time())
        except Malformed as error:
            self.server.rewards.malformed()
            return self._json(422, {"error": str(error)})
        try:
            states = self.server.rewards.take(rewards)
        except OSError as error:
            return self._json(503, {"error": f"not taken: {error}"})
        taken = [
            {"request_id": reward.request_id, "state": state} for reward, state in zip(rewards, states, strict=True)
        ]
        status = 202 if "waiting" in states else 200
        return self._json(status, taken[0] if not body.lstrip().startswith(b"[") else {"rewards": taken})

    def do_GET(self) -> None:
        """The counters, and a sign of life."""
        if self.path == "/healthz":
            return self._json(200, {"status": "ok"})
        if self.path != "/metrics":
            return self._json(404, {"error": "there are /rewards, /metrics and /healthz"})
        if not self._allowed():
            return self._json(401, {"error": "a token is needed: Authorization: Bearer ..."})
        return self._answer(200, CONTENT_TYPE_LATEST, self.server.rewards.exposition())

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a line a reward would fill the controller's log."""

    def _allowed(self) -> bool:
        token = self.server.rewards.token
        given = self.headers.get("Authorization", "")
        return token is None or hmac.compare_digest(given.encode(), f"Bearer {token}".encode())

    def _json(self, status: int, value: dict[str, Any], *, close: bool = False) -> None:
        self.close_connection = self.close_connection or close  # a body that was not read is in the way of what follows
        self._answer(status, "application/json", json.dumps(value).encode())

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
