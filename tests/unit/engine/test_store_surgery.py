"""Changes of a state by hand, and the check that finds what they or anybody else broke."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from mlctl.engine.store import LocalStore, format, fsck, surgery
from mlctl.types.address import Address, ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Pending, Record, State, Use

A, B, C = (ObjectKey.parse(text) for text in ("builds.a#1", "builds.b#2", "things.c#"))
ONE, TWO = ObjectKey.parse('builds.many["lr=1"]#3'), ObjectKey.parse('builds.many["lr=2"]#4')
RECORDS = [
    Record(A, "a", outputs={"digest": "x"}, parts={"spec": "s"}, sequence=1),
    Record(B, "b", uses=(Use(A, "x"),), parts={"input:builds.a": "x"}, sequence=2),
    Record(C, "c", uses=(Use(B, "y"),), sequence=3),
    Record(ONE, sequence=4),
    Record(TWO, sequence=5),
]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    made = LocalStore(tmp_path / "home")
    with made.session("apply") as session:
        for record in RECORDS:
            session.record(record)
    return made


def code(error: pytest.ExceptionInfo[MlctlError]) -> str:
    return error.value.diagnostics[0].code


@pytest.mark.parametrize(
    ("pattern", "keys"),
    [("*", [A, B, ONE, TWO, C]), ("builds.a", [A]), ("builds.a#1", [A]), ("builds.many", [ONE, TWO]), ('builds.many["lr=1"]', [ONE]),
     ("builds.*", [A, B, ONE, TWO]), ("*#2", [B]), ("builds.?", [A, B]), ("builds.x", []), ("[a]", [])],
)  # fmt: skip
def test_objects_are_found_by_key_address_or_pattern(pattern: str, keys: list[ObjectKey]) -> None:
    assert [record.key for record in surgery.matching(RECORDS, pattern)] == keys


def test_an_unknown_name_is_told_with_the_nearest_one() -> None:
    with pytest.raises(MlctlError) as caught:
        surgery.found(RECORDS, "builds.aa")
    assert "did you mean `builds.a`" in caught.value.diagnostics[0].fix


def test_a_move_takes_keys_uses_and_parts_with_it_and_remembers_where_it_was_made(store: LocalStore) -> None:
    with store.session("mv") as session:
        moved = surgery.move(session, Address.parse("builds.a"), Address.parse("builds.z"))
        assert session.ledger.users([ObjectKey.parse("builds.z#1")]) == {ObjectKey.parse("builds.z#1"): {B}}
    state = store.read()
    new = ObjectKey.parse("builds.z#1")
    assert moved == [(A, new)]
    assert A not in state.objects
    assert state.objects[new].made_as == A
    assert state.objects[B].uses == (Use(new, "x"),)
    assert state.objects[B].parts == {"input:builds.z": "x"}
    with store.session("mv") as session:
        surgery.move(session, Address.parse("builds.z"), Address.parse("builds.a"))
    assert store.read().objects == {record.key: record for record in RECORDS}, (
        "back to where it was, as if nothing had been"
    )


def test_a_move_takes_all_instances_with_it(store: LocalStore) -> None:
    with store.session("mv") as session:
        moved = surgery.move(session, Address.parse("builds.many"), Address.parse("builds.few"))
    assert [str(new) for _, new in moved] == ['builds.few["lr=1"]#3', 'builds.few["lr=2"]#4']


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [("builds.a", "builds.b", "state.taken"), ("builds.a", "things.a", "state.cannot-move"), ("builds.x", "builds.y", "cli.unknown-name")],
)  # fmt: skip
def test_a_move_that_would_lose_something_is_refused(
    store: LocalStore, source: str, target: str, expected: str
) -> None:
    before = store.read()
    with store.session("mv") as session, pytest.raises(MlctlError) as caught:
        surgery.move(session, Address.parse(source), Address.parse(target))
    assert code(caught) == expected
    assert store.read() == before


def test_what_others_were_made_with_is_forgotten_only_by_force(store: LocalStore) -> None:
    chosen = surgery.found(store.read().objects.values(), "builds.a")
    with store.session("rm") as session:
        with pytest.raises(MlctlError) as caught:
            surgery.forget(session, chosen, force=False)
        assert code(caught) == "state.still-used"
        assert "`builds.b#2`" in str(caught.value)
        surgery.forget(session, chosen, force=True)
    assert A not in store.read().objects
    with store.session("rm") as session:  # a chain can go as a whole
        surgery.forget(session, [record for record in RECORDS if record.key in (B, C)], force=False)
    assert set(store.read().objects) == {ONE, TWO}


def push(store: LocalStore, state: State, *, force: bool = False) -> State:
    _, choose = surgery.pushed(json.dumps(format.to_json(state)).encode(), force=force)
    return store.replace("push", choose)


def test_a_push_of_what_was_pulled_and_changed_is_a_new_serial(store: LocalStore) -> None:
    state = store.read()
    changed = State(state.lineage, state.serial + 4, {A: state.objects[A]})
    assert push(store, changed) == changed
    assert push(store, changed).serial == changed.serial + 1  # the same once more


@pytest.mark.parametrize("change", ["lineage", "older", "same-serial"])
def test_a_push_that_would_lose_something_is_refused_without_force(store: LocalStore, change: str) -> None:
    with store.session("apply") as session:
        session.record(Record(A, "new", sequence=9))
    present = store.read()
    given = {
        "lineage": State("other", present.serial + 1, {}),
        "older": State(present.lineage, present.serial - 1, present.objects),
        "same-serial": State(present.lineage, present.serial, {}),
    }[change]
    with pytest.raises(MlctlError) as caught:
        push(store, given)
    assert code(caught) == "state.push-refused"
    assert store.read() == present
    forced = push(store, given, force=True)
    assert (forced.objects, forced.lineage) == (given.objects, given.lineage)
    assert forced.serial > present.serial, "a serial never comes twice"
    assert store.generation(present.serial) == present


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"not json", b'{"format": 2}'])
def test_a_push_of_something_else_is_refused(data: bytes) -> None:
    with pytest.raises(MlctlError) as caught:
        surgery.pushed(data, force=True)
    assert code(caught) == "state.bad-push"


def test_a_new_environment_takes_any_push(tmp_path: Path) -> None:
    pushed = push(LocalStore(tmp_path / "new"), State("from-elsewhere", 7, {A: RECORDS[0]}))
    assert (pushed.lineage, pushed.serial) == ("from-elsewhere", 7)


@pytest.mark.contract(18)
def test_undo_goes_back_to_the_generation_before_and_undo_again_returns(store: LocalStore) -> None:
    first = store.read()
    with store.session("apply") as session:
        session.forget(C)
    second = store.read()
    back = store.replace("undo", surgery.undone(store, None))
    assert (back.objects, back.serial) == (first.objects, second.serial + 1)
    assert store.replace("undo", surgery.undone(store, None)).objects == second.objects
    assert store.replace("undo", surgery.undone(store, 1)).objects == first.objects


def test_undo_of_the_first_state_says_that_there_is_nothing_before(store: LocalStore) -> None:
    with pytest.raises(MlctlError) as caught:
        store.replace("undo", surgery.undone(store, None))
    assert code(caught) == "state.no-generation"


def test_undo_of_a_damaged_state_keeps_what_its_journal_knows(store: LocalStore, tmp_path: Path) -> None:
    with store.session("apply") as session:
        session.record(Record(A, pending=Pending.APPLY, sequence=9))
        journal = store.journal_path.read_bytes()
        lock = store.home
    del lock
    (store.home / "generations" / "00000002.json").unlink()
    store.path.write_bytes((store.home / "generations" / "00000001.json").read_bytes()[:40])
    store.journal_path.write_bytes(journal)
    back = store.replace("undo", surgery.undone(store, None))
    assert back.objects[A].pending is Pending.APPLY
    assert set(back.objects) == {record.key for record in RECORDS}
    assert [item.code for item in store.warnings] == ["state.journal-salvaged"]
    assert not store.journal_path.exists()


def test_differences_name_the_fields(store: LocalStore) -> None:
    before = store.read()
    with store.session("apply") as session:
        session.record(Record(A, "a", outputs={"digest": "z"}, parts={"spec": "s"}, sequence=9))
        session.forget(C)
        session.record(Record(ObjectKey.parse("builds.new#5"), sequence=10))
    found = {str(item.key): item for item in surgery.compare(before, store.read())}
    assert {key: item.what for key, item in found.items()} == {"builds.a#1": "changed", "builds.new#5": "added", "things.c#": "removed"}  # fmt: skip
    assert found["builds.a#1"].fields == (("outputs.digest", "x", "z"), ("sequence", 1, 9))


def problems(store: LocalStore, *, repair: bool = False) -> dict[str, bool]:
    for record in store.read().objects.values() if not repair else ():
        if record.key.address.section == "builds" and not (store.home / "broken").exists():
            folder = str(record.made_as.address).replace('["', "@").replace('"]', "")
            (store.home / "objects" / folder / (record.made_as.identity or "self")).mkdir(parents=True, exist_ok=True)
    found = fsck.check(store, store.home, lambda section: section == "builds", repair=repair)
    return {item.problem.code: item.mended for item in found}


def test_a_whole_state_has_no_problems(store: LocalStore) -> None:
    with store.session("mv") as session:
        surgery.move(session, Address.parse("builds.many"), Address.parse("builds.few"))
    assert problems(store) == {}
    assert problems(store, repair=True) == {}


def test_an_environment_without_a_state_has_no_problems(tmp_path: Path) -> None:
    home = tmp_path / "none"
    assert fsck.check(LocalStore(home), home, lambda section: True) == []
    assert not home.exists()


def test_each_problem_is_found_and_only_what_is_safe_is_mended(store: LocalStore) -> None:
    assert problems(store) == {}
    home = store.home
    with store.session("apply") as session:
        session.exchange([A], [Record(ObjectKey.parse("builds.again#"), origin=B, sequence=11), Record(ObjectKey.parse("builds.b#7"), sequence=2)])  # fmt: skip
    (home / "objects" / "builds.b" / "2").rmdir()
    (home / "objects" / "builds.gone" / "9").mkdir(parents=True)
    store.path.chmod(0o644)
    (home / ".state.json.abc123").write_bytes(b"half")
    os.utime(home / ".state.json.abc123", (time.time() - 3600, time.time() - 3600))
    (home / ".state.json.young").write_bytes(b"half")
    (home / ".state.json.young").chmod(0o600)
    (home / "generations" / "00000009.json").write_bytes(store.path.read_bytes())
    (home / "generations" / "00000009.json").chmod(0o600)
    (home / "generations" / "00000001.json").write_bytes(b"{")
    (home / "broken").mkdir()
    expected = {
        "fsck.mode", "fsck.temporary", "fsck.use-missing", "fsck.no-identity", "fsck.one-folder", "fsck.no-order", "fsck.orphan",
        "fsck.no-folder", "fsck.generation-serial", "state.damaged-generation",
    }  # fmt: skip
    assert problems(store) == dict.fromkeys(expected, False)
    mended = problems(store, repair=True)
    assert {name for name, done in mended.items() if done} == {"fsck.mode", "fsck.temporary"}
    assert set(mended) == expected
    assert set(problems(store)) == expected - {"fsck.mode", "fsck.temporary"}
    assert (home / "objects" / "builds.gone" / "9").is_dir()
    assert (home / ".state.json.young").exists(), "it may be somebody's who writes right now"


def test_a_damaged_journal_is_found_and_set_aside(store: LocalStore) -> None:
    with store.session("apply") as session:
        session.record(Record(A, sequence=9))
        session.record(Record(B, sequence=10))
        journal = store.journal_path.read_bytes()
        state = (store.home / "generations" / "00000001.json").read_bytes()
    store.path.write_bytes(state)
    lines = journal.split(b"\n")
    store.journal_path.write_bytes(b"\n".join([lines[0], b"x" + lines[1], *lines[2:]]))
    store.journal_path.chmod(0o600)
    assert problems(store) == {"fsck.journal-damaged": False}
    assert problems(store, repair=True) == {"state.journal-damaged": True}
    assert len(list(store.home.glob("journal.damaged-*.jsonl"))) == 1
    assert store.read().objects[B].sequence == 10
    assert problems(store) == {}


def test_a_damaged_state_is_a_problem_and_not_an_end(store: LocalStore) -> None:
    store.path.write_bytes(b"{")
    for repair in (False, True):
        found = fsck.check(store, store.home, lambda section: False, repair=repair)
        assert [item.problem.code for item in found if not item.mended] == ["state.damaged"]
    assert store.path.read_bytes() == b"{"


def test_a_state_keeps_whose_it_is_through_changes_moves_and_undo(store: LocalStore) -> None:
    assert store.read().project == "", "a state from before this was kept"
    with store.session("apply") as session:
        session.ledger.project = "shop"
        session.record(Record(A, "a", outputs={"digest": "z"}, sequence=9))
    with store.session("mv") as session:
        surgery.move(session, Address.parse("builds.b"), Address.parse("builds.z"))
    assert store.read().project == "shop"
    assert format.decode(format.encode(store.read())).project == "shop"
    pulled, choose = surgery.pushed(json.dumps(format.to_json(store.read())).encode(), force=False)
    assert (pulled.project, store.replace("push", choose).project) == ("shop", "shop")
    assert store.replace("undo", surgery.undone(store, None)).project == "shop"


def test_a_state_goes_over_to_a_new_name_only_from_the_one_that_it_has(store: LocalStore) -> None:
    assert store.replace("rename", surgery.renamed_project("shop", "store")).project == "store"
    before = store.read()
    with pytest.raises(MlctlError) as caught:
        store.replace("rename", surgery.renamed_project("shop", "market"))
    assert code(caught) == "state.other-project"
    assert "`store`" in caught.value.diagnostics[0].summary
    assert store.read() == before
