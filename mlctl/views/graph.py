"""The graph of a project as all its views show it: each resource with what the state, and a plan if there is one, says of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from mlctl.engine.ledger import Ledger
from mlctl.types.address import Address
from mlctl.types.change import Action, Change, EdgeKind, Plan, Reason
from mlctl.types.state import Record

Edges = Mapping[Address, Mapping[Address, Collection[EdgeKind]]]
Arrow = tuple[Address, Address, EdgeKind]


class Status(StrEnum):
    """How a resource stands, in a word. Without a plan nothing is looked at but the state, so that nothing is gone or broken."""

    READY = "ready"
    RUNNING = "running"
    UNFINISHED = "unfinished"
    GATE = "gate not passed"
    BROKEN = "broken"
    GONE = "gone"
    MISSING = "not made"
    REMOVED = "no longer in the project"

    @property
    def css(self) -> str:
        """The status as the name of a class."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Node:
    """One resource: its status, what it was made as, and what a plan would do to it."""

    address: Address
    status: Status
    record: Record | None = None
    change: Change | None = None


@dataclass(frozen=True)
class Graph:
    """Nodes in order of addresses, and each dependency once, by its strongest kind: from what is used to what uses it."""

    nodes: Mapping[Address, Node]
    arrows: tuple[Arrow, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Nodes and arrows for other programs."""
        return {
            "resources": [{"address": str(node.address), "status": str(node.status)} for node in self.nodes.values()],
            "arrows": [[str(source), str(target), kind.value] for source, target, kind in self.arrows],
        }


def gather(edges: Edges, ledger: Ledger, plan: Plan | None = None) -> Graph:
    """The graph of a project with what the state knows, and what is in the state although the project has it no longer."""
    changes: dict[Address, Change] = {}
    for change in plan or ():
        if change.action is not Action.DELETE or change.address not in edges:
            changes[change.address] = change
    left = {record.key.address for record in ledger} - edges.keys()
    nodes = {
        address: _node(address, ledger.current(address), changes.get(address), left)
        for address in sorted({*edges, *left})
    }
    links = {
        (source, target): _strongest(kinds) for target, sources in edges.items() for source, kinds in sources.items()
    }
    for address in left:
        record = ledger.current(address)
        for use in record.uses if record is not None else ():
            if use.key.address in nodes:
                links.setdefault((use.key.address, address), EdgeKind.INPUT)
    return Graph(nodes, tuple(sorted((source, target, kind) for (source, target), kind in links.items())))


def _strongest(kinds: Collection[EdgeKind]) -> EdgeKind:
    return min(kinds, key=[EdgeKind.INPUT, EdgeKind.GATE, EdgeKind.ORDER].index)


def _node(address: Address, record: Record | None, change: Change | None, left: Collection[Address]) -> Node:
    return Node(address, Status.REMOVED if address in left else _status(record, change), record, change)


def _status(record: Record | None, change: Change | None) -> Status:
    """The plan has looked at the real object; without it the record is believed."""
    if change is not None:
        if change.action is Action.ADOPT:
            return Status.RUNNING
        if change.reason is Reason.GONE:
            return Status.GONE
        if change.reason is Reason.BROKEN:
            return Status.BROKEN
    if record is None:
        return Status.MISSING
    if not record.complete:
        return Status.UNFINISHED
    if record.gate is not None and not record.gate.open:
        return Status.GATE
    return Status.READY
