"""State on disk: one writer, atomic folds, recovery of what a kill left, generations."""

import shutil
from pathlib import Path

import pytest

from mlctl.engine.store import GENERATIONS, LocalStore
from mlctl.types.address import ObjectKey
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.state import Gate, Pending, Record, State, Use

KEY = ObjectKey.parse("builds.a#1")
OTHER = ObjectKey.parse("things.b#")
FULL = Record(
    KEY, "id", {"value": 1}, {"spec": "s"}, (Use(OTHER, "d"),), {"digest": "x"}, Gate(False, "no", ("a", "b")), Pending.APPLY, 7, {"by": "me"}
)  # fmt: skip


def test_a_new_environment_has_an_empty_state(tmp_path: Path) -> None:
    state = LocalStore(tmp_path).read()
    assert (state.serial, state.objects) == (0, {})
    assert not (tmp_path / "state.json").exists()


def test_every_field_of_a_record_survives(tmp_path: Path) -> None:
    with LocalStore(tmp_path).session("test") as session:
        session.record(FULL)
    assert LocalStore(tmp_path).read().objects == {KEY: FULL}


@pytest.mark.contract(11)
def test_lineage_is_fixed_at_birth_and_the_serial_grows_with_the_content(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    with store.session("test") as session:
        session.record(Record(KEY, sequence=1))
    first = store.read()
    with store.session("test"):
        pass
    with store.session("test") as session:
        session.record(Record(KEY, sequence=1))
    assert store.read() == first
    with store.session("test") as session:
        session.record(Record(KEY, id="new", sequence=2))
    assert (store.read().lineage, store.read().serial) == (first.lineage, first.serial + 1)


def test_a_killed_session_is_read_and_then_folded(tmp_path: Path) -> None:
    live, dead = tmp_path / "live", tmp_path / "dead"
    with LocalStore(live).session("test") as session:
        session.record(Record(OTHER, sequence=1))
    with LocalStore(live).session("test") as session:
        session.record(FULL)
        session.forget(OTHER)
        shutil.copytree(live, dead)  # what a SIGKILL at this moment leaves
    store = LocalStore(dead)
    assert store.read().objects == {KEY: FULL}
    assert (dead / "journal.jsonl").exists(), "reading writes nothing"
    with store.session("test"):
        pass
    assert not (dead / "journal.jsonl").exists()
    assert store.read().objects == {KEY: FULL}


def test_a_first_apply_that_was_killed_keeps_its_lineage(tmp_path: Path) -> None:
    live, dead = tmp_path / "live", tmp_path / "dead"
    with LocalStore(live).session("test") as session:
        session.record(FULL)
        shutil.copytree(live, dead)
    assert LocalStore(dead).read().lineage == LocalStore(live).read().lineage
    assert LocalStore(dead).read().objects == {KEY: FULL}


def test_a_journal_that_was_folded_before_the_kill_is_not_played_again(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    with store.session("test") as session:
        session.record(Record(KEY, id="old", sequence=1))
    with store.session("test") as session:
        session.record(Record(KEY, id="new", sequence=2))
        journal = (tmp_path / "journal.jsonl").read_bytes()
    (tmp_path / "journal.jsonl").write_bytes(journal)  # the kill came between the rename and the unlink
    with store.session("test") as session:
        session.record(Record(KEY, id="newest", sequence=3))
    record = store.read().objects[KEY]
    assert record.id == "newest"


@pytest.mark.contract(10)
def test_two_writers_at_once_and_who_holds_the_lock(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    with store.session("apply"), pytest.raises(MlctlError) as caught, LocalStore(tmp_path).session("destroy"):
        pass
    assert caught.value.exit_code is ExitCode.LOCKED
    assert "running `apply`" in str(caught.value)


def test_readers_need_no_lock(tmp_path: Path) -> None:
    with LocalStore(tmp_path).session("apply") as session:
        session.record(FULL)
        assert LocalStore(tmp_path).read().objects == {KEY: FULL}


def test_equal_states_are_equal_bytes_below_their_head(tmp_path: Path) -> None:
    bodies = []
    for folder, keys in ((tmp_path / "a", [KEY, OTHER]), (tmp_path / "b", [OTHER, KEY])):
        with LocalStore(folder).session("test") as session:
            for number, key in enumerate(sorted(keys)):
                session.record(Record(key, sequence=number))
        _, *lines, _ = (folder / "state.json").read_bytes().splitlines()
        bodies.append(lines)
    assert len(bodies[0]) == 2
    assert bodies[0] == bodies[1]


def test_generations_are_kept_and_bounded(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    for number in range(GENERATIONS + 5):
        with store.session("test") as session:
            session.record(Record(KEY, sequence=number))
    kept = sorted((tmp_path / "generations").glob("*.json"))
    assert len(kept) == GENERATIONS
    assert kept[-1].read_bytes() == (tmp_path / "state.json").read_bytes()


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"format": 1}', b"\xff\xfe"])
def test_a_damaged_state_file_is_a_clear_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "state.json").write_bytes(data)
    with pytest.raises(MlctlError) as caught:
        LocalStore(tmp_path).read()
    assert caught.value.diagnostics[0].code == "state.damaged"
    assert (tmp_path / "state.json").read_bytes() == data


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"format": 99, "lineage": "l", "serial": 1, "objects": {}}')
    with pytest.raises(MlctlError) as caught:
        LocalStore(tmp_path).read()
    assert caught.value.diagnostics[0].code == "state.newer-format"


def test_the_state_is_for_its_owner_only(tmp_path: Path) -> None:
    with LocalStore(tmp_path).session("test") as session:
        session.record(FULL)
        assert (tmp_path / "journal.jsonl").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "state.json").stat().st_mode & 0o777 == 0o600


