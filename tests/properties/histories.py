"""What may happen to a project: edits of its blocks, ways to apply it, faults, and what others do to its objects."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from mlctl.types.address import Address
from mlctl.types.change import Selection
from tests.properties.worlds import EVERYTHING, Blocks, Imports, Moved, World, unprotected

HISTORIES = int(os.environ.get("MLCTL_HISTORIES", "300"))
NAMES = ["a", "b", "c", "d"]
MEMORY = (
    "/dev/shm" if Path("/dev/shm").is_dir() else None
)  # every journal line is fsync'd; a disk would be most of the time
FAULTS = ["refuse", "crash-before", "crash-after"]
CRASHES = ["crash-before", "crash-after"]
OUTSIDE = ["change", "break", "lose"]


@dataclass(frozen=True)
class Happening:
    """One command on a project, what goes wrong meanwhile, and what somebody does afterwards."""

    blocks: Blocks
    command: str = "apply"  # or: destroy, approve, accept
    selection: Selection = EVERYTHING
    parallelism: int = 1
    moved: Moved = ()
    imports: Imports = field(default_factory=dict)
    faults: dict[int, str] = field(default_factory=dict)
    journal_faults: dict[int, str] = field(default_factory=dict)
    outside: str = ""


@st.composite
def projects(draw: st.DrawFn) -> Blocks:
    """Up to nine resources in which each refers only to earlier ones."""
    blocks: Blocks = {}
    models: list[str] = []
    for section in ("builds", "things", "services"):
        for name in draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=3)):
            blocks[f"{section}.{name}"] = draw(block_of(section, blocks, models))
    return blocks


@st.composite
def block_of(draw: st.DrawFn, section: str, blocks: Blocks, models: list[str]) -> dict[str, Any]:
    """One resource that may use the ones before it."""
    block: dict[str, Any] = {"value": draw(st.integers(0, 5))}
    builds = [address.partition(".")[2] for address in blocks if address.startswith("builds.")]
    things = [address.partition(".")[2] for address in blocks if address.startswith("things.")]
    if section == "builds" and builds and draw(st.booleans()):
        block["guarded"] = draw(
            st.sampled_from(builds)
        )  # it names nothing else, or it might wait for what waits for it
    else:
        if builds:
            block["uses_builds"] = draw(st.lists(st.sampled_from(builds), unique=True, max_size=2))
        if things:
            block["uses_things"] = draw(st.lists(st.sampled_from(things), unique=True, max_size=2))
        if models:
            block["uses_model"] = draw(st.sampled_from([None, *models]))
        if blocks:
            block["depends_on"] = draw(st.lists(st.sampled_from(sorted(blocks)), unique=True, max_size=1))
    if section == "things":
        labels = ["", "x", "y"]
        if builds:  # its identity is then not known before the build is made
            labels.append("${builds." + builds[0] + ".digest}")
        block["label"] = draw(st.sampled_from(labels))
    if section == "builds":
        block["gate"] = draw(st.sampled_from([None, 3, 0, 5]))
    block["note"] = draw(st.sampled_from(["", "n"]))
    lifecycle = draw(
        st.sampled_from([{}, {}, {}, {"ignore_changes": ["value"]}, {"prevent_destroy": True}, {"retain": 1}])
    )
    if lifecycle:
        block["lifecycle"] = lifecycle
    offers = draw(st.sampled_from(["", "", "m", "n"]))
    if offers and offers not in models:
        models.append(offers)
        block["offers"] = offers
    return block


@st.composite
def happenings(draw: st.DrawFn, before: Blocks | None = None, first: Blocks | None = None) -> Happening:
    """A command with all that may come with it, on a new project or on one that has hardly changed."""
    commands = ["apply"] * 6 + ["approve", "approve", "destroy", "accept"] if before else ["apply"]
    command = draw(st.sampled_from(commands))
    blocks, moved = draw(edits(before or {}, first or {}))
    faulty = draw(st.booleans())
    crash = draw(st.dictionaries(st.integers(0, 12), st.sampled_from(FAULTS), max_size=3)) if faulty else {}
    journal = draw(st.dictionaries(st.integers(0, 20), st.sampled_from(CRASHES), max_size=1)) if faulty else {}
    outside = draw(st.sampled_from(["", *OUTSIDE])) if faulty else ""
    if command != "apply":
        return Happening(before or blocks, command, faults=crash, journal_faults=journal, outside=outside)
    return Happening(
        blocks,
        command,
        draw(selections(blocks)),
        draw(st.sampled_from([1, 1, 1, 2, 4])),
        moved,
        draw(imports(blocks)),
        crash,
        journal,
        outside,
    )


@st.composite
def edits(draw: st.DrawFn, before: Blocks, first: Blocks) -> tuple[Blocks, Moved]:
    """What a project is next, with the moves that belong to it: another one, the same, one value changed, a rename, or the first."""
    how = draw(st.sampled_from(["new", "same", "value", "value", "rename", "rename", "back"])) if before else "new"
    if how == "back":
        return first, ()
    if how == "new":
        blocks = draw(projects())
        return blocks, draw(moves(blocks))
    name = draw(st.sampled_from(sorted(before)))
    if how == "value":
        return {**before, name: {**before[name], "value": draw(st.integers(0, 5))}}, ()
    section, _, old = name.partition(".")
    free = [other for other in NAMES if f"{section}.{other}" not in before]
    if how == "same" or not free:
        return before, ()
    new = draw(st.sampled_from(free))
    pair = (Address.parse(name), Address(section, new))
    return {_readdressed(key, name, new): _reworded(item, section, old, new) for key, item in before.items()}, (pair,)


def _readdressed(key: str, name: str, new: str) -> str:
    return f"{name.partition('.')[0]}.{new}" if key == name else key


def _reworded(block: dict[str, Any], section: str, old: str, new: str) -> dict[str, Any]:
    """A block with one resource under another name wherever it is named."""
    found = dict(block)
    if f"uses_{section}" in block:
        found[f"uses_{section}"] = [new if text == old else text for text in block[f"uses_{section}"]]
    if section == "builds" and block.get("guarded") == old:
        found["guarded"] = new
    if "depends_on" in block:
        found["depends_on"] = [
            f"{section}.{new}" if text == f"{section}.{old}" else text for text in block["depends_on"]
        ]
    if "label" in block:
        found["label"] = block["label"].replace(f"${{{section}.{old}.", f"${{{section}.{new}.")
    return found


@st.composite
def whole_histories(draw: st.DrawFn) -> tuple[list[Happening], Blocks, Moved]:
    """Up to five happenings, each after the one before, and the project that is applied in the end."""
    found: list[Happening] = []
    for _ in range(draw(st.integers(1, 5))):
        found.append(draw(happenings(found[-1].blocks, found[0].blocks) if found else happenings()))
    last, moved = draw(edits(found[-1].blocks, found[0].blocks))
    return found, last, moved


@st.composite
def selections(draw: st.DrawFn, blocks: Blocks) -> Selection:
    """Everything, some targets, all but some, or some anew; attended or not."""
    options: dict[str, Any] = {"unattended": draw(st.sampled_from([False, False, False, True]))}
    how = draw(st.sampled_from(["", "", "targets", "exclude", "replace", "replace"]))
    if blocks and how:
        found = draw(st.lists(st.sampled_from(sorted(blocks)), unique=True, min_size=1, max_size=2))
        options[how] = tuple(map(Address.parse, found))
    return Selection(**options)


@st.composite
def moves(draw: st.DrawFn, blocks: Blocks) -> Moved:
    """`moved:` blocks: from names that the project has no more to names that it has."""
    free = [name for name in (f"{section}.{name}" for section in ("builds", "things", "services") for name in NAMES) if name not in blocks]  # fmt: skip
    pairs: list[tuple[Address, Address]] = []
    for target in draw(st.lists(st.sampled_from(sorted(blocks)), unique=True, max_size=2)) if blocks else []:
        sources = [name for name in free if name.split(".")[0] == target.split(".")[0]]
        if sources:
            source = draw(st.sampled_from(sources))
            free.remove(source)
            pairs.append((Address.parse(source), Address.parse(target)))
    return tuple(pairs)


@st.composite
def imports(draw: st.DrawFn, blocks: Blocks) -> Imports:
    """Objects that exist already, by the address that shall have them."""
    found = draw(st.lists(st.sampled_from(sorted(blocks)), unique=True, max_size=1)) if blocks else []
    return {Address.parse(name): f"old-{name}" for name in found}


def live(world: World, happening: Happening) -> None:
    """Let it happen, and hold what must hold even in the middle of a history."""
    world.tool.faults = {len(world.tool.calls) + number: fault for number, fault in happening.faults.items()}
    world.journal_faults = dict(happening.journal_faults)
    guarded = {str(record.made_as) for record in world.ledger() if record.protected}
    there = guarded & world.tool.objects.keys()
    if happening.command == "destroy":
        if not guarded:
            world.destroy()
    elif happening.command == "approve":
        world.approve()
    elif happening.command == "accept":
        world.accept(happening.blocks)
    elif not world.refuse(happening.blocks, happening.selection):
        options = {"parallelism": happening.parallelism, "moved": happening.moved, "imports": happening.imports}
        world.apply(happening.blocks, selection=happening.selection, **options)
    world.journal_faults = {}
    lost = {name for name in there if name not in world.tool.objects}
    assert not lost, f"{lost} were protected"
    if happening.outside:
        world.spoil(happening.outside)


def lived(history: list[Happening], last: Blocks, moved: Moved = ()) -> None:
    """A whole history from nothing, and then the check that one apply heals it."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        world = World(Path(folder))
        for happening in history:
            live(world, happening)
        world.edit(unprotected)
        bare = {
            name: {key: item for key, item in block.items() if not _protects(key, item)} for name, block in last.items()
        }
        world.check(bare, moved)


def _protects(key: str, item: Any) -> bool:
    return key == "lifecycle" and "prevent_destroy" in item


def run(examples: int, fixed: int | None = None) -> None:
    """Some random histories, or those of a `fixed` seed. Raises what the first that breaks an invariant raised."""
    phases = tuple(Phase) if fixed is None else (Phase.generate,)

    @given(history=whole_histories())
    @settings(
        max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), phases=phases, database=None
    )  # fmt: skip
    def random_history(history: tuple[list[Happening], Blocks, Moved]) -> None:
        lived(*history)

    (random_history if fixed is None else seed(fixed)(random_history))()
