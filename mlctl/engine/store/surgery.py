"""Changes of a state by hand: move, forget, push, undo; and what differs between two states. No real object is touched."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mlctl.engine.ledger import Ledger
from mlctl.engine.moves import renamed
from mlctl.engine.store import format
from mlctl.engine.store.protocol import Choose, Store
from mlctl.engine.store.recovery import same
from mlctl.engine.store.session import Session
from mlctl.provider import flatten
from mlctl.types.address import Address, ObjectKey
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.types.state import Record, State
from mlctl.types.value import Json


@dataclass(frozen=True, slots=True)
class Difference:
    """What became of one object between two states: `added`, `removed` or `changed`, with the fields that differ."""

    key: ObjectKey
    what: str
    fields: tuple[tuple[str, Json, Json], ...] = ()


def matching(records: Iterable[Record], pattern: str) -> list[Record]:
    """The objects whose key or address a text names: itself, all instances of it, or a pattern with `*` and `?`."""
    expression = re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."))
    return [
        record
        for record in sorted(records, key=lambda item: item.key)
        if _named(record.key, pattern) or any(expression.fullmatch(str(it)) for it in (record.key, record.key.address))
    ]


def found(records: Iterable[Record], text: str) -> list[Record]:
    """The objects that a key or an address names. Raises MlctlError when there is none."""
    known = list(records)
    chosen = [record for record in sorted(known, key=lambda item: item.key) if _named(record.key, text)]
    if not chosen:
        names = {str(record.key) for record in known} | {str(record.key.address) for record in known}
        raise MlctlError.of(
            "cli.unknown-name",
            f"there is no `{text}` in the state",
            "",
            did_you_mean(text, names) or "see what there is with `mlctl state list`",
        )
    return chosen


def move(session: Session, source: Address, target: Address) -> list[tuple[ObjectKey, ObjectKey]]:
    """Give the objects of an address another one. Raises MlctlError when there are none, or when the target is taken."""
    records = list(session.ledger)
    addresses = sorted({record.key.address for record in found(records, str(source))})
    pairs = [
        (address, Address(target.section, target.name + address.name[len(source.name) :])) for address in addresses
    ]
    _check_move(session.ledger, source, target, pairs)
    after = records
    for old, new in pairs:
        after = renamed(after, old, new)
    moved = [(old.key, new.key) for old, new in zip(records, after, strict=True) if old.key != new.key]
    changed = [new for old, new in zip(records, after, strict=True) if old != new]
    session.exchange([old for old, _ in moved], changed)
    return sorted(moved)


def forget(session: Session, chosen: Sequence[Record], *, force: bool) -> None:
    """Drop objects from the state. Raises MlctlError when others were made with them, unless forced."""
    keys = {record.key for record in chosen}
    users = sorted({user for found in session.ledger.users(keys).values() for user in found} - keys)
    if users and not force:
        raise MlctlError.of(
            "state.still-used",
            f"`{users[0]}` was made with what you want to forget"
            + (f", and {len(users) - 1} more" if len(users) > 1 else ""),
            "a later destroy would not know any more in which order to remove them",
            "forget those too, or add `--force`",
        )
    session.exchange(sorted(keys), [])


def pushed(data: bytes, *, force: bool) -> tuple[State, Choose]:
    """A state given as bytes, and the check that it may take the place of the present one. Raises MlctlError."""
    try:
        given = format.decode(data, sealed=False)
    except format.DamagedError as error:
        raise MlctlError.of(
            "state.bad-push",
            "this is not a state",
            str(error),
            "give a file that `mlctl state pull` or mlctl itself wrote",
        ) from error

    def choose(present: State | None) -> State:
        if not force:
            _check_push(given, present)
        return given

    return given, choose


def undone(store: Store, to: int | None) -> Choose:
    """The generation before the present one, the one with a given serial, or the newest good one when the present is damaged."""

    def choose(present: State | None) -> State:
        wanted = to if to is not None else _newest(store, None if present is None else present.serial)
        state = wanted if isinstance(wanted, State) else store.generation(wanted)
        return replace(state, serial=0)

    return choose


def renamed_project(old: str, new: str) -> Choose:
    """The same state, as that of a project which has another name now. Raises MlctlError when it is not that of the old one."""

    def choose(present: State | None) -> State:
        if present is None or present.project not in ("", old):
            whose = "cannot be read" if present is None else f"is that of the project `{present.project}`"
            raise MlctlError.of(
                "state.other-project",
                f"the state {whose}, not of `{old}`",
                "",
                "see `mlctl state pull`, field `project`",
            )
        if (
            not present.objects
        ):  # in a bucket each name has a place of its own, and the state is still at that of the old one
            raise MlctlError.of(
                "state.other-project",
                f"there is no state of `{old}` to take over: the one here is empty",
                "in a bucket the name of a project is part of the key",
                f"`mlctl state pull` it while the project is named `{old}`, and `mlctl state push` it here first",
            )
        return replace(present, project=new)

    return choose


def compare(before: State, after: State) -> list[Difference]:
    """What differs, by key."""
    differences = []
    for key in sorted(before.objects.keys() | after.objects.keys()):
        old, new = before.objects.get(key), after.objects.get(key)
        if old is None or new is None:
            differences.append(Difference(key, "added" if old is None else "removed"))
        elif old != new:
            left, right = flatten(old.to_json()), flatten(new.to_json())
            paths = [path for path in sorted(left.keys() | right.keys()) if left.get(path) != right.get(path)]
            differences.append(Difference(key, "changed", tuple((it, left.get(it), right.get(it)) for it in paths)))
    return differences


def _named(key: ObjectKey, text: str) -> bool:
    """Whether a text is a key, its address, or the address of all its instances."""
    address = str(key.address)
    return text in (str(key), address, address.partition("[")[0])


def _check_move(ledger: Ledger, source: Address, target: Address, pairs: Sequence[tuple[Address, Address]]) -> None:
    if source.section != target.section:
        raise MlctlError.of(
            "state.cannot-move",
            f"`{source}` and `{target}` are of different sections",
            "a section is served by one kind, and each kind knows only its own objects",
            f"choose a name in `{source.section}`",
        )
    taken = sorted({new for _, new in pairs if ledger.at(new)} | ({target} if ledger.at(target) else set()))
    if taken:
        raise MlctlError.of(
            "state.taken",
            f"there is a `{taken[0]}` in the state already",
            "two objects would have one name",
            "forget or move that one first",
        )


def _check_push(given: State, present: State | None) -> None:
    if present is None:
        problem = "the present state cannot be read", "so nobody can tell whether it is the same one"
    elif present.serial and given.lineage != present.lineage:
        problem = (
            "this is a state of another lineage",
            f"it is of {given.lineage}, the present one of {present.lineage}",
        )
    elif given.serial < present.serial:
        problem = (
            f"this state is older: serial {given.serial}, the present one has {present.serial}",
            "what was made since would be forgotten",
        )
    elif given.serial == present.serial and not same(given, present):
        problem = f"the present state has serial {given.serial} too, and holds something else", "one of the two is lost"
    else:
        return
    raise MlctlError.of(
        "state.push-refused", *problem, "see both with `mlctl state pull`; `--force` puts it in place all the same"
    )


def _newest(store: Store, before: int | None) -> State:
    """The newest generation before a serial, if one is given, that can be read. Raises MlctlError."""
    for item in store.generations():
        if (before is None or item.serial < before) and not item.damaged:
            try:
                return store.generation(item.serial)
            except MlctlError:
                continue
    raise MlctlError.of(
        "state.no-generation",
        "there is no generation before this one",
        "the state was written once only, or the older ones are damaged",
        "see them with `mlctl state log`",
    )
