"""What goes wrong with a server, its clients and its surroundings: each with its documented answer, and nothing crashes."""

from __future__ import annotations

import contextlib
import json
import resource
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlctl.processes import service
from tests.integration.serving.alone import Alone, begin, failed, served
from tests.integration.serving.project import wait_until

pytestmark = pytest.mark.tools

GOOD = {"instances": [{"amount": 1, "visits": 2}]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Alone]:
    """Impatient and small, and its log can never be written: where its file should be stands a folder."""
    root = tmp_path_factory.mktemp("faults")
    for day in range(2):
        name = time.strftime("%Y-%m-%d", time.gmtime(time.time() + day * 86_400))
        (root / "predictions" / f"{name}.jsonl").mkdir(parents=True)
    admission = {
        "max_body_bytes": 64 * 1024, "read_seconds": 1.0,
        "concurrency": {"max_running": 2, "max_waiting": 1, "retry_after_seconds": 3.0},
    }  # fmt: skip
    with served(root, models / "tricky", timeout_seconds=1.0, admission=admission) as found:
        yield found


@pytest.fixture(autouse=True)
def lives_on(server: Alone) -> Iterator[None]:
    """Whatever was done to it, the same process answers the next request right."""
    before = server.pid
    yield
    wait_until(lambda: server.call(GOOD)[0] == 200)
    assert server.pid == before


def test_port_0_is_any_port_and_ready_json_says_which(server: Alone) -> None:
    ready = json.loads((server.folder / "ready.json").read_bytes())
    assert (ready["host"], ready["url"]) == ("127.0.0.1", f"http://127.0.0.1:{ready['port']}")
    assert server.call(None, "/healthz", method="GET")[2]["release"] == "1"


def test_a_body_that_is_no_json(server: Alone) -> None:
    for body in (b"{", b'{"instances": NaN}', b"\xff\xfe", b"[" * 50_000):
        status, _, answer = server.call(body)
        assert (status, answer["code"], answer["field"]) == (422, "predict.not-json", "body")


def test_a_score_that_is_no_number_is_never_answered(server: Alone) -> None:
    status, _, answer = server.call({"instances": [{"amount": None, "visits": -1}]})
    assert (status, answer["code"]) == (500, "predict.not-finite")
    assert answer["message"].endswith("features without a value: amount")


def test_a_body_of_100_mb_is_refused_without_being_read(server: Alone) -> None:
    sent, began = 0, time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 100000000\r\n\r\n")
        with contextlib.suppress(OSError):
            while sent < 100_000_000:
                sent += connection.send(b"x" * 65_536)
        answer = connection.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"predict.too-large" in answer
    assert sent < 20_000_000
    assert time.monotonic() - began < 5


def test_a_chunked_body_without_end_is_refused_at_the_limit(server: Alone) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        with contextlib.suppress(OSError):
            for _ in range(10_000):
                connection.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 413")


def test_a_client_that_sends_its_body_slowly_gets_a_408(server: Alone) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
        answer = connection.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"predict.slow-request" in answer


def test_connections_that_never_finish_a_request_are_closed_and_hold_up_nobody(server: Alone) -> None:
    slow = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(200)]
    try:
        for number, connection in enumerate(slow):
            connection.sendall(b"" if number % 4 == 0 else b"POST /predict HTTP/1.1\r\nx-slow: ")
        began = time.monotonic()
        assert server.call(GOOD)[0] == 200
        assert time.monotonic() - began < 3.0  # the 200 are not waited for
        for _ in range(4):  # a byte now and then does not keep a connection
            time.sleep(0.4)
            for connection in slow[1::4]:
                with contextlib.suppress(OSError):
                    connection.send(b"a")
        for connection in slow:
            with contextlib.suppress(ConnectionError):
                assert connection.recv(1) == b""
        assert time.monotonic() - began < 15
    finally:
        for connection in slow:
            connection.close()


def test_a_model_that_hangs_is_a_504_and_tells_that_it_is_not_ready(server: Alone) -> None:
    status, _, answer = server.call({"instances": [{"amount": 1, "visits": 1002.5}]})
    assert (status, answer["code"]) == (504, "predict.timeout")
    status, _, answer = server.call(None, "/readyz", method="GET")
    assert (status, answer["ready"], answer["reason"]) == (503, False, "the model does not come back from a batch")
    assert server.call(None, "/healthz", method="GET")[0] == 200
    wait_until(lambda: server.call(None, "/readyz", method="GET")[0] == 200)


def test_who_finds_no_room_is_told_when_to_come_again(server: Alone) -> None:
    answers: list[tuple[int, str | None]] = []

    def client() -> None:
        status, headers, _ = server.call({"instances": [{"amount": 1, "visits": 1000.5}]})
        answers.append((status, headers.get("retry-after")))

    threads = [threading.Thread(target=client) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [retry for status, retry in answers if status == 503] == ["3"] * 5
    assert len([status for status, _ in answers if status in (200, 504)]) == 3
    assert server.metric("mlctl_rejected_total") >= 5


def test_a_log_that_cannot_be_written_costs_rows_and_is_counted(server: Alone) -> None:
    before = server.metric("mlctl_log_dropped_total")
    for _ in range(5):
        assert server.call(GOOD)[0] == 200
    wait_until(lambda: server.metric("mlctl_log_dropped_total") >= before + 5)
    assert "the prediction log cannot be written" in (server.folder / "log.txt").read_text()


def test_a_model_file_that_is_corrupt_is_told_and_nothing_serves(tmp_path: Path, models: Path) -> None:
    shutil.copytree(models / "one", tmp_path / "model")
    [weights] = (tmp_path / "model").rglob("*.pth")
    weights.write_bytes(weights.read_bytes()[:200])
    folder = begin(tmp_path, tmp_path / "model")
    found = failed(folder)
    assert (found["code"], str(tmp_path / "model") in found["summary"]) == ("deploy.bad-model", True)
    assert not (folder / "ready.json").exists()


def test_too_little_memory_to_load_a_model_is_told_as_that(tmp_path: Path, models: Path) -> None:
    folder = begin(tmp_path, models / "greedy", workers=2)
    most = 12 * 2**30
    resource.prlimit(
        int(service.find(folder).pid or 0), resource.RLIMIT_AS, (most, most)
    )  # its workers have it from it
    found = failed(folder)
    assert (found["code"], "allocate" in found["why"]) == ("deploy.out-of-memory", True)
