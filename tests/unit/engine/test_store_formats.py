"""Every format that a state file or a journal ever had is read, and becomes the present one with the next change."""

from __future__ import annotations

import json
import shutil
import zlib
from pathlib import Path

import pytest

from mlctl.engine.store import LocalStore, format
from mlctl.types.address import ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import FORMAT, Approval, Failure, Gate, Held, Pending, Record, State, Use

FIXTURES = Path(__file__).parent / "fixtures"
VISITS, CHECK, SHOP, CHURN = (
    ObjectKey.parse(text)
    for text in ("datasets.visits#0f3a9c51d2e44b70", "data_checks.visits_ok#11aa22bb33cc44dd", "entities.shop#", "training.churn#99")
)  # fmt: skip
TRIPS = ObjectKey.parse('datasets.trips["eu"]#0f3a9c51d2e44b70')
FIRST = State(
    "0b7c6f2e-5a0c-4d6e-9d58-3a1f6f2b9c11", 1,
    {
        VISITS: Record(VISITS, "0f3a9c51d2e44b70", {"path": "data/visits.csv"}, {"spec": "aa", "file:data/visits.csv": "bb"}, (),
                       {"digest": "d1", "rows": 90}, None, None, 1, {"by": "ci@host", "at": "2026-10-01T08:00:00Z"}),
        CHECK: Record(CHECK, "11aa22bb33cc44dd", {"dataset": "visits"}, {"spec": "cc"}, (Use(VISITS, "d1"),), {"passed": False},
                      Gate(False, "1 of 2 rules failed", ("range: fare",)), None, 2),
        SHOP: Record(SHOP, None, {"key": "shop_id"}, pending=Pending.APPLY, sequence=3),
    },
)  # fmt: skip


def test_every_format_has_a_fixture_and_a_way_to_the_next_one() -> None:
    assert sorted(path.name for path in FIXTURES.glob("state-*.json")) == [
        f"state-{n}.json" for n in range(1, FORMAT + 1)
    ]
    assert sorted(format.UPGRADES) == list(range(1, FORMAT))
    for number in range(1, FORMAT + 1):
        assert json.loads((FIXTURES / f"state-{number}.json").read_bytes())["format"] == number


def test_format_1_is_read_as_what_it_meant() -> None:
    assert format.decode((FIXTURES / "state-1.json").read_bytes()) == FIRST


def test_format_2_is_read_with_all_that_it_added() -> None:
    state = format.decode((FIXTURES / "state-2.json").read_bytes())
    assert state.held == Held("7f3a", "slow", "ann@host", "2026-11-01T11:00:00Z")
    gate = state.objects[CHECK].gate
    assert gate is not None
    assert gate.approval == Approval("ann@host", "the range is known", "2026-11-01T09:00:00Z")
    assert gate.open
    assert state.objects[TRIPS].protected
    assert state.objects[TRIPS].made_as == VISITS
    assert state.objects[CHURN].failure == Failure(2, "2026-11-01T10:00:00Z", "no room")


@pytest.mark.parametrize("number", range(1, FORMAT + 1))
@pytest.mark.contract(18)
def test_an_older_format_is_upgraded_in_memory_and_written_with_the_next_change(tmp_path: Path, number: int) -> None:
    shutil.copy(FIXTURES / f"state-{number}.json", tmp_path / "state.json")
    stored = (tmp_path / "state.json").read_bytes()
    store = LocalStore(tmp_path)
    before = store.read()
    with store.session("look"):
        pass
    assert (tmp_path / "state.json").read_bytes() == stored, "nothing changed, so nothing is written"
    with store.session("apply") as session:
        session.record(Record(SHOP, id="shop", sequence=9))
    value = json.loads((tmp_path / "state.json").read_bytes())
    assert (value["format"], value["serial"], value["lineage"]) == (FORMAT, before.serial + 1, before.lineage)
    after = LocalStore(tmp_path).read()
    assert {**after.objects, SHOP: before.objects[SHOP]} == before.objects
    assert after.held == before.held


def test_a_journal_of_format_1_is_played(tmp_path: Path) -> None:
    shutil.copy(FIXTURES / "state-1.json", tmp_path / "state.json")
    shutil.copy(FIXTURES / "journal-1.jsonl", tmp_path / "journal.jsonl")
    store = LocalStore(tmp_path)
    expected = store.read()
    assert expected.objects[SHOP].pending is Pending.DELETE
    assert expected.objects[CHURN].uses == (Use(SHOP, "d2"),)
    with store.session("apply"):
        pass
    assert store.warnings == []
    assert store.read().objects == expected.objects
    assert not (tmp_path / "journal.jsonl").exists()


def test_the_bytes_of_the_present_format_are_pinned() -> None:
    """Whoever changes them adds a format, an upgrade and a fixture."""
    data = (FIXTURES / f"state-{FORMAT}.json").read_bytes()
    head = json.loads(data.partition(b"\n")[0] + b"}}")
    written = format.encode(format.decode(data), head["written"])
    assert json.loads(written)["objects"] == {
        key: {**value, **({"failure": json.loads(written)["objects"][key]["failure"]} if "failure" in value else {})}
        for key, value in json.loads(data)["objects"].items()
    }
    assert written.count(b"\n") == data.count(b"\n")


@pytest.mark.parametrize("number", [FORMAT + 1, 99])
def test_a_newer_format_is_refused(number: int) -> None:
    for call in (format.decode, format.head):
        with pytest.raises(MlctlError) as caught:
            call(json.dumps({"format": number, "lineage": "l", "serial": 1, "objects": {}}).encode())
        assert caught.value.diagnostics[0].code == "state.newer-format"


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "3", '"state"', '{"format": 1}', '{"format": true, "lineage": "l", "serial": 1, "objects": {}}',
     '{"format": 0, "lineage": "l", "serial": 1, "objects": {}}', '{"format": 1, "lineage": 7, "serial": 1, "objects": {}}',
     '{"format": 1, "lineage": "l", "serial": "1", "objects": {}}', '{"format": 1, "lineage": "l", "serial": 1, "objects": []}',
     '{"format": 1, "lineage": "l", "serial": 1, "objects": {"a": {}}}', '{"format": 1, "lineage": "l", "serial": 1, "objects": {"a.b#": 3}}',
     '{"format": 2, "lineage": "l", "serial": 1, "objects": {}}', "[" * 100_000],
)  # fmt: skip
def test_what_is_not_a_state_is_said_to_be_damaged(text: str) -> None:
    with pytest.raises(format.DamagedError):
        format.decode(text.encode())


def test_a_state_without_a_checksum_is_taken_only_where_it_is_given_by_hand() -> None:
    data = json.dumps(format.to_json(FIRST)).encode()
    assert format.decode(data, sealed=False) == FIRST
    with pytest.raises(format.DamagedError):
        format.decode(data)


def test_the_checksum_is_of_all_bytes_before_it() -> None:
    data = format.encode(FIRST)
    body, _, tail = data.rpartition(b'\n}, "checksum": "')
    assert tail == b'%08x"}\n' % zlib.crc32(body)
