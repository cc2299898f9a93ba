"""`moved:` and `import:`: what resources were called before, and which existing objects they are to take over."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Annotated, TypeVar

from pydantic import BaseModel, Field

from mlctl.provider import Block
from mlctl.spec.places import Located
from mlctl.spec.report import Report
from mlctl.spec.scope import Scope
from mlctl.spec.suggest import Suggestions, found, shown
from mlctl.spec.validation import YamlPath, validate
from mlctl.types.address import Address
from mlctl.types.value import Json

Model = TypeVar("Model", bound=BaseModel)


class Moved(Block):
    """A resource that was called otherwise before."""

    source: Annotated[str, Field(alias="from")]
    to: str


class Imported(Block):
    """An object that exists already, as its tool knows it."""

    to: str
    id: Annotated[str, Field(min_length=1)]


class Renames:
    """Reads both lists against the addresses that the project has."""

    def __init__(
        self, known: Collection[Address], removed: Collection[Address], report: Report, suggest: Suggestions
    ) -> None:
        self.known = known  # with the blocks that have instances
        self.removed = removed  # by this environment
        self.report = report
        self.suggest = suggest

    def moved(self, block: Json, place: Located) -> tuple[tuple[Address, Address], ...]:
        """From which address to which, in the order of the file; a move that goes on ends where the last one does."""
        pairs: dict[Address, tuple[Address, int]] = {}
        for index, item in self._items(block, place, Moved, "moved", "{from: section.old, to: section.new}"):
            source = self._address(item.source, place, (index, "from"))
            target = self._address(item.to, place, (index, "to"))
            if source is None or target is None:
                continue
            if source in pairs:
                why, fix = "it moved to another address already", "remove one of the two"
                self.report.at(place, (index, "from"), "spec.duplicate-address", f"{source} moves twice", why, fix)
            elif source.section != target.section:
                why, fix = "another section is another kind of object", "remove the entry"
                summary = f"{source} cannot become {target}"
                self.report.at(place, (index,), "spec.wrong-section", summary, why, fix)
            else:
                pairs[source] = target, index
        sound = [source for source in pairs if self._sound(source, pairs, place)]
        return tuple((source, self._end(source, pairs)) for source in sound)

    def imports(self, block: Json, place: Located, scope: Scope) -> dict[Address, str]:
        """The id to take over at each address."""
        result: dict[Address, str] = {}
        problems = len(self.report.diagnostics)
        values = scope.resolve(block, lambda at, problem: self.report.at(place, at, *problem.told))
        if len(self.report.diagnostics) > problems:
            return result
        for index, item in self._items(values, place, Imported, "import", '{to: section.name, id: "..."}'):
            address = self._address(item.to, place, (index, "to"))
            if address is None:
                continue
            if "${" in item.id:
                why, fix = "it must be known before anything runs", "write the id itself"
                self.report.at(place, (index, "id"), "spec.bad-expression", "an id cannot wait for an output", why, fix)
            elif address in result:
                why, fix = "an address has one object", "remove one of the two"
                self.report.at(place, (index, "to"), "spec.duplicate-address", f"{address} is imported twice", why, fix)
            elif address in self.known:
                result[address] = item.id
            elif address not in self.removed:
                self._dangling(address, place, (index, "to"))
        return result

    def _sound(self, source: Address, pairs: Mapping[Address, tuple[Address, int]], place: Located) -> bool:
        """Whether a move goes from an address that is free to one that is there, or that moves on."""
        target, index = pairs[source]
        if source in self.known:
            why, fix = (
                "what is called so now would be taken for what was called so before",
                "remove the entry, or rename it",
            )
            self.report.at(
                place, (index, "from"), "spec.duplicate-address", f"{source} is still in the project", why, fix
            )
            return False
        others = [other for other, (to, _) in pairs.items() if to == target and other != source]
        if others and list(pairs).index(others[0]) < list(pairs).index(source):
            why, fix = f"{others[0]} moves there too", "remove one of the two"
            self.report.at(place, (index, "to"), "spec.duplicate-address", f"two addresses move to {target}", why, fix)
            return False
        seen = {source}
        while target in pairs:
            if target in seen:
                why, fix = "none of them is where it ends", "remove one of the entries"
                self.report.at(place, (index,), "spec.cycle", f"{source} moves in a circle", why, fix)
                return False
            seen.add(target)
            target = pairs[target][0]
        if target in self.removed:
            return False  # this environment has neither
        if target not in self.known:
            self._dangling(target, place, (index, "to"))
            return False
        return True

    def _end(self, source: Address, pairs: Mapping[Address, tuple[Address, int]]) -> Address:
        target, _ = pairs[source]
        while target in pairs:
            target, _ = pairs[target]
        return target

    def _items(
        self, block: Json, place: Located, model: type[Model], label: str, example: str
    ) -> list[tuple[int, Model]]:
        """The typed entries of a list, with their positions; those that are wrong are reported and left out."""
        if block is None:
            return []
        if not isinstance(block, list):
            why = f"{found(block)} stands there"
            self.report.at(
                place, (), "spec.wrong-type", f"`{label}` takes a list", why, f"write `{label}: [{example}]`"
            )
            return []
        result = []
        for index, values in enumerate(block):
            if not isinstance(values, dict):
                why = f"{found(values)} stands there"
                self.report.at(place, (index,), "spec.wrong-type", f"`{label}` takes blocks", why, f"write `{example}`")
                continue
            made, problems = validate(model, values, json.dumps(values), f"{label}[{index}]", self.suggest)
            for problem in problems:
                self.report.problem(place, (index,), problem, None)
            if made is not None:
                result.append((index, made))
        return result

    def _address(self, text: str, place: Located, path: YamlPath) -> Address | None:
        try:
            return Address.parse(text)
        except ValueError:
            why, fix = "an address reads `section.name`", "write, for example, `training.churn`"
            self.report.at(place, path, "spec.bad-address", f"{shown(text)} is not an address", why, fix)
            return None

    def _dangling(self, address: Address, place: Located, path: YamlPath) -> None:
        fix = self.suggest(str(address), [str(item) for item in self.known])
        self.report.at(
            place, path, "spec.dangling-reference", f"there is no {shown(str(address))}", "it is named here", fix
        )