def test_damage_inside_a_journal_is_told_and_a_copy_kept(tmp_path: Path) -> None:
    live, dead = tmp_path / "live", tmp_path / "dead"
    with LocalStore(live).session("test") as session:
        session.record(FULL)
        session.record(Record(OTHER, sequence=1))
        shutil.copytree(live, dead)
    lines = (dead / "journal.jsonl").read_bytes().split(b"\n")
    lines[1] = b"00000000 {}"
    (dead / "journal.jsonl").write_bytes(b"\n".join(lines))
    store = LocalStore(dead)
    with store.session("test"):
        pass
    assert set(store.read().objects) == {OTHER}
    assert [item.code for item in store.warnings] == ["state.journal-damaged"]
    assert len(list(dead.glob("journal.damaged-*.jsonl"))) == 1


def test_a_home_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MlctlError) as caught, LocalStore(tmp_path / "file" / "home").session("test"):
        pass
    assert caught.value.diagnostics[0].code == "state.cannot-write"


def test_an_error_of_the_work_itself_is_not_told_as_one_of_the_state(tmp_path: Path) -> None:
    def work() -> None:
        with LocalStore(tmp_path).session("test") as session:
            session.record(FULL)
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        work()
    assert LocalStore(tmp_path).read().objects == {KEY: FULL}


def test_a_journal_that_belongs_to_another_state_is_kept_aside(tmp_path: Path) -> None:
    """Such as when somebody puts an older generation back: what the journal knows may be all there is to find an object by."""
    live, dead = tmp_path / "live", tmp_path / "dead"
    for number in range(2):
        with LocalStore(live).session("test") as session:
            session.record(Record(OTHER, sequence=number))
    with LocalStore(live).session("test") as session:
        session.record(FULL)
        shutil.copytree(live, dead)
    (dead / "state.json").write_bytes((dead / "generations" / "00000001.json").read_bytes())
    journal = (dead / "journal.jsonl").read_bytes()
    store = LocalStore(dead)
    with store.session("test"):
        pass
    assert [item.code for item in store.warnings] == ["state.journal-foreign"]
    (kept,) = dead.glob("journal.foreign-*.jsonl")
    assert kept.read_bytes() == journal


def test_a_journal_without_a_header_is_kept_aside(tmp_path: Path) -> None:
    live, dead = tmp_path / "live", tmp_path / "dead"
    with LocalStore(live).session("test") as session:
        session.record(FULL)
        shutil.copytree(live, dead)
    (dead / "journal.jsonl").write_bytes(b"x" + (dead / "journal.jsonl").read_bytes())
    store = LocalStore(dead)
    with store.session("test"):
        pass
    assert [item.code for item in store.warnings] == ["state.journal-damaged"]
    assert len(list(dead.glob("journal.damaged-*.jsonl"))) == 1


