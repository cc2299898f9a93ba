"""The ledger knows who uses what, whatever was put in, changed and dropped."""

import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mlctl.engine.ledger import Ledger
from mlctl.engine.planner import destruction, ordered_for_removal
from mlctl.spec.project import Owner, Project
from mlctl.types.address import Address, ObjectKey
from mlctl.types.change import Selection
from mlctl.types.state import Pending, Record, State, Use

KEYS = [ObjectKey.parse(f"things.t{number}#") for number in range(5)]
CHAIN = 4000


@given(
    st.lists(st.tuples(st.sampled_from(KEYS), st.one_of(st.none(), st.lists(st.sampled_from(KEYS), max_size=3))), max_size=20)
)  # fmt: skip
def test_users_are_those_of_the_records_that_are_there(steps: list[tuple[ObjectKey, list[ObjectKey] | None]]) -> None:
    ledger = Ledger(State("lineage"))
    for key, uses in steps:
        if uses is None:
            ledger.drop(key)
        else:
            ledger.put(Record(key, uses=tuple(Use(used, "d") for used in dict.fromkeys(uses)), sequence=1))
    wanted = {key: {record.key for record in ledger for use in record.uses if use.key == key} - {key} for key in KEYS}
    assert ledger.users(KEYS) == wanted


def test_what_can_be_used_is_what_was_made_to_the_end() -> None:
    """A newer build that was cut off does not hide the one that works; a service that was cut off still has its outputs."""
    address = Address("builds", "a")
    first, second = ObjectKey(address, "1"), ObjectKey(address, "2")
    ledger = Ledger(State("lineage"))
    ledger.put(Record(second, pending=Pending.APPLY, sequence=2))
    assert ledger.made(address) is None
    ledger.put(Record(first, outputs={"digest": "d"}, sequence=1))
    found, current = ledger.made(address), ledger.current(address)
    assert (found and found.key, current and current.key) == (first, second)
    ledger.put(Record(second, outputs={"url": "u"}, pending=Pending.APPLY, sequence=2))
    found = ledger.made(address)
    assert found is not None
    assert found.key == second


def test_a_long_chain_is_removed_from_its_end_and_at_no_great_cost(tmp_path: Path) -> None:
    keys = [ObjectKey(Address("things", f"t{number:05d}"), "") for number in range(CHAIN)]
    uses = [(), *((Use(key, "d"),) for key in keys)]
    ledger = Ledger(
        State("l", 1, {key: Record(key, uses=used, sequence=1) for key, used in zip(keys, uses, strict=False)})
    )
    project = Project(
        root=tmp_path, files=(), name="test", owner=Owner(), settings={}, resources={}, edges={}, order=(), digest=""
    )
    started = time.process_time()
    plan = destruction(project, ledger, Selection((keys[0].address,)))
    assert [change.key for change in plan] == keys[::-1]
    assert [record.key for record in ordered_for_removal(ledger, list(ledger))] == keys[::-1]
    assert time.process_time() - started < 2
