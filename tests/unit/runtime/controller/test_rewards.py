"""A reward that was taken is never lost and never counted twice; what is none is refused loudly."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import pytest

from mlctl.runtime.controller.bandit import decide, summary
from mlctl.runtime.controller.ledger import Ledger, Reward
from mlctl.runtime.controller.rewards import Malformed, Rewards, parsed
from mlctl.types.jobs.rollout import ArmRule, Bandit, Revision

DAY = 86_400.0
NOW = time.time()


def logged(
    folder: Path, name: str, arm: str = "a", at: float = NOW, propensity: float | None = 0.5, role: str = "stable"
) -> None:
    """A request as the servers log it."""
    moment = datetime.fromtimestamp(at, UTC)
    line: dict[str, Any] = {
        "ts": moment.isoformat(),
        "request_id": name,
        "role": role,
        "variant": arm,
        "version": "1",
        "code": 200,
    }
    line |= {} if propensity is None else {"propensity": propensity}
    folder.mkdir(exist_ok=True)
    with (folder / f"{moment:%Y-%m-%d}.jsonl").open("a") as stream:
        stream.write(json.dumps(line) + "\n")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(tmp_path / "rewards", lambda: [tmp_path / "log"], DAY)
    yield opened
    opened.close()


def take(ledger: Ledger, name: str, value: float = 1.0, at: float = NOW) -> str:
    return ledger.take([Reward(name, value, at)])[0]


def test_a_reward_belongs_to_the_arm_that_answered(ledger: Ledger, tmp_path: Path) -> None:
    logged(tmp_path / "log", "one")
    logged(tmp_path / "log", "two", "b", propensity=0.25)
    ledger.update(NOW)
    assert [take(ledger, "one"), take(ledger, "two", 3.0)] == ["matched", "matched"]
    sums = ledger.by_version()
    assert (sums["a", "1"].number, sums["a", "1"].weighted) == (1, 2.0)
    assert (sums["b", "1"].total, sums["b", "1"].weighted, sums["b", "1"].inverse) == (3.0, 12.0, 4.0)


def test_a_reward_may_come_before_its_request_is_logged_and_a_minute_later_it_is_nobodys(
    ledger: Ledger, tmp_path: Path
) -> None:
    assert [take(ledger, "early"), take(ledger, "ghost")] == ["waiting", "waiting"]
    logged(tmp_path / "log", "early")
    ledger.update(NOW + 5)
    assert ledger.counted() | {"matched": 1, "waiting": 1, "unknown": 0} == ledger.counted()
    ledger.update(NOW + 61)
    logged(tmp_path / "log", "ghost")
    ledger.update(NOW + 62)
    assert ledger.counted() | {"matched": 1, "waiting": 0, "unknown": 1} == ledger.counted()
    assert ledger.by_version()["a", "1"].number == 1


def test_what_came_twice_came_late_or_was_a_preview_does_not_count(ledger: Ledger, tmp_path: Path) -> None:
    logged(tmp_path / "log", "twice")
    logged(tmp_path / "log", "late", at=NOW - 1.5 * DAY)
    logged(tmp_path / "log", "preview", propensity=None)
    logged(tmp_path / "log", "copy", role="shadow")
    ledger.update(NOW)
    states = [take(ledger, name) for name in ("twice", "twice", "late", "preview", "copy")]
    assert states == ["matched", "duplicate", "late", "preview", "waiting"]
    assert {arm: rewards.number for arm, rewards in ledger.by_version().items()} == {("a", "1"): 1}


def test_memory_of_old_requests_ends(ledger: Ledger, tmp_path: Path) -> None:
    logged(tmp_path / "log", "old", at=NOW - 2.5 * DAY)
    logged(tmp_path / "log", "new")
    ledger.update(NOW)
    assert ledger._database.execute("SELECT id FROM requests").fetchall() == [("new",)]


@pytest.mark.parametrize("lost", ["nothing", "index", "broken", "tail"])
def test_whatever_a_kill_left_the_next_ledger_counts_each_reward_once(tmp_path: Path, lost: str) -> None:
    folder = tmp_path / "rewards"
    logged(tmp_path / "log", "one")
    logged(tmp_path / "log", "two")
    first = Ledger(folder, lambda: [tmp_path / "log"], DAY)
    first.update(NOW)
    take(first, "one")
    first.close()
    if lost == "index":
        (folder / "index.sqlite").unlink()
    if lost == "broken":
        (folder / "index.sqlite").write_bytes(b"not a database at all" * 100)
    if lost == "tail":  # killed between the line and the index, and once in the middle of a line
        with next(folder.glob("*.jsonl")).open("a") as stream:
            stream.write(json.dumps({"request_id": "two", "reward": 1.0, "at": NOW}) + "\n" + '{"request_id": "th')
    second = Ledger(folder, lambda: [tmp_path / "log"], DAY)
    second.update(NOW)
    assert take(second, "two") == ("duplicate" if lost == "tail" else "matched")
    second.update(NOW)
    assert second.by_version()["a", "1"].number == 2
    assert take(second, "one") == "duplicate"
    second.close()
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"{", "not JSON"),
        (b"[]", "0 rewards"),
        (b"7", "not an object"),
        (b'{"request_id": "a", "reward": "1"}', '.reward: "1" is not a number'),
        (b'{"request_id": "a", "reward": NaN}', "is not a number"),
        (b'{"request_id": "a", "reward": 0.5}', "neither 0 nor 1"),
        (b'{"request_id": 5, "reward": 1}', ".request_id"),
        (b'{"request_id": "a"}', ".reward: null"),
        (b'{"request_id": "a", "reward": 1, "rewrad": 2}', ".rewrad: there is no such field"),
        (b'[{"request_id": "a", "reward": 1}, {"request_id": "", "reward": 1}]', "[1].request_id"),
    ],
)
def test_what_is_no_reward_is_named(body: bytes, told: str) -> None:
    with pytest.raises(Malformed) as error:
        parsed(body, "binary", NOW)
    assert told in str(error.value)


def test_truth_is_a_binary_reward_and_any_number_is_a_mean_one() -> None:
    assert parsed(b'{"request_id": "a", "reward": true}', "binary", NOW) == [Reward("a", 1.0, NOW)]
    assert parsed(b'{"request_id": "a", "reward": -3.5}', "mean", NOW) == [Reward("a", -3.5, NOW)]
    with pytest.raises(Malformed):
        parsed(b'{"request_id": "a", "reward": true}', "mean", NOW)


@pytest.fixture
def rewards(tmp_path: Path) -> Iterator[Rewards]:
    opened = Rewards(lambda: Ledger(tmp_path / "rewards", lambda: [tmp_path / "log"], DAY), "binary", 0)
    yield opened
    opened.close()


def ask(rewards: Rewards, method: str, path: str, body: object = None) -> tuple[int, Any]:
    connection = HTTPConnection("127.0.0.1", rewards.port, timeout=10)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        answer = connection.getresponse()
        data = answer.read()
        return answer.status, json.loads(data) if path != "/metrics" else data.decode()
    finally:
        connection.close()


def test_whoever_sends_a_reward_is_told_what_became_of_it(rewards: Rewards, tmp_path: Path) -> None:
    assert ask(rewards, "POST", "/rewards", {"request_id": "r1", "reward": 1}) == (
        202,
        {"request_id": "r1", "state": "waiting"},
    )
    assert ask(rewards, "POST", "/rewards", {"request_id": "r1", "reward": "1"})[0] == 422
    status, answer = ask(
        rewards, "POST", "/rewards", [{"request_id": "r1", "reward": 0}, {"request_id": "r2", "reward": 0}]
    )
    assert (status, [item["state"] for item in answer["rewards"]]) == (202, ["duplicate", "waiting"])
    assert ask(rewards, "POST", "/feedback", {})[0] == 404
    logged(tmp_path / "log", "r1", at=time.time())
    deadline = time.monotonic() + 10
    while not rewards.sums() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert rewards.sums()["a", "1"].number == 1
    metrics = ask(rewards, "GET", "/metrics")[1]
    assert "mlctl_rewards_malformed_total 1.0" in metrics
    assert 'mlctl_rewards{state="matched"} 1.0' in metrics
    assert 'mlctl_arm_rewards_sum{arm="a",version="1"} 1.0' in metrics


def test_many_senders_at_once_share_a_write_and_lose_nothing(rewards: Rewards, tmp_path: Path) -> None:
    def send(sender: int) -> None:
        for number in range(20):
            assert ask(rewards, "POST", "/rewards", {"request_id": f"{sender}-{number}", "reward": 1})[0] == 202

    threads = [threading.Thread(target=send, args=(sender,)) for sender in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [line for path in (tmp_path / "rewards").glob("*.jsonl") for line in path.read_text().splitlines()]
    assert len({json.loads(line)["request_id"] for line in lines}) == len(lines) == 160


def test_the_file_of_a_day_is_on_the_disk_too_and_not_only_what_is_in_it(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr("mlctl.files.atomic.sync_folder", synced.append)
    take(ledger, "a", 1.0)
    take(ledger, "b", 1.0)
    assert [path.resolve() for path in synced] == [next(tmp_path.rglob("*.jsonl")).parent.resolve()]


def test_what_cannot_be_written_is_not_taken(rewards: Rewards, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("mlctl.runtime.controller.ledger._append", full)
        assert ask(rewards, "POST", "/rewards", {"request_id": "a", "reward": 1})[0] == 503
    assert ask(rewards, "POST", "/rewards", {"request_id": "a", "reward": 1}) == (
        202,
        {"request_id": "a", "state": "waiting"},
    )


def test_oversized_bodies_and_those_of_unknown_length_are_turned_away(rewards: Rewards) -> None:
    for head, status in ((b"Content-Length: 2000000", b"413"), (b"Transfer-Encoding: chunked", b"411")):
        with socket.create_connection(("127.0.0.1", rewards.port), timeout=10) as sender:
            sender.sendall(b"POST /rewards HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n")
            assert sender.recv(100).startswith(b"HTTP/1.1 " + status)


def test_a_page_that_a_browser_of_this_machine_has_open_cannot_steer_the_shares(rewards: Rewards) -> None:
    with socket.create_connection(("127.0.0.1", rewards.port), timeout=10) as sender:
        body = b'{"request_id": "a", "reward": 1}'
        head = b"POST /rewards HTTP/1.1\r\nHost: x\r\nOrigin: https://elsewhere.example\r\nContent-Type: text/plain\r\n"
        sender.sendall(head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert sender.recv(100).startswith(b"HTTP/1.1 403")


def test_beyond_this_machine_a_token_is_needed(tmp_path: Path) -> None:
    def opened() -> Ledger:
        return Ledger(tmp_path / "rewards", list, DAY)

    with pytest.raises(ValueError, match="not a loopback address"):
        Rewards(opened, "binary", 0, host="0.0.0.0")
    rewards = Rewards(opened, "binary", 0, token="open sesame")
    try:
        assert ask(rewards, "POST", "/rewards", {"request_id": "a", "reward": 1})[0] == 401
        assert ask(rewards, "GET", "/healthz") == (200, {"status": "ok"})
    finally:
        rewards.close()


@pytest.mark.parametrize(
    "begun", [b"GET /healthz HTTP/1.1\r\nX: ", b"POST /rewards HTTP/1.1\r\nContent-Length: 900\r\n\r\n"]
)
def test_who_sends_a_request_byte_by_byte_does_not_keep_others_out(
    rewards: Rewards, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr("mlctl.runtime.controller.rewards._WHOLE_SECONDS", 0.5)
    began = time.monotonic()
    slow = [socket.create_connection(("127.0.0.1", rewards.port), timeout=10) for _ in range(64)]
    assert (
        time.monotonic() - began < 5
    )  # a burst is let in at once: whoever does not fit into the queue waits for seconds
    try:
        for sender in slow:
            sender.sendall(begun)
        deadline, status = time.monotonic() + 10, 0
        while status != 200 and time.monotonic() < deadline:
            for sender in slow:
                with suppress(OSError):
                    sender.sendall(b" ")
            time.sleep(0.1)
            with suppress(OSError, HTTPException):  # turned away with the others for now
                status = ask(rewards, "GET", "/metrics")[0]
        assert status == 200
    finally:
        for sender in slow:
            sender.close()


def test_a_connection_may_be_used_again_after_a_pause(rewards: Rewards, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlctl.runtime.controller.rewards._WHOLE_SECONDS", 0.3)
    connection = HTTPConnection("127.0.0.1", rewards.port, timeout=10)
    try:
        for number in range(2):
            connection.request("POST", "/rewards", json.dumps({"request_id": str(number), "reward": 1}))
            assert connection.getresponse().read().endswith(b'"waiting"}')
            time.sleep(0.5)
    finally:
        connection.close()


def test_shares_follow_the_rewards_of_the_versions_in_force(ledger: Ledger, tmp_path: Path) -> None:
    revision = Revision(digest="d", model="m", version="1", program="server", params={})
    arms = {name: ArmRule(revision=revision, weight=1) for name in ("a", "b")}
    rule = Bandit(type="bandit", arms=arms, floor=0.1, min_rewards=10)
    for number in range(30):
        logged(tmp_path / "log", f"a{number}", "a")
        logged(tmp_path / "log", f"b{number}", "b")
    ledger.update(NOW)
    versions = {"a": "1", "b": "1"}
    for number in range(30):
        assert decide(rule, versions, ledger.by_version()) is None or number >= 10
        take(ledger, f"a{number}", float(number % 10 == 0))
        take(ledger, f"b{number}", float(number % 2 == 0))
    shares = decide(rule, versions, ledger.by_version())
    assert shares == pytest.approx({"a": 0.1, "b": 0.9}, abs=0.01)
    assert decide(rule, {"a": "1", "b": "2"}, ledger.by_version()) is None  # a new version begins anew
    told = summary(rule, versions, ledger.by_version())
    assert (told["a"]["rewards"], told["a"]["mean"], told["a"]["missing"]) == (30, 0.1, 0)
    assert told["b"]["weighted_mean"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    "body", [b'{"request_id": "\\ud800", "reward": 1}', b'{"request_id": "a", "reward": 1' + b"0" * 400 + b"}"]
)
@pytest.mark.parametrize("kind", ["binary", "mean"])
def test_what_cannot_be_written_down_is_no_reward(body: bytes, kind: Any) -> None:
    with pytest.raises(Malformed):
        parsed(body, kind, NOW)


def test_a_line_that_the_index_cannot_hold_costs_no_other(ledger: Ledger, tmp_path: Path) -> None:
    logged(tmp_path / "log", "half \ud800")
    logged(tmp_path / "log", "whole")
    ledger.update(NOW)
    assert take(ledger, "whole") == "matched"


def test_a_reward_waits_until_the_whole_log_was_read(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlctl.runtime.controller.ledger._ROUNDS", 1)
    monkeypatch.setattr("mlctl.runtime.controller.tail._AT_ONCE", 10)
    assert take(ledger, "late to be read") == "waiting"
    for name in ("one", "two", "late to be read"):
        logged(tmp_path / "log", name)
    ledger.update(NOW + 100.0)  # far behind: the reward's line was not read yet
    assert ledger.counted()["unknown"] == 0
    for _ in range(20):
        ledger.update(NOW + 100.0)
    assert ledger.counted()["matched"] == 1