def test_a_reader_that_a_fold_overtakes_sees_what_was_folded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = LocalStore(tmp_path)
    with reader.session("first") as session:
        session.record(Record(OTHER, sequence=1))
    with LocalStore(tmp_path).session("apply") as session:
        session.record(FULL)
        journal, state = (tmp_path / "journal.jsonl").read_bytes(), (tmp_path / "state.json").read_bytes()
    folded = (tmp_path / "state.json").read_bytes()

    def look() -> State:
        """Read while the fold happens between the reads of the two files."""
        (tmp_path / "journal.jsonl").write_bytes(journal)
        (tmp_path / "state.json").write_bytes(state)
        opened = []
        real = Path.read_bytes

        def read_bytes(path: Path) -> bytes:
            data = real(path)
            opened.append(path.name)
            if len(opened) == 1:
                (tmp_path / "state.json").write_bytes(folded)
                (tmp_path / "journal.jsonl").unlink()
            return data

        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_bytes", read_bytes)
            return reader.read()

    assert KEY in look().objects


def test_a_journal_that_cannot_be_read_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").mkdir()
    with pytest.raises(MlctlError) as caught:
        LocalStore(tmp_path).read()
    assert caught.value.diagnostics[0].code == "state.cannot-read"


@pytest.mark.contract(11)
def test_a_journal_torn_at_any_byte_of_its_header_or_its_last_line_is_survived(tmp_path: Path) -> None:
    live, dead = tmp_path / "live", tmp_path / "dead"
    with LocalStore(live).session("first") as session:
        session.record(Record(OTHER, sequence=1))
    state = (live / "state.json").read_bytes()
    with LocalStore(live).session("apply") as session:
        session.record(Record(KEY, sequence=2))
        session.exchange([OTHER], [FULL])
        journal = (live / "journal.jsonl").read_bytes()
    header, last = journal.index(b"\n") + 1, journal.rindex(b"\n", 0, -1) + 1
    dead.mkdir()
    for end in [*range(header), *range(last, len(journal))]:
        (dead / "state.json").write_bytes(state)
        (dead / "journal.jsonl").write_bytes(journal[:end])
        expected = {OTHER} if end < header else {KEY, OTHER} if end < len(journal) - 1 else {KEY}
        store = LocalStore(dead)
        assert set(store.read().objects) == expected, end
        if end % 9 and header < end < len(journal) - 9:
            continue  # opening it for writing is slow, and the same code
        with store.session("next"):
            pass
        assert set(store.read().objects) == expected
        assert not (dead / "journal.jsonl").exists()
        assert store.warnings == []


def test_a_state_that_is_gone_while_its_journal_is_there_is_not_a_first_apply(tmp_path: Path) -> None:
    with LocalStore(tmp_path).session("first") as session:
        session.record(Record(OTHER, sequence=1))
    with LocalStore(tmp_path).session("apply") as session:
        session.record(FULL)
        journal = (tmp_path / "journal.jsonl").read_bytes()
    (tmp_path / "journal.jsonl").write_bytes(journal)
    (tmp_path / "state.json").unlink()
    with pytest.raises(MlctlError) as caught:
        LocalStore(tmp_path).read()
    assert caught.value.diagnostics[0].code == "state.missing"


def test_the_clock_decides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It jumps back by ten days between any two looks at it, and the order of serials stays what it is."""
    from mlctl.engine.store import protocol

    now = [2e9]

    def gmtime() -> object:
        now[0] -= 864000
        return real(now[0])

    real = protocol.time.gmtime
    monkeypatch.setattr(protocol.time, "gmtime", gmtime)
    store = LocalStore(tmp_path)
    for number in range(3):
        with store.session(f"run {number}") as session:
            session.record(Record(KEY, sequence=number))
    generations = store.generations()
    assert [item.operation for item in generations] == ["run 2", "run 1", "run 0"]
    assert [item.at for item in generations] == sorted(item.at for item in generations), "the clock did jump back"
    assert store.read().objects[KEY].sequence == 2
