"""Clients that ask a deployment about households, as a shop would, and note what it answers."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any

from mlctl.cli.demo.households import Household, Town

_UNITS = 5000
_PAUSE_SECONDS = 0.004
_LATEST = 4000


class Client:
    """One connection. A unit stays one: the gateway keeps it at one version."""

    def __init__(self, port: int, number: int) -> None:
        self._port, self._units = port, count(number * 7919)
        self._connection: http.client.HTTPConnection | None = None

    def ask(self, household: Household) -> tuple[int, float | None, str]:
        """The status, the score, and which version answered. Status 0 is no answer at all."""
        body = json.dumps({"instances": [household.features()]}).encode()
        headers = {"content-type": "application/json", "x-user-id": f"household-{next(self._units) % _UNITS}"}
        for _ in range(2):  # a connection that was kept may have been closed meanwhile
            try:
                if self._connection is None:
                    self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
                self._connection.request("POST", "/predict", body, headers)
                answer = self._connection.getresponse()
                told: dict[str, Any] = json.loads(answer.read() or b"{}")
                return answer.status, _score(told), str(told.get("version", ""))
            except (OSError, http.client.HTTPException, ValueError):
                self.close()
        return 0, None, ""

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            with suppress(OSError):
                self._connection.close()
            self._connection = None


class Traffic:
    """Several clients at once, until the block ends."""

    def __init__(self, port: int, town: Town) -> None:
        self._port, self._town = port, town
        self._lock, self._over = threading.Lock(), threading.Event()
        self.statuses: Counter[int] = Counter()
        self.versions: Counter[str] = Counter()
        self.scored: deque[tuple[str, float, int]] = deque(maxlen=_LATEST)

    @contextmanager
    def flowing(self, clients: int) -> Iterator[Traffic]:
        """Requests of changed households, all the time."""
        self._over.clear()
        threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(clients)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._over.set()
            for thread in threads:
                thread.join(timeout=15)

    def _run(self, number: int) -> None:
        client = Client(self._port, number)
        while not self._over.wait(_PAUSE_SECONDS):
            with self._lock:
                household = self._town.household(changed=True)
            answered = client.ask(household)
            with self._lock:
                self._note(household, *answered)
        client.close()

    def send(
        self, households: int, *, changed: bool, ends: Callable[[], bool] = lambda: False
    ) -> list[tuple[float, int]]:
        """So many requests, one after the other. Gives the scores that came back, with what really happened."""
        client, found = Client(self._port, 99), []
        for _ in range(households):
            if ends():
                break
            household = self._town.household(changed=changed)
            status, score, version = client.ask(household)
            self._note(household, status, score, version)
            if score is not None:
                found.append((score, household.shops))
        client.close()
        return found

    def _note(self, household: Household, status: int, score: float | None, version: str) -> None:
        self.statuses[status] += 1
        if score is not None:
            self.versions[version] += 1
            self.scored.append((version, score, household.shops))

    def of(self, version: str) -> list[tuple[float, int]]:
        """Scores and outcomes of the latest answers of one version."""
        with self._lock:
            return [(score, shops) for named, score, shops in self.scored if named == version]

    @property
    def failed(self) -> int:
        """Requests without a good answer."""
        return sum(number for status, number in self.statuses.items() if status != 200)


def _score(told: dict[str, Any]) -> float | None:
    """The score of an answer about one household, however it is wrapped."""
    found: Any = told.get("score", told.get("predictions", told.get("prediction")))
    while isinstance(found, list) and found:
        found = found[0]
    if isinstance(found, dict):
        found = found.get("score")
    return float(found) if isinstance(found, int | float) else None
