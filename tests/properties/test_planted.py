"""The histories can fail: each of these bugs, planted into the engine, is caught by some of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mlctl.engine import attempts, choice, decide, making, moves, removal, steps
from mlctl.engine.ledger import Ledger
from mlctl.engine.store import Session
from mlctl.types.state import Pending, Record
from tests.properties.histories import run

EXAMPLES, SEEDS = 100, range(16)  # the same histories pass without a bug; the rarest shows in some of them only

pytestmark = pytest.mark.slow

Plant = Callable[[pytest.MonkeyPatch], None]


def no_intent(patch: pytest.MonkeyPatch) -> None:
    """The tool is touched before anything is in the journal."""
    real = Session.record
    patch.setattr(
        Session, "record", lambda self, record: None if record.pending is Pending.APPLY else real(self, record)
    )


def outcome_not_recorded(patch: pytest.MonkeyPatch) -> None:
    """What was made stays an intent."""
    real = Session.record

    def record(self: Session, found: Record) -> None:
        real(self, replace(found, pending=Pending.APPLY) if found.complete else found)

    patch.setattr(Session, "record", record)


def removal_forgotten_first(patch: pytest.MonkeyPatch) -> None:
    """An object is forgotten before the tool has removed it."""
    real = Session.record

    def record(self: Session, found: Record) -> None:
        if found.pending is Pending.DELETE:
            self.forget(found.key)
        else:
            real(self, found)

    patch.setattr(Session, "record", record)


def users_deleted_last(patch: pytest.MonkeyPatch) -> None:
    """What was made with an object goes after it."""
    real = removal.ordered_for_removal
    patch.setattr(Ledger, "users", lambda self, keys: {key: set() for key in keys})
    patch.setattr(removal, "ordered_for_removal", lambda ledger, records: real(ledger, records)[::-1])


def decided_once(patch: pytest.MonkeyPatch) -> None:
    """Apply takes the plan's word for a step whose inputs were not known yet."""
    real = steps.choose

    def choose(*arguments: Any) -> Any:
        desired, change = real(*arguments)
        return desired, replace(change, action=decide.Action.RUN) if not change.effective else change

    patch.setattr(steps, "choose", choose)


def cut_off_counts_as_done(patch: pytest.MonkeyPatch) -> None:
    """An object that was begun is taken for one that was made."""
    patch.setattr(Record, "complete", property(lambda self: True))


def reuse_keeps_its_place(patch: pytest.MonkeyPatch) -> None:
    """An older build that serves again does not become the one chosen last."""
    patch.setattr(steps, "_chosen", lambda run, record, change: record)


def users_index_is_wrong(patch: pytest.MonkeyPatch) -> None:
    """A record that changes leaves nobody behind among the users of what it used."""
    patch.setattr(Ledger, "users", lambda self, keys: {key: set() for key in keys})


def gates_are_ignored(patch: pytest.MonkeyPatch) -> None:
    """Apply goes on behind a verdict that is not a pass."""
    patch.setattr(steps, "_judge", lambda run, record: None)


def attempts_are_lost(patch: pytest.MonkeyPatch) -> None:
    """A plan does not find the newest attempt of a build."""
    real = attempts.newest
    patch.setattr(
        choice.attempts,
        "newest",
        lambda desired, records, anew=False: real(desired, records, anew=True) if anew else desired,
    )


def moved_without_users(patch: pytest.MonkeyPatch) -> None:
    """A move leaves behind what others say they were made with."""
    real = moves._renamed

    def renamed(record: Record, source: Any, target: Any) -> Record:
        return real(record, source, target) if record.key.address == source else record

    patch.setattr(moves, "_renamed", renamed)


def moved_folder_is_lost(patch: pytest.MonkeyPatch) -> None:
    """A move forgets the key that an object was made under."""
    real = moves._renamed
    patch.setattr(moves, "_renamed", lambda *arguments: replace(real(*arguments), origin=None))


def moves_are_not_made(patch: pytest.MonkeyPatch) -> None:
    """Plan shows the moves, and apply forgets them."""
    patch.setattr(moves.Moves, "carry_out", lambda self, session: None)


def approval_is_not_published(patch: pytest.MonkeyPatch) -> None:
    """A verdict is approved, and what a pass would have published is not."""
    patch.setattr(making, "approved", lambda record: False)
    patch.setattr("mlctl.engine.approve.Approvable", int)


BUGS: list[Plant] = [
    no_intent,
    outcome_not_recorded,
    removal_forgotten_first,
    users_deleted_last,
    decided_once,
    cut_off_counts_as_done,
    reuse_keeps_its_place,
    users_index_is_wrong,
    gates_are_ignored,
    attempts_are_lost,
    moved_without_users,
    moved_folder_is_lost,
    moves_are_not_made,
    approval_is_not_published,
]


SELDOM = {cut_off_counts_as_done, reuse_keeps_its_place}  # it takes some hundred histories until they show


@pytest.mark.parametrize(
    "plant",
    [pytest.param(plant, marks=pytest.mark.soak) if plant in SELDOM else plant for plant in BUGS],
    ids=lambda plant: plant.__name__,
)
def test_a_planted_bug_is_caught(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        plant(patch)
        assert any(_noticed(seed) for seed in SEEDS), (
            f"{EXAMPLES * len(SEEDS)} histories did not notice: {plant.__doc__}"
        )


def _noticed(seed: int) -> bool:
    try:
        run(EXAMPLES, seed)
    except Exception:
        return True
    return False


def test_without_a_bug_the_same_histories_pass() -> None:
    run(EXAMPLES, SEEDS[0])
