"""What depends on what: edges from references, provided names, expressions and guards, and the order they allow."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from mlctl.provider import Link, Provided, Reference, Spec
from mlctl.spec.expressions import expressions, is_well_formed, output_reference
from mlctl.spec.instances import several
from mlctl.spec.mentions import Mention, mentions
from mlctl.spec.suggest import Suggestions, joined, shown
from mlctl.spec.validation import Problem, YamlPath, dotted
from mlctl.types.address import Address
from mlctl.types.change import EdgeKind
from mlctl.types.value import Json

Edges = dict[Address, dict[Address, frozenset[EdgeKind]]]

_KINDS = {kind: frozenset({kind}) for kind in EdgeKind}
_CHAIN_ENDS = 4  # how much of a long cycle is told from each end


@dataclass
class Graph:
    """Edges found so far, where each was first stated, and what is wrong with the rest.

    `declared` are all addresses of the project, also of blocks that failed validation, so that one mistake is told once.
    """

    declared: AbstractSet[Address]
    suggest: Suggestions
    edges: Edges = field(default_factory=dict)
    places: dict[tuple[Address, Address], YamlPath] = field(default_factory=dict)
    problems: list[tuple[Address, Problem]] = field(default_factory=list)
    provided: dict[str, Address] = field(default_factory=dict)
    complete: bool = True  # every block was valid, so that what nobody provides is a mistake
    instances: Mapping[Address, Collection[str]] = field(default_factory=dict)  # keys, by the block they are made from
    _guards: dict[Address, list[tuple[Address, YamlPath]]] = field(default_factory=dict)
    _names: dict[str, list[str]] = field(default_factory=dict)

    def add(self, specs: Mapping[Address, Spec], templated: Mapping[Address, Json]) -> None:
        """Find the edges of all blocks. `templated` are the raw values of those that hold expressions."""
        for address in self.declared:
            self._names.setdefault(address.section, []).append(address.name)
        for address, spec in specs.items():
            self.edges[address] = {}
            if type(spec).provides is not Spec.provides:
                self._provide(address, spec)
        for address, spec in specs.items():
            for mention in mentions(spec):
                self._mention(address, mention)
            if type(spec).links is not Spec.links:
                self._links(address, spec.links())
            for index, text in enumerate(spec.depends_on):
                self._depends_on(address, ("depends_on", index), text)
        for address, values in templated.items():
            if address in specs:
                self._expressions(address, values)
        self._gates()

    def ordered(self) -> tuple[Address, ...]:
        """All addresses, with what they depend on before them. Those that wait for each other are problems."""
        found = order(self.edges)
        for cycle in cycles(self.edges, found):
            first, second = cycle[0], cycle[1 % len(cycle)]
            waiting = f"these resources wait for each other: {_chain([*cycle, first])}"
            summary = f"{first} depends on itself" if len(cycle) == 1 else waiting
            why = f"{first} names {second} here; none of them could come first"
            self._problem(first, self.places[first, second], "spec.cycle", summary, why, "remove one of the references")
        return found

    def _provide(self, address: Address, spec: Spec) -> None:
        for name in spec.provides():
            other = self.provided.setdefault(name, address)
            if other != address:
                what, _, label = name.partition(":")
                self._problem(
                    address,
                    (),
                    "spec.duplicate-provided",
                    f"{address} and {other} both provide the {what} {shown(label)}",
                    "one would overwrite the other",
                    "give one of them another name",
                )

    def _mention(self, address: Address, mention: Mention) -> None:
        marker, text, path = mention.marker, mention.text, mention.path
        if isinstance(marker, Provided):
            self._mention_provided(address, mention, marker)
        elif "${" in text:
            self._problem(
                address,
                path,
                "spec.expression-outside-text",
                f"{dotted(str(address), path)} cannot be an expression",
                f"it names a resource of `{marker.section}`",
                "write the name of the resource",
            )
        else:
            target = Address(marker.section, text)
            if target in self.declared:
                self._edge(address, target, EdgeKind.INPUT, path)
                if marker.guards:
                    self._guards.setdefault(target, []).append((address, path))
            elif target in self.instances:
                self._needs_key(address, path, target, text)
            else:
                self._dangling(address, path, marker, text)

    def _mention_provided(self, address: Address, mention: Mention, marker: Provided) -> None:
        if "${" in mention.text:
            return  # its edge comes from the expression
        target = self.provided.get(f"{marker.what}:{mention.text}")
        if target is not None:
            self._edge(address, target, EdgeKind.INPUT, mention.path)
        elif self.complete:
            known = [name.partition(":")[2] for name in self.provided if name.startswith(f"{marker.what}:")]
            fix = self.suggest(mention.text, known) if known else f"add the resource that provides this {marker.what}"
            self._problem(
                address,
                mention.path,
                "spec.dangling-reference",
                f"nothing in this project provides the {marker.what} {shown(mention.text)}",
                f"{dotted(str(address), mention.path)} names it",
                fix,
            )

    def _dangling(self, address: Address, path: YamlPath, marker: Reference, text: str) -> None:
        """Say whether the name is mistyped, of another section, or written with its section."""
        here = dotted(str(address), path)
        section, _, name = text.partition(".")
        if name and Address(section, name) in self.declared:
            if section == marker.section:
                self._problem(
                    address,
                    path,
                    "spec.dangling-reference",
                    f"{here} takes a name, not an address",
                    f"it always names a resource of `{section}`",
                    f"write {shown(name)}",
                )
                return
            self._problem(
                address,
                path,
                "spec.wrong-section",
                f"{here} takes a resource of `{marker.section}`",
                f"{shown(text)} is of `{section}`",
                self.suggest(name, self._names.get(marker.section, [])),
            )
            return
        others = [other for other in sorted(self._names) if Address(other, text) in self.declared]
        if others:
            why = f"{shown(text)} is the name of a resource of {joined(others, 'and')}"
            self._problem(
                address,
                path,
                "spec.wrong-section",
                f"{here} takes a resource of `{marker.section}`",
                why,
                self.suggest(text, self._names.get(marker.section, [])),
            )
            return
        fix = self.suggest(text, self._names.get(marker.section, [])) or f"add it under `{marker.section}:`"
        self._problem(
            address,
            path,
            "spec.dangling-reference",
            f"there is no {shown(text)} in `{marker.section}`",
            f"{here} names it",
            fix,
        )

    def _needs_key(self, address: Address, path: YamlPath, target: Address, text: str) -> None:
        """Say which instances there are, for a name that means several."""
        why, fix = several(text, self.instances[target])
        self._problem(address, path, "spec.needs-key", f"{target} has several instances", why, fix)

    def _links(self, address: Address, links: Iterable[Link]) -> None:
        for link in links:
            if link.edge is EdgeKind.ORDER and link.address in self.instances:
                self._all_instances(address, link.path, link.address)
            elif self._known(address, link.path, link.address):
                self._edge(address, link.address, link.edge, link.path)
                if link.guards:
                    self._guards.setdefault(link.address, []).append((address, link.path))

    def _depends_on(self, address: Address, path: YamlPath, text: str) -> None:
        try:
            target = Address.parse(text)
        except ValueError:
            self._problem(
                address,
                path,
                "spec.bad-address",
                f"{shown(text)} is not an address",
                f"{dotted(str(address), path)} takes `section.name`",
                "write, for example, `training.churn`",
            )
            return
        if target in self.instances:
            self._all_instances(address, path, target)
        elif self._known(address, path, target):
            self._edge(address, target, EdgeKind.ORDER, path)

    def _all_instances(self, address: Address, path: YamlPath, block: Address) -> None:
        """To go after a block is to go after all its instances."""
        for key in self.instances[block]:
            self._edge(address, block.instance(key), EdgeKind.ORDER, path)

    def _expressions(self, address: Address, values: Json) -> None:
        for path, inner in expressions(values):
            reference = output_reference(inner)
            if reference is None:
                self._bad_expression(address, path, inner)
            elif self._known(address, path, reference[0]):
                self._edge(address, reference[0], EdgeKind.INPUT, path)
        for path, text in _texts(values):
            if not is_well_formed(text):
                self._problem(
                    address,
                    path,
                    "spec.bad-expression",
                    f"an expression in {dotted(str(address), path)} is not closed",
                    f"{shown(text)} has a `${{` without its `}}`",
                    "write `${section.name.output}`",
                )

    def _bad_expression(self, address: Address, path: YamlPath, inner: str) -> None:
        why = "an expression names an output of a resource, or a value such as `var.name`"
        fix = "write `${section.name.output}`, for example `${training.churn.model}`"
        self._problem(address, path, "spec.bad-expression", f"{shown('${' + inner + '}')} cannot be resolved", why, fix)

    def _known(self, address: Address, path: YamlPath, target: Address) -> bool:
        if target in self.declared:
            return True
        if target in self.instances:
            self._needs_key(address, path, target, target.name)
            return False
        names = self._names.get(target.section)
        summary = (
            f"there is no {shown(target.name)} in `{target.section[:60]}`"
            if names
            else f"this project has no section {shown(target.section)}"
        )
        fix = self.suggest(target.name, names) if names else self.suggest(target.section, list(self._names))
        self._problem(
            address,
            path,
            "spec.dangling-reference",
            summary,
            f"{dotted(str(address), path)} names {shown(str(target))}",
            fix,
        )
        return False

    def _gates(self) -> None:
        """Whoever uses what a guard stands in front of waits for the guard's verdict; guards do not wait for each other."""
        guards = {guard for found in self._guards.values() for guard, _ in found}
        for address, targets in self.edges.items():
            if address in guards:
                continue
            for target in [
                target for target, kinds in targets.items() if EdgeKind.INPUT in kinds and target in self._guards
            ]:
                for guard, _ in self._guards[target]:
                    self._edge(address, guard, EdgeKind.GATE, self.places[address, target])

    def _edge(self, source: Address, target: Address, kind: EdgeKind, path: YamlPath) -> None:
        targets = self.edges[source]
        known = targets.get(target)
        if known is None:
            targets[target] = _KINDS[kind]
            self.places[source, target] = path
        elif kind not in known:
            targets[target] = known | {kind}

    def _problem(self, address: Address, path: YamlPath, code: str, summary: str, why: str, fix: str) -> None:
        self.problems.append((address, Problem(path, code, summary, why, fix)))


