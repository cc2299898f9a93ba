"""What a state and a journal beside it are together, and what differs between two states."""

from __future__ import annotations

from collections.abc import Mapping

from mlctl.engine.journal import Entries
from mlctl.types.state import State


def is_of(entries: Entries, state: State) -> bool:
    """Whether a journal is of this state, or of the first apply ever, which had no state file yet."""
    if state.serial == 0:
        return entries.serial == 0
    return (entries.lineage, entries.serial) == (state.lineage, state.serial)


def was_folded(entries: Entries, state: State) -> bool:
    """Whether a journal is in this state already: a kill came between the fold and the removal of the journal."""
    return entries.lineage == state.lineage and entries.serial < state.serial


def merged(state: State, entries: Entries | None) -> State:
    """The state with the entries of its journal put in; a journal of another state changes nothing."""
    if entries is None or not (entries.records or entries.holds) or not is_of(entries, state):
        return state
    return played(state, entries)


def played(state: State, entries: Entries) -> State:
    """A state with entries put in, whatever state they were written for."""
    objects = dict(state.objects)
    for key, record in entries.records:
        if record is None:
            objects.pop(key, None)
        else:
            objects[key] = record
    held = entries.held if entries.holds else state.held
    return State(entries.lineage, state.serial, objects, held, state.project)


def same(before: State, after: State) -> bool:
    """Whether two states hold the same."""
    return before.objects == after.objects and before.held == after.held


def changes(before: State, after: State) -> Mapping[str, int]:
    """How many objects were added, changed and removed."""
    old, new = before.objects, after.objects
    return {
        "added": len(new.keys() - old.keys()),
        "changed": sum(1 for key in new.keys() & old.keys() if new[key] != old[key]),
        "removed": len(old.keys() - new.keys()),
    }
