"""Sends spans to a receiver: in batches, from a thread of its own, through a bounded queue. No request ever waits for it.

What finds no room, and what a receiver does not take after some tries, is dropped and counted: spans are a sample to look
at, and a server is not to run out of memory for them.
"""

from __future__ import annotations

import http.client
import queue
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from .otlp import Span, request

PATH = "/v1/traces"
_CAPACITY = 2048  # requests that wait to be sent
_MOST_BYTES = 32 * 1024 * 1024  # of prompts and answers that those hold
_BATCH = 256
_EVERY_SECONDS = 1.0
_TIMEOUT_SECONDS = 5.0
_TRIES, _BACKOFF_SECONDS = 3, 0.5
_CLOSING_SECONDS = 3.0
_AGAIN = (429, 502, 503, 504)  # what OTLP says may be sent once more

Made = Callable[[], Sequence[Span]]  # spans are made in the thread, and not in a request's time


class Exporter:
    """`on_sent` is told how many spans, and `on_dropped` too; of requests whose spans were not made yet it is told how many."""

    def __init__(
        self,
        endpoint: str,
        headers: Mapping[str, str],
        resource: Mapping[str, Any],
        scope: tuple[str, str],
        on_sent: Callable[[int], None],
        on_dropped: Callable[[int], None],
        *,
        capacity: int = _CAPACITY,
    ) -> None:
        self._to = urlsplit(traces_url(endpoint))
        self._secure = ssl.create_default_context() if self._to.scheme == "https" else None
        self._headers = {"Content-Type": "application/x-protobuf", **headers}
        self._resource, self._scope = resource, scope
        self._on_sent, self._on_dropped = on_sent, on_dropped
        self._queue: queue.Queue[tuple[Made, int] | None] = queue.Queue(capacity)
        self._put = self._taken = 0  # bytes; each is counted by one thread alone
        self._failing = ""
        self._deadline: float | None = None  # once we are closed
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    def send(self, made: Made, size: int = 0) -> None:
        """Queue the spans of one request, which hold so many bytes until they are made. Never blocks and never raises."""
        if self._put + size - self._taken > _MOST_BYTES:
            self._on_dropped(1)
            return
        try:
            self._queue.put_nowait((made, size))
            self._put += size
        except queue.Full:
            self._on_dropped(1)

    def close(self) -> None:
        """Send what is queued, for a moment, and end."""
        self._deadline = time.monotonic() + _CLOSING_SECONDS
        try:
            self._queue.put(None, timeout=_CLOSING_SECONDS)
        except queue.Full:
            return
        self._thread.join(_CLOSING_SECONDS + _TIMEOUT_SECONDS)

    def _run(self) -> None:
        last = False
        while not last:
            first = self._queue.get()
            batch: list[Span] = []
            until = time.monotonic() + _EVERY_SECONDS
            item = first
            while item is not None:
                self._make(item[0], batch)
                self._taken += item[1]
                if len(batch) >= _BATCH:
                    break
                try:
                    item = self._queue.get(timeout=max(0.0, until - time.monotonic()))
                except queue.Empty:
                    break
            last = item is None
            if batch:
                self._deliver(batch)

    def _make(self, made: Made, batch: list[Span]) -> None:
        try:
            batch.extend(made())
        except Exception as error:  # what cannot be told of one request must not end the telling
            self._on_dropped(1)
            self._say(f"{type(error).__name__}: {error}")

    def _deliver(self, batch: Sequence[Span]) -> None:
        body = request(self._resource, self._scope, batch)
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(self._wait(_BACKOFF_SECONDS * 2**attempt))
            why, again = self._post(body)
            if not why:
                self._failing = ""
                self._on_sent(len(batch))
                return
            if not again or self._deadline is not None:  # whoever ends us does not wait for a receiver that is away
                break
        self._on_dropped(len(batch))
        self._say(why)

    def _post(self, body: bytes) -> tuple[str, bool]:
        """Why it did not get there, nothing when it did; and whether to try again."""
        to = self._to
        try:
            connection = self._connection()
            try:
                target = to.path + (f"?{to.query}" if to.query else "")
                connection.request("POST", target, body, self._headers)
                answer = connection.getresponse()
                said = answer.read(1024)
            finally:
                connection.close()
        except (OSError, http.client.HTTPException, ValueError) as error:
            return f"{type(error).__name__}: {error}", True
        if 200 <= answer.status < 300:
            return "", False
        return f"HTTP {answer.status}: {said.decode('utf-8', 'replace')[:200]}", answer.status in _AGAIN

    def _connection(self) -> http.client.HTTPConnection:
        host, port, seconds = self._to.hostname or "", self._to.port, max(0.1, self._wait(_TIMEOUT_SECONDS))
        if self._secure is not None:
            return http.client.HTTPSConnection(host, port, timeout=seconds, context=self._secure)
        return http.client.HTTPConnection(host, port, timeout=seconds)

    def _wait(self, seconds: float) -> float:
        return seconds if self._deadline is None else max(0.0, min(seconds, self._deadline - time.monotonic()))

    def _say(self, why: str) -> None:
        """Once for each way to fail: a receiver may be away for days."""
        if why != self._failing:
            print(f"spans cannot be sent to {self._to.scheme}://{self._to.netloc}: {why}", flush=True)
        self._failing = why


def traces_url(endpoint: str) -> str:
    """Where spans go, from the address of a receiver: as OpenTelemetry's own SDKs read `OTEL_EXPORTER_OTLP_ENDPOINT`."""
    plain = endpoint.rstrip("/")
    return plain if plain.endswith(PATH) or "?" in plain else plain + PATH
