"""What every store promises, whether it is a folder or a bucket: one suite for all of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from mlctl.engine import journal
from mlctl.engine.store import GENERATIONS, Session, Store, protocol
from mlctl.types.address import ObjectKey
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.state import Approval, Failure, Gate, Held, Pending, Record, State, Use
from tests.integration.state.places import LocalWorld, World

A, B, C = (ObjectKey.parse(text) for text in ("builds.a#1", "builds.b#2", 'things.c["lr=0.1"]#'))
HELD = Held("7f3a", "it was slow", "me@here", "2026-11-01T00:00:00Z")
FULL = Record(
    C, "id", {"value": 1}, {"spec": "s"}, (Use(A, "d"),), {"digest": "x"},
    Gate(False, "no", ("a", "b"), Approval("me", "it is fine", "2026-11-01T00:00:00Z")), Pending.APPLY, 7, {"by": "me"},
    True, B, Failure(2, "2026-11-01T00:00:00Z", "no room"),
)  # fmt: skip


def record(store: Store, *records: Record) -> State:
    with store.session("test") as session:
        for item in records:
            session.record(item)
    return store.read()


def code(error: pytest.ExceptionInfo[MlctlError]) -> str:
    return error.value.diagnostics[0].code


def test_a_new_environment_has_an_empty_state_and_reading_makes_nothing(world: World) -> None:
    state = world.open().read()
    assert (state.serial, state.objects, state.held) == (0, {}, None)
    assert world.open().generations() == []
    assert world.open().holder() is None
    assert isinstance(world, LocalWorld) or world.files() == {}


def test_every_field_survives(world: World) -> None:
    with world.open().session("test") as session:
        session.record(FULL)
        session.hold(HELD)
    state = world.open().read()
    assert state.objects == {C: FULL}
    assert state.held == HELD


def test_a_session_without_a_change_writes_no_state(world: World) -> None:
    first = record(world.open(), Record(A, sequence=1))
    before = world.files()
    with world.open().session("test"):
        pass
    with world.open().session("test") as session:
        session.record(Record(A, sequence=1))
    assert world.open().read() == first
    assert world.files() == before


def test_lineage_is_fixed_at_birth_and_the_serial_grows_with_the_content(world: World) -> None:
    first = record(world.open(), Record(A, sequence=1))
    second = record(world.open(), Record(A, id="new", sequence=2))
    assert (first.serial, second.serial) == (1, 2)
    assert first.lineage == second.lineage
    with world.open().session("test") as session:
        session.hold(HELD)
    assert (world.open().read().serial, world.open().read().held) == (3, HELD)
    with world.open().session("test") as session:
        session.hold(None)
    assert (world.open().read().serial, world.open().read().held) == (4, None)


def test_an_error_of_the_work_itself_is_not_told_as_one_of_the_state(world: World) -> None:
    def work() -> None:
        with world.open().session("test") as session:
            session.record(Record(A, sequence=1))
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        work()
    assert A in world.open().read().objects


def test_readers_need_no_lock_and_see_what_is_under_way(world: World) -> None:
    with world.open().session("apply") as session:
        session.record(Record(A, pending=Pending.APPLY, sequence=1))
        assert world.open().read().objects[A].pending is Pending.APPLY
        session.forget(A)
        session.hold(HELD)
        assert world.open().read().objects == {}
        assert world.open().read().held == HELD


def test_two_writers_at_once_and_who_holds_the_lock(world: World) -> None:
    with world.open().session("apply", run="7f3a"):
        holder = world.open().holder()
        with pytest.raises(MlctlError) as caught, world.open().session("destroy"):
            pass
    assert caught.value.exit_code is ExitCode.LOCKED
    assert holder is not None
    assert len(holder.id) == 8
    assert holder.lives
    text = str(caught.value.diagnostics[0])
    for part in ("running `apply`", "run 7f3a", f"pid {holder.pid}", holder.since, holder.id, holder.who):
        assert part in text
    assert world.open().holder() is None
    with world.open().session("destroy"):
        pass


def steps(session: Session) -> Iterator[State]:
    """Everything a session can be told, one thing after another, and what the state is after each."""
    session.record(Record(B, pending=Pending.APPLY, sequence=2))
    yield session.ledger.state()
    session.record(Record(B, id="b", outputs={"digest": "d"}, sequence=3))
    yield session.ledger.state()
    session.hold(HELD)
    yield session.ledger.state()
    session.exchange([B], [Record(C, id="b", outputs={"digest": "d"}, sequence=3, origin=B)])
    yield session.ledger.state()
    session.forget(A)
    yield session.ledger.state()


@pytest.mark.parametrize("first", [True, False], ids=["first-apply", "later"])
@pytest.mark.contract(19)
def test_a_kill_at_every_boundary_loses_nothing_that_was_said_to_be_kept(world: World, first: bool) -> None:
    """All that a SIGKILL before and after each single write leaves is read alike by everybody, and folded by the next writer."""
    if not first:
        record(world.open(), Record(A, sequence=1))
    expected = [world.open().read()]
    with world.watched() as left, world.open().session("apply") as session:
        if first:
            session.record(Record(A, sequence=1))
            expected.append(session.ledger.state())
        expected += steps(session)
    lineage = world.open().read().lineage
    contents = [(dict(state.objects), state.held) for state in expected]
    reached = 0
    assert len(left) > len(expected)
    for copy in left:
        read = copy.open().read()
        found = (dict(read.objects), read.held)
        assert found in contents[reached:], "a state that never was, or an older one than was kept before"
        reached = max(reached, contents.index(found))
        store = copy.open()
        with store.session("heal"):
            pass
        healed = copy.open().read()
        assert (dict(healed.objects), healed.held) == found
        assert store.warnings == []
        assert not any("journal" in name for name in copy.files())
        if healed.objects:
            assert healed.lineage == lineage
            assert store.generation(healed.serial) == healed
    assert reached == len(contents) - 1


def test_a_journal_of_another_state_is_kept_aside(world: World) -> None:
    """Such as when somebody puts an older state back: what the journal knows may be all there is to find an object by."""
    for number in range(2):
        record(world.open(), Record(A, sequence=number))
    with world.open().session("test") as session:
        session.record(FULL)
        dead = world.left()
    older = next(data for name, data in dead.files().items() if name == "generations/00000001.json")
    dead.write("state.json", older)
    entries = [data for name, data in dead.files().items() if name.startswith("journal")]
    store = dead.open()
    with store.session("test"):
        pass
    assert [item.code for item in store.warnings] == ["state.journal-foreign"]
    (kept,) = [data for name, data in dead.files().items() if "journal.foreign-" in name]
    parsed = journal.parse(kept)
    assert parsed is not None
    assert parsed.records == [(C, FULL)]
    assert entries


def test_damage_inside_a_journal_is_told_and_a_copy_kept(world: World) -> None:
    with world.open().session("test") as session:
        session.record(Record(A, sequence=1))
        session.record(Record(B, sequence=2))
        dead = world.left()
    for name, data in dead.files().items():
        if name.startswith("journal"):
            lines = data.split(b"\n")
            if b"builds.a" in lines[1]:
                lines[1] = lines[1].replace(b"builds.a", b"builds.x")
            dead.write(name, b"\n".join(lines))
    store = dead.open()
    with store.session("test"):
        pass
    assert set(store.read().objects) == {B}
    assert [item.code for item in store.warnings] == ["state.journal-damaged"]
    assert any("journal.damaged-" in name for name in dead.files())


def test_generations_are_kept_bounded_and_say_who_wrote_them(world: World) -> None:
    store = world.open()
    for number in range(GENERATIONS + 3):
        record(store, Record(A, sequence=number))
    found = store.generations()
    assert [item.serial for item in found] == list(range(GENERATIONS + 3, 3, -1))
    assert {(item.operation, item.changes["changed"]) for item in found} == {("test", 1)}
    assert all(item.at and item.by and item.size for item in found)
    assert store.generation(5).objects[A].sequence == 4
    with pytest.raises(MlctlError) as caught:
        store.generation(2)
    assert code(caught) == "state.no-generation"


def test_documents_are_kept_listed_and_dropped(world: World) -> None:
    store = world.open()
    assert store.get_document("runs/1/run.json") is None
    assert store.documents() == []
    store.put_document("runs/1/run.json", b"\x00first")
    store.put_document("runs/2/run.json", b"second")
    store.put_document("runs/1/run.json", b"again")
    store.put_document("plan", b"")
    assert world.open().get_document("runs/1/run.json") == b"again"
    assert world.open().get_document("plan") == b""
    assert store.documents() == ["plan", "runs/1/run.json", "runs/2/run.json"]
    assert store.documents("runs/2") == ["runs/2/run.json"]
    store.remove_document("plan")
    store.remove_document("plan")
    assert store.documents() == ["runs/1/run.json", "runs/2/run.json"]


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../state.json", "a/../b", ".hidden", "a//b", "a/", "a b", "a\nb", "x" * 201])  # fmt: skip
def test_a_bad_name_of_a_document_is_refused(world: World, name: str) -> None:
    for call in (lambda: world.open().put_document(name, b""), lambda: world.open().get_document(name)):
        with pytest.raises(MlctlError) as caught:
            call()
        assert code(caught) == "state.bad-document"


def test_a_state_can_be_replaced_and_the_old_one_stays(world: World) -> None:
    before = record(world.open(), Record(A, sequence=1))
    after = world.open().replace(
        "undo", lambda present: State(present.lineage if present else "", 0, {B: Record(B, sequence=1)})
    )
    assert (after.serial, set(after.objects), after.lineage) == (before.serial + 1, {B}, before.lineage)
    assert world.open().read() == after
    assert world.open().generation(before.serial) == before
    assert world.open().generations()[0].operation == "undo"


def test_a_kill_while_a_state_is_replaced_leaves_the_one_or_the_other(world: World) -> None:
    before = record(world.open(), Record(A, sequence=1))
    with world.watched() as left:
        after = world.open().replace("undo", lambda present: replace(before, objects={B: Record(B, sequence=1)}))
    found = [copy.open().read() for copy in left]
    assert {state.serial for state in found} == {before.serial, after.serial}
    assert all(state in (before, after) for state in found)


@pytest.mark.parametrize("cut", [0, 1, 0.3, 0.6, 0.95, -3])
def test_a_cut_state_is_a_clear_error_and_its_copy_brings_it_back(world: World, cut: float) -> None:
    record(world.open(), Record(A, sequence=1))
    state = record(world.open(), FULL)
    whole = world.files()["state.json"]
    broken = whole[: round(cut * len(whole)) if isinstance(cut, float) else cut]
    world.write("state.json", broken)
    for call in (world.open().read, lambda: record(world.open(), Record(B))):
        with pytest.raises(MlctlError) as caught:
            call()
        assert code(caught) == "state.damaged"
        assert "mlctl state undo" in caught.value.diagnostics[0].fix
    assert world.files()["state.json"] == broken
    newest = world.open().generation(max(item.serial for item in world.open().generations()))
    healed = world.open().replace("undo", lambda present: newest)
    assert (healed.objects, healed.lineage) == (state.objects, state.lineage)
    assert healed.serial > state.serial
    assert any("state.damaged-" in name and data == broken for name, data in world.files().items())


def test_a_flipped_bit_anywhere_in_the_state_is_found(world: World) -> None:
    record(world.open(), FULL, Record(A, sequence=1))
    whole = world.files()["state.json"]
    for place in range(0, len(whole) - 1, 7 if isinstance(world, LocalWorld) else 61):
        world.write("state.json", whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(MlctlError) as caught:
            world.open().read()
        assert code(caught) in ("state.damaged", "state.newer-format")


def test_a_state_that_is_gone_is_not_taken_for_a_new_one(world: World) -> None:
    before = record(world.open(), Record(A, sequence=1))
    world.remove("state.json")
    with pytest.raises(MlctlError) as caught:
        world.open().read()
    assert code(caught) == "state.missing"
    newest = world.open().generation(before.serial)
    assert world.open().replace("undo", lambda present: newest).objects == before.objects


def test_a_newer_format_is_refused_and_left_alone(world: World) -> None:
    record(world.open(), Record(A, sequence=1))
    value = json.dumps({"format": 99, "lineage": "l", "serial": 1, "objects": {}}).encode()
    world.write("state.json", value)
    for call in (world.open().read, lambda: record(world.open(), Record(B))):
        with pytest.raises(MlctlError) as caught:
            call()
        assert code(caught) == "state.newer-format"
    assert world.files()["state.json"] == value


@pytest.mark.contract(10)
@pytest.mark.contract(19)
def test_of_twenty_racing_writers_one_wins_each_round(world: World) -> None:
    winners, losers = [], []
    for _ in range(3):
        start, lost, won = threading.Barrier(20), threading.Semaphore(0), []

        def race(start: threading.Barrier = start, lost: threading.Semaphore = lost, won: list[int] = won) -> None:
            start.wait()
            try:
                with world.open().session("race") as session:
                    won.append(1)
                    for _ in range(19):
                        assert lost.acquire(timeout=60)  # it holds the lock until all others were refused
                    record = session.ledger.get(A)
                    session.record(Record(A, sequence=1 if record is None else record.sequence + 1))
            except MlctlError as error:
                losers.append(error.exit_code)
                lost.release()

        threads = [threading.Thread(target=race) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        winners.append(len(won))
    assert winners == [1, 1, 1]
    assert losers == [ExitCode.LOCKED] * 3 * 19
    assert world.open().read().objects[A].sequence == 3


def test_writers_that_wait_all_get_their_turn_and_none_overwrites_another(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleep = protocol.time.sleep
    monkeypatch.setattr(protocol.time, "sleep", lambda seconds: sleep(min(seconds, 0.02)))
    waited: list[str] = []

    def add() -> None:
        with world.open().session("add", wait_seconds=60, waiting=lambda item: waited.append(str(item))) as session:
            record = session.ledger.get(A)
            session.record(Record(A, sequence=1 if record is None else record.sequence + 1))

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert world.open().read().objects[A].sequence == 8
    assert all("state.locked" in text for text in waited)


def test_waiting_for_the_lock_ends_when_the_time_is_over(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    class Clock:
        """Time passes by sleeping alone."""

        sleep = staticmethod(slept.append)
        monotonic = staticmethod(lambda: sum(slept))
        strftime, gmtime = protocol.time.strftime, protocol.time.gmtime

    with world.open().session("apply"), monkeypatch.context() as patch:
        patch.setattr(protocol, "time", Clock)
        with pytest.raises(MlctlError) as caught, world.open().session("second", wait_seconds=40):
            pass
    assert slept == [1, 2, 4, 8, 16, 9]
    assert caught.value.exit_code is ExitCode.LOCKED


def test_the_lock_of_a_living_process_cannot_be_forced(world: World) -> None:
    with world.open().session("apply"):
        holder = world.open().holder()
        assert holder is not None
        with pytest.raises(MlctlError) as caught:
            world.open().force_unlock(holder.id)
        assert code(caught) == "state.not-unlocked"
        assert "lives" in str(caught.value)
        with pytest.raises(MlctlError) as caught:
            world.open().force_unlock("00000000")
        assert holder.id in caught.value.diagnostics[0].fix


def test_a_lock_that_nobody_holds_cannot_be_forced(world: World) -> None:
    record(world.open(), Record(A))
    with pytest.raises(MlctlError) as caught:
        world.open().force_unlock("00000000")
    assert code(caught) == "state.not-locked"


def test_a_holder_whose_lock_was_forced_writes_nothing_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    record(world.open(), Record(A, sequence=1))

    def work() -> None:
        with world.open().session("apply") as session:
            session.record(Record(B, pending=Pending.APPLY, sequence=2))
            holder = world.open().holder()
            assert holder is not None
            with monkeypatch.context() as patch:  # it looks like one on a machine that cannot be seen from here
                patch.setattr("socket.gethostname", lambda: "elsewhere")
                assert world.open().force_unlock(holder.id) == holder
            with world.open().session("other") as other:
                other.record(Record(C, sequence=3))
            session.record(Record(B, id="late", sequence=4))

    with pytest.raises(MlctlError) as caught:
        work()
    assert code(caught) in ("state.lock-lost", "state.lease-lost", "state.lost-update")
    state = world.open().read()
    assert state.objects[B].pending is Pending.APPLY  # its intent was found by the next one; its outcome was refused
    assert C in state.objects
