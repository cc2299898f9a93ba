"""What others put into a controller's folder, and what it keeps there."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from mlctl.files import atomic
from mlctl.rollout.routes import Backend, Routes
from mlctl.rollout.state import Phase, RolloutState
from mlctl.runtime.controller.inbox import Inbox
from mlctl.runtime.controller.kept import Kept, Notebook
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.rollout import Order
from mlctl.types.secret import Secrets
from tests.rollouts.world import World, canary, revision

SECRET = "hunter22hunter22"


def put(folder: Path, serial: int, version: str = "1") -> None:
    wanted = World(folder / "root").wanted(revision(version), canary()).model_copy(update={"serial": serial})
    beside = folder / "beside"
    beside.write_text(json.dumps(wanted.model_dump(mode="json")))
    os.replace(beside, folder / "wanted.json")


def test_what_is_wanted_is_read_when_it_changes_and_never_goes_back(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, Secrets())
    assert inbox.wanted() is None
    put(tmp_path, 1)
    first = inbox.wanted()
    assert first is not None
    assert inbox.wanted() is first
    put(tmp_path, 2, "2")
    second = inbox.wanted()
    assert second is not None
    assert second.serial == 2
    put(tmp_path, 1)
    assert inbox.wanted() is second
    (tmp_path / "wanted.json").write_text('{"serial": 3')
    assert inbox.wanted() is second


def test_secrets_that_the_process_was_not_given_are_named(tmp_path: Path) -> None:
    put(tmp_path, 1, "${secret:var.token}")
    with pytest.raises(MlctlError, match=r"var\.token"):
        Inbox(tmp_path, Secrets()).wanted()
    found = Inbox(tmp_path, Secrets({"var.token": SECRET})).wanted()
    assert found is not None
    assert found.revision is not None
    assert found.revision.version == SECRET


def test_orders_come_in_their_order_and_what_is_none_is_put_aside(tmp_path: Path) -> None:
    orders = tmp_path / "orders"
    orders.mkdir()
    for name, what in (("2.json", "resume"), ("1.json", "pause"), ("3.json", "dance")):
        (orders / name).write_text(json.dumps({"what": what}))
    (orders / ".4.json.tmp").write_text("")
    inbox = Inbox(tmp_path, Secrets())
    assert [(path.name, order) for path, order in inbox.orders()] == [
        ("1.json", Order(what="pause")),
        ("2.json", Order(what="resume")),
    ]
    assert (orders / "3.refused").exists()
    assert Inbox(tmp_path / "nowhere", Secrets()).orders() == []
    assert inbox.ending() is None
    (tmp_path / "end.json").write_text('{"drain_seconds": 3}')
    assert inbox.ending() == 3.0


def test_the_state_is_kept_with_its_order_and_without_secrets(tmp_path: Path) -> None:
    book = Notebook(tmp_path, Secrets({"var.token": SECRET}))
    assert book.read().state == RolloutState()
    backend = Backend("127.0.0.1", 1, SECRET)
    routes = Routes({"stable": backend, "candidate": backend}, {"stable": 9000, "candidate": 1000})
    state = RolloutState(serial=4, phase=Phase.STEPPING, routes=routes)
    book.write(Kept(state, {"totals": {}}))
    assert SECRET not in (tmp_path / "rollout.json").read_text()
    assert (tmp_path / "rollout.json").stat().st_mode & 0o777 == 0o600
    found = book.read().state
    assert found == state
    assert found.routes is not None
    assert list(found.routes.shares) == ["stable", "candidate"]  # in the order of their ranges
    book.tell("started", text=f"with {SECRET}")
    assert SECRET not in (tmp_path / "history.jsonl").read_text()


@pytest.mark.parametrize(
    "text", ['{"format": 99}', "", '{"format": 1, "state": {"phase": "dancing"}, "meter": {}}', "[]"]
)
def test_a_state_that_cannot_be_read_stops_the_controller(tmp_path: Path, text: str) -> None:
    (tmp_path / "rollout.json").write_text(text)
    with pytest.raises(MlctlError, match=r"rollout\.unreadable"):
        Notebook(tmp_path, Secrets()).read()


def test_a_state_that_is_gone_is_no_beginning_while_a_gateway_has_its_routes(tmp_path: Path) -> None:
    (tmp_path / "gateway" / "envoy").mkdir(parents=True)
    assert Notebook(tmp_path, Secrets()).read().state == RolloutState()
    (tmp_path / "gateway" / "envoy" / "routes.json").write_text("{}")
    with pytest.raises(MlctlError, match=r"rollout\.lost"):
        Notebook(tmp_path, Secrets()).read()


def test_a_history_that_grows_too_long_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlctl.runtime.controller.kept._HISTORY_BYTES", 300)
    book = Notebook(tmp_path, Secrets())
    for number in range(20):
        book.tell("step", text=str(number))
    kept = [
        *(tmp_path / "history.1.jsonl").read_text().splitlines(),
        *(tmp_path / "history.jsonl").read_text().splitlines(),
    ]
    assert json.loads(kept[-1])["text"] == "19"
    assert all(json.loads(line)["what"] == "step" for line in kept)


def test_a_full_disk_still_takes_a_state_and_what_follows_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook, taken = Notebook(tmp_path, Secrets()), RolloutState()
    notebook.write(Kept(taken, {}))
    capacity = sum(path.stat().st_size for path in tmp_path.iterdir()) + 100
    real = atomic.write_bytes

    def write(path: Path, data: bytes, *, mode: int = 0o600) -> None:
        if sum(other.stat().st_size for other in tmp_path.iterdir()) + len(data) > capacity:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, data, mode=mode)

    monkeypatch.setattr(atomic, "write_bytes", write)
    failed = replace(taken, phase=Phase.HELD)
    notebook.write(Kept(failed, {}))
    assert Notebook(tmp_path, Secrets()).read().state.phase is Phase.HELD
    atomic.write_bytes(tmp_path / "routes", bytes(100_000))  # the shares that follow find room too
    notebook.write(Kept(failed, {}))
    (tmp_path / "routes").unlink()
    notebook.write(Kept(failed, {}))
    assert (tmp_path / "reserve").exists()  # for the next time