def _texts(values: Json, path: YamlPath = ()) -> Iterable[tuple[YamlPath, str]]:
    """Every text in a tree that holds `${`."""
    if isinstance(values, str):
        if "${" in values:
            yield path, values
    elif isinstance(values, dict):
        for name, item in values.items():
            yield from _texts(item, (*path, name))
    elif isinstance(values, list):
        for index, item in enumerate(values):
            yield from _texts(item, (*path, index))


def order(edges: Mapping[Address, Collection[Address]]) -> tuple[Address, ...]:
    """Dependencies first, ties by address. What sits on a cycle, or behind one, is left out."""
    addresses = sorted(edges, key=_sort_key)
    rank = {address: index for index, address in enumerate(addresses)}
    users: list[list[int]] = [[] for _ in addresses]
    waits = [0] * len(addresses)
    for index, address in enumerate(addresses):
        for target in edges[address]:
            if target in rank:
                users[rank[target]].append(index)
                waits[index] += 1
    ready = [index for index, count in enumerate(waits) if count == 0]
    result = []
    while ready:
        index = heapq.heappop(ready)
        result.append(addresses[index])
        for user in users[index]:
            waits[user] -= 1
            if waits[user] == 0:
                heapq.heappush(ready, user)
    return tuple(result)


def cycles(edges: Mapping[Address, Collection[Address]], ordered: Collection[Address]) -> list[Sequence[Address]]:
    """Cycles among what could not be ordered, each from its first address on; at least one if there are any."""
    left = edges.keys() - set(ordered)
    seen: set[Address] = set()
    found: list[Sequence[Address]] = []
    for start in sorted(left, key=_sort_key):
        trail: dict[Address, int] = {}
        address = start
        while address not in seen:
            seen.add(address)
            trail[address] = len(trail)
            # whatever is left waits for something else that is left
            address = min((target for target in edges[address] if target in left), key=_sort_key)
        if address in trail:
            cycle = list(trail)[trail[address] :]
            first = cycle.index(min(cycle, key=_sort_key))
            found.append(cycle[first:] + cycle[:first])
    return found


def _sort_key(address: Address) -> tuple[str, str]:
    return address.section, address.name


def _chain(addresses: Sequence[Address]) -> str:
    """`a → b → a`; of a long chain the beginning and the end."""
    names = [str(address) for address in addresses]
    if len(names) > 2 * _CHAIN_ENDS + 1:
        names[_CHAIN_ENDS:-_CHAIN_ENDS] = [f"… {len(names) - 2 * _CHAIN_ENDS} more …"]
    return " → ".join(names)
