"""A turn of the controller: nothing is done by a state that is not on the disk."""

from __future__ import annotations

import errno
import itertools
import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlctl.rollout.routes import Backend, Routes
from mlctl.rollout.seen import Question, Route, Start
from mlctl.rollout.state import RolloutState
from mlctl.runtime.controller import program
from mlctl.runtime.controller.asking import ask
from mlctl.runtime.controller.controller import Controller
from mlctl.runtime.controller.evidence import Meter
from mlctl.runtime.controller.fleet import Fleet
from mlctl.runtime.controller.front import Front
from mlctl.runtime.controller.kept import Notebook
from mlctl.runtime.controller.metering import Metering
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.rollout import Order, Revision
from mlctl.types.secret import Secrets
from tests.rollouts.world import World, canary, errors_gate, revision


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    wanted = World(tmp_path).wanted(revision("1"), canary()).model_copy(update={"serial": 1})
    (tmp_path / "wanted.json").write_text(json.dumps(wanted.model_dump(mode="json")))
    return tmp_path


def test_a_full_disk_stops_the_controller_and_not_the_rollout(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    monkeypatch.setattr(Fleet, "start", lambda self, number, item: started.append(number) or True)
    write, full = Notebook.write, [True]

    def refused(book: Notebook, kept: Any) -> None:
        if full:
            raise OSError(errno.ENOSPC, "no space left")
        write(book, kept)

    monkeypatch.setattr(Notebook, "write", refused)
    orders = folder / "orders"
    orders.mkdir()
    (orders / "1.json").write_text(Order(what="pause").model_dump_json())
    controller = Controller(folder, folder)
    for _ in range(2):
        with pytest.raises(OSError, match="no space"):
            controller.turn()
    assert (started, list(orders.iterdir())) == ([], [orders / "1.json"])
    full.clear()
    controller.turn()
    assert started == [1]
    assert list(orders.iterdir()) == []
    assert json.loads((folder / "rollout.json").read_text())["state"]["phase"] == "starting"


def test_what_is_to_end_says_how_long_it_may_take(folder: Path) -> None:
    (folder / "end.json").write_text('{"drain_seconds": 7}')
    assert Controller(folder, folder).turn() == 7.0


@pytest.mark.parametrize("left", ["", "{"])
def test_all_can_be_ended_whatever_became_of_the_state(folder: Path, left: str) -> None:
    (folder / "rollout.json").write_text(left)
    with pytest.raises(MlctlError, match=r"rollout\.unreadable"):
        Controller(folder, folder)
    (folder / "end.json").write_text('{"drain_seconds": 0}')
    controller = Controller(folder, folder)
    assert controller.turn() == 0.0
    controller.end(0.0)


def test_a_release_that_cannot_be_started_keeps_no_request_where_it_was(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed: list[Routes] = []

    def refused(*_: object) -> bool:
        raise OSError(errno.EAGAIN, "no more processes")

    monkeypatch.setattr(Fleet, "start", refused)
    monkeypatch.setattr(Front, "follow", lambda self, routes: followed.append(routes))
    routes = Routes({"stable": Backend("127.0.0.1", 1, "1")}, {"stable": 10_000})
    decided = "mlctl.runtime.controller.controller.advance"
    actions = [Start(1, revision("1")), Route(routes)]
    monkeypatch.setattr(decided, lambda state, *_: (replace(state, serial=1), actions))
    with pytest.raises(OSError, match="no more processes"):
        Controller(folder, folder).turn()
    assert followed == [routes]


def test_a_log_on_a_full_disk_costs_the_line_and_not_the_controller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open("/dev/full", "w", buffering=1) as full:
        monkeypatch.setattr("sys.stdout", full)
        monkeypatch.setattr("sys.stderr", full)
        Notebook(tmp_path, Secrets()).tell("step")
        program._say("it goes on")
        monkeypatch.undo()
        with suppress(OSError):
            full.close()
    assert "step" in (tmp_path / "history.jsonl").read_text()


class Counted(Metering):
    """A metering of what a test says."""

    def __init__(self, folder: Path) -> None:
        super().__init__(Meter(), Front(folder), lambda number: folder / str(number))

    def add(self, candidate: tuple[int, int], baseline: tuple[int, int]) -> None:
        self.meter.gateway({"candidate": candidate, "stable": baseline})


def test_a_gate_counts_from_the_beginning_of_its_step_and_is_asked_at_its_interval(tmp_path: Path) -> None:
    metering = Counted(tmp_path)
    metering.add((1000, 900), (1000, 0))  # of the step before: it must not count
    question = Question(4, "guard", errors_gate(min_requests=100), "candidate", "stable", copies=False, mirrored=False)
    state = RolloutState(clock=10.0, token=4)
    assert ask(state, None, metering) == ask(state, None, metering)
    begun = ask(state, question, metering)
    assert begun.answer is None
    assert ask(moved(begun.state, 0.9), question, metering).answer is None  # too early
    metering.add((1100, 901), (1100, 1))
    first = ask(moved(begun.state, 1.0), question, metering)
    assert first.answer is not None
    assert (first.answer.token, first.answer.verdict.requests, first.answer.verdict.baseline_requests) == (4, 100, 100)
    metering.add((1400, 1190), (1400, 3))
    second = ask(moved(first.state, 1.0), question, metering)
    assert second.answer is not None
    assert second.answer.verdict.says.value == "fail"
    again = ask(
        moved(first.state, 1.0), question, metering
    )  # a controller that was killed in between spends nothing twice
    assert again.answer == second.answer
    another = ask(second.state, Question(5, "guard", question.rule, "candidate", "stable", False, False), metering)
    assert another.answer is None  # the next step begins anew
    assert another.state.memory["judge"] == {}


def moved(state: RolloutState, seconds: float) -> RolloutState:
    return replace(state, clock=state.clock + seconds)


def test_routes_and_counts_are_nothing_without_a_gateway(tmp_path: Path) -> None:
    front = Front(tmp_path)
    assert (front.counts(), front.alive()) == (({}, {}), False)
    assert front.follow(Routes({"stable": Backend("127.0.0.1", 1, "1")}, {"stable": 10_000})) is None
    front.end(0.0)


def test_a_release_that_died_waits_longer_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, begun = [100.0], []
    monkeypatch.setattr("mlctl.runtime.controller.fleet.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("mlctl.processes.service.start", lambda *args, **more: begun.append(clock[0]))
    fleet = Fleet(tmp_path, tmp_path, Secrets())
    item: Revision = revision("1")
    for _ in range(200):
        fleet.start(1, item)
        looked = fleet.look(1, item)
        clock[0] += 0.25
    pauses = [round(later - before, 2) for before, later in itertools.pairwise(begun)]
    assert pauses[:4] == [0.5, 1.0, 2.0, 5.0]
    assert looked.deaths == len(begun)
