"""Two processes serve one model of scikit-learn on one port, to whoever has the token; one is killed, and then their parent."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from mlctl.processes import worker
from mlctl.types.secret import Secrets
from tests.integration.serving.alone import Alone, served
from tests.integration.serving.project import wait_until

pytestmark = pytest.mark.tools

TOKEN = "a token that nobody guesses"
HEADERS = {"authorization": f"Bearer {TOKEN}"}
COLUMNS = ["visits", "amount", "new", "shop"]
YES = {"visits": 3, "amount": 0.5, "new": True, "shop": "a"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Alone]:
    root = tmp_path_factory.mktemp("workers")
    with served(
        root, models / "tree", Secrets({"env.API_TOKEN": TOKEN}), serving={"columns": COLUMNS}, workers=2, admission={"token": TOKEN},
    ) as found:  # fmt: skip
        yield found


def ask(server: Alone, **changed: object) -> tuple[int, object, object]:
    status, _, answer = server.call({"instances": [{**YES, **changed}]}, headers=HEADERS)
    if status != 200:
        return status, answer["code"], answer["field"]
    [row] = answer["predictions"]
    return status, row["score"], row["prediction"]


def test_texts_and_whole_numbers_go_in_and_labels_come_out(server: Alone) -> None:
    assert ask(server) == (200, None, "yes")
    assert ask(server, shop="b") == (200, None, "no")
    assert ask(server, visits=1.0) == (200, None, "no")


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"visits": 1.5}, "visits"),
        ({"visits": None}, "visits"),
        ({"visits": True}, "visits"),
        ({"shop": 1}, "shop"),
        ({"new": 1}, "new"),
        ({"amount": "0.5"}, "amount"),
    ],
)
def test_what_the_signature_does_not_take_is_refused_with_its_field(
    server: Alone, changed: dict[str, object], field: str
) -> None:
    assert ask(server, **changed) == (422, "predict.bad-value", f"instances[0].{field}")


def test_the_page_for_clients_has_the_types_of_the_signature(server: Alone) -> None:
    _, _, page = server.call(None, "/openapi.json", HEADERS, "GET")
    body = page["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]["oneOf"][0]
    types = {name: item["type"] for name, item in body["properties"]["instances"]["items"]["properties"].items()}
    assert types == {"visits": "integer", "amount": ["number", "null"], "new": "boolean", "shop": ["string", "null"]}
    assert page["security"] == [{"token": []}]


def test_without_the_token_nobody_is_answered_and_it_stands_in_no_file(server: Alone) -> None:
    for headers in ({}, {"authorization": "Bearer no"}):
        assert server.call({"instances": [YES]}, headers=headers)[0] == 401
    assert server.call(None, "/healthz", method="GET")[0] == 200
    job = (server.folder / "job.json").read_text()
    assert '"token": "${secret:env.API_TOKEN}"' in job
    for path in server.folder.rglob("*"):
        if path.is_file():
            assert TOKEN.encode() not in path.read_bytes(), path


def test_a_worker_that_is_killed_is_replaced_and_what_it_counted_stays(server: Alone) -> None:
    for _ in range(20):
        assert ask(server)[0] == 200
    wait_until(lambda: len(server.workers()) == 2, 30)
    counted = server.metric("mlctl_requests_total", TOKEN, code="200")
    time.sleep(0.7)  # what was counted is on disk by then
    victim = server.workers()[0]
    victim.kill()
    answers = [ask(server)[0] for _ in range(10)]  # the other one serves on
    assert answers == [200] * 10
    wait_until(lambda: len(server.workers()) == 2 and victim.pid not in [item.pid for item in server.workers()], 30)
    wait_until(lambda: server.metric("mlctl_requests_total", TOKEN, code="200") >= counted + 10, 5)
    assert f"(pid {victim.pid}) ended with -9" in (server.folder / "log.txt").read_text()
    stats = [json.loads(path.read_bytes()) for path in (server.folder / "stats").glob("*.json")]
    assert sum(item["variants"].get("stable", {}).get("codes", {}).get("200", 0) for item in stats) >= counted


def test_workers_end_with_a_parent_that_is_killed(server: Alone) -> None:
    parent = psutil.Process(server.pid)
    wait_until(lambda: len(server.workers()) == 2, 30)
    workers = server.workers()
    parent.send_signal(signal.SIGKILL)
    psutil.wait_procs([parent, *workers], timeout=5)
    assert not [item for item in workers if item.is_running() and item.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.soak
def test_workers_finish_what_is_under_way_when_they_are_told_to_end(tmp_path: Path, models: Path) -> None:
    answers: list[int] = []
    with served(tmp_path, models / "tricky", workers=2) as found:
        slow = {"instances": [{"amount": 1, "visits": 1001.5}]}
        threads = [threading.Thread(target=lambda: answers.append(found.call(slow)[0])) for _ in range(6)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        os.kill(found.pid, signal.SIGTERM)  # the parent alone: it tells its workers
        for thread in threads:
            thread.join()
        wait_until(lambda: not worker.running(found.folder), 30)
        assert json.loads((found.folder / "result.json").read_bytes())["status"] == "done"
    assert answers == [200] * 6
    rows = [line for path in (tmp_path / "predictions").iterdir() for line in path.read_text().splitlines()]
    assert len(rows) == 6
