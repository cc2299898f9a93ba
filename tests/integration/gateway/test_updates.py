"""Nothing is dropped or sent to the wrong server while everything changes."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mlctl.rollout.routes import TOTAL, Routes
from tests.integration.gateway.parts import UNIT, Client, Running, Upstream, running

_CLIENTS = 4


@dataclass
class Load:
    """Clients that ask without a pause, from as many threads."""

    port: int
    statuses: Counter[int | str] = field(default_factory=Counter)
    names: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Load:
        self.threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(_CLIENTS)]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join(30)

    def _ask(self, number: int) -> None:
        client, done = Client(self.port), 0
        while not self.ended.is_set():
            done += 1
            try:
                answer = client.ask(unit=f"{number}-{done}", body=b"{}")
            except http.client.HTTPException:  # the answer had begun and was cut off
                self.statuses["cut"] += 1
                client.connection.close()
                continue
            except OSError as error:
                self.wrong.append(f"{type(error).__name__}: {error}")
                client.connection.close()
                continue
            self.statuses[answer.status] += 1
            if answer.status == 503 and answer.headers.get("retry-after") != "1":
                self.wrong.append("503 without Retry-After")
            if answer.status == 200:
                told = answer.json()
                self.names[told["name"]] += 1
                if answer.header("x-mlctl-variant") != [told["name"]]:
                    self.wrong.append(f"{told['name']} was told {answer.header('x-mlctl-variant')}")
        client.connection.close()


def test_no_request_is_lost_while_shares_and_versions_change(own: Running) -> None:
    """Shares go up and down, the candidate becomes the stable version, and is replaced by the next."""
    own.gateway.configure(own.routes(0))
    third = Upstream("stable")
    third.start()
    try:
        with Load(own.spec.port) as load:
            for share in (100, 1000, 5000, TOTAL, 0, 3000):
                own.gateway.configure(own.routes(share))
                time.sleep(0.1)
            for stable in (third, own.stable, third):
                own.gateway.configure(
                    Routes(
                        {"stable": stable.backend("3"), "candidate": own.candidate.backend("2")},
                        {"stable": 5000, "candidate": 5000},
                        UNIT,
                    )
                )
                time.sleep(0.15)
            own.gateway.configure(Routes({"stable": third.backend("3")}, {"stable": TOTAL}))
            time.sleep(0.3)
    finally:
        third.kill()
    assert load.wrong == []
    assert set(load.statuses) == {200}
    assert load.statuses[200] > 300
    counted = own.gateway.counts()
    assert {name: item.requests for name, item in counted.items()} == dict(load.names)
    assert sum(item.errors for item in counted.values()) == 0


def test_a_request_that_is_still_being_sent_when_its_version_goes_is_answered(own: Running) -> None:
    """It was let in before the change, and whoever it was meant for lives."""
    own.gateway.configure(own.routes(TOTAL))
    with socket.create_connection(("127.0.0.1", own.spec.port), timeout=10) as slow:
        slow.sendall(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nab")
        time.sleep(0.1)
        own.gateway.configure(Routes({"stable": own.stable.backend("1")}, {"stable": TOTAL}))
        own.gateway.configure(Routes({"stable": own.stable.backend("3")}, {"stable": TOTAL}))
        slow.sendall(b"cd")
        assert b" 200 OK" in slow.recv(4096)


def test_versions_long_gone_are_forgotten_but_not_what_they_counted(
    pair: tuple[Upstream, Upstream], tmp_path: Path
) -> None:
    """Nor one that still streams. Envoy would keep a cluster for each version there ever was."""
    with running("envoy", tmp_path / "gateway", *pair) as own:
        own.gateway.configure(own.routes(TOTAL))
        own.client().ask()
        client = own.client()
        client.connection.request("GET", "/stream?n=5&pause=0.2")
        answer = client.connection.getresponse()
        retired = own.folder / "retired.json"

        def later(share: int) -> set[str]:
            """Configure as if more than two minutes had passed since the last time."""
            own.gateway.configure(Routes({"stable": own.stable.backend(str(share))}, {"stable": TOTAL}))
            retired.write_text(
                json.dumps({name: since - 500 for name, since in json.loads(retired.read_text()).items()})
            )
            return {
                item["name"].rpartition("-")[0]
                for item in json.loads((own.folder / "cds/cds.json").read_text())["resources"]
            }

        assert later(1) == later(2) == {"stable", "candidate"}
        assert answer.read().count(b"data:") == 5
        assert later(3) == {"stable"}
        assert len(json.loads((own.folder / "cds/cds.json").read_text())["resources"]) <= 3
        assert own.gateway.counts() == {"candidate": (2, 0)}


def test_a_candidate_that_dies_harms_at_most_who_it_was_answering(own: Running) -> None:
    """Who cannot reach it is answered by the stable version, and each such answer is the candidate's error."""
    own.gateway.configure(own.routes(5000))
    try:
        with Load(own.spec.port) as load:
            time.sleep(0.3)
            own.candidate.kill()
            time.sleep(0.5)
            during = load.names.copy()
            own.candidate.start()
            time.sleep(0.5)
    finally:
        own.candidate.kill()
        own.candidate.start()
    assert load.wrong == []
    assert set(load.statuses) <= {200, 503, "cut"}
    # the one that each client waited for, and on a busy machine one more that was being connected
    assert load.statuses[503] + load.statuses["cut"] <= 2 * _CLIENTS
    assert load.names["candidate"] > during["candidate"]
    assert own.gateway.counts()["candidate"].errors > load.statuses[503]
    assert own.gateway.counts()["stable"].errors == 0


def test_when_nobody_is_there_clients_are_told_to_come_again(front: Running) -> None:
    """503 and Retry-After, with a body that says why; and no later than that is knfront."""
    front.gateway.configure(front.routes(0))
    before = front.gateway.counts()
    front.stable.kill()
    try:
        began = time.monotonic()
        answer = front.client().ask()
        assert (answer.status, answer.headers["retry-after"], answer.json()["code"]) == (
            503,
            "1",
            "gateway.unavailable",
        )
        assert time.monotonic() - began < 5  # at once, on a busy machine too
        assert front.counted(before) == {"stable": (1, 1)}
    finally:
        front.stable.start()
    assert front.client().ask().status == 200


def test_who_picked_a_version_gets_no_other(front: Running) -> None:
    """A preview of a candidate that does not run is a 503, and one that hangs a 504."""
    front.gateway.configure(front.routes(0))
    assert front.client().ask("/hang", x_mlctl_variant="candidate").status == 504
    front.candidate.kill()
    try:
        answer = front.client().ask(x_mlctl_variant="candidate")
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    finally:
        front.candidate.start()


def test_an_answer_that_is_cut_off_is_an_error_and_not_asked_for_twice(front: Running) -> None:
    """The server may have done what it was asked to."""
    front.gateway.configure(front.routes(TOTAL))
    before, client = front.gateway.counts(), front.client()
    try:
        client.connection.request("POST", "/cut", body=b"x")
        answer = client.connection.getresponse()
        assert answer.status == 200
        with pytest.raises((http.client.IncompleteRead, OSError)):
            answer.read()
        time.sleep(0.1)
        assert front.counted(before) == {"candidate": (1, 1)}
    finally:
        front.candidate.kill()
        front.candidate.start()
