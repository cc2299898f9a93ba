"""From blocks as they are written to one block for each resource: modules are put in place, instances are made."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace

from mlctl.spec.blocks import Written
from mlctl.spec.instances import FIELDS, Instance, Refused, of_each, of_matrix
from mlctl.spec.modules import DEPTH_LIMIT, SECTION, ModuleFile, Modules, Use, read_call
from mlctl.spec.places import Place
from mlctl.spec.report import Report
from mlctl.spec.scope import Broken, Scope, Unresolved, World
from mlctl.spec.suggest import Suggestions, shown
from mlctl.spec.validation import Problem, YamlPath
from mlctl.types.address import Address
from mlctl.types.value import Json


class Expansion:
    """Makes the blocks of a project those of its resources. Problems go into the report; what has one is left out."""

    def __init__(self, world: World, modules: Modules, report: Report, suggest: Suggestions) -> None:
        self.blocks: dict[Address, Written] = {}
        self.declared: AbstractSet[Address] = frozenset()  # also what was left out, so that one mistake is told once
        self.broken = False  # a use of a module could not be put in place: whatever names a part of it cannot be judged
        self._world = world
        self._modules = modules
        self._report = report
        self._suggest = suggest
        self._written: dict[Address, Written] = {}
        self._instances: dict[Address, dict[str, Instance]] = {}
        self._uses: dict[str, Use] = {}
        self._trails: dict[str, tuple[ModuleFile, ...]] = {}  # the files that a use is inside of, by its full name
        self._busy: list[Address] = []
        self._refused: set[Address] = set()
        world.instances, world.modules = self._instances, self._uses

    def run(self, blocks: Mapping[Address, Written]) -> None:
        """Expand the blocks of the project's own files and all that they use."""
        if not any(address.section == SECTION or _has_instances(block.values) for address, block in blocks.items()):
            self.blocks.update(blocks)  # nearly every project, and the large ones
            self.declared = self._world.addresses = self.blocks.keys()
            return
        self._written.update(blocks)
        waiting = [address for address in blocks if address.section == SECTION]
        while waiting:
            waiting += self._use(waiting.pop(0))
        for address, block in self._written.items():
            if address.section == SECTION:
                continue
            if not _has_instances(block.values):
                self.blocks[address] = block
            elif (instances := self._expanded(address)) is not None:
                values = {name: value for name, value in block.values.items() if name not in FIELDS}
                for key, instance in instances.items():
                    self.blocks[address.instance(key)] = Written(
                        values, block.place, replace(block.scope, each=instance)
                    )
        self.declared = {*self.blocks, *self._refused}
        self._world.addresses = {*self.declared, *self._instances}
        for use in self._uses.values() if not self.broken else ():
            use.check()

    def _use(self, address: Address) -> list[Address]:
        """Put the blocks of a module in place, once or for each instance. The modules that it uses itself."""
        block = self._written[address]
        name = address.name
        if not isinstance(block.values, dict) or not _has_instances(block.values):
            return self._put(name, block.values, block, block.scope)
        instances = self._expanded(address)
        self.broken |= instances is None
        values = {field: value for field, value in block.values.items() if field not in FIELDS}
        found: list[Address] = []
        for key, instance in (instances or {}).items():
            found += self._put(f'{name}["{key}"]', values, block, replace(block.scope, each=instance))
        return found

    def _put(self, name: str, values: Json, block: Written, caller: Scope) -> list[Address]:
        call = read_call(values, block.place, f"modules.{name}", self._report, self._suggest)
        file = None if call is None else self._modules.file(call, block.place)
        if call is None or file is None:
            self.broken = True
            return []
        outer = self._trails.get(caller.prefixes[0].removesuffix("."), ())
        if file in outer or len(outer) >= DEPTH_LIMIT:
            why = f"modules may use modules, {DEPTH_LIMIT} deep" if file not in outer else "it would never end"
            summary = "a module uses itself" if file in outer else "modules are nested too deeply"
            self.broken = True
            self._report.at(block.place, ("source",), "spec.cycle", summary, why, "take the use out of the module")
            return []
        use = Use(name, file, call.inputs, block.place, caller, self._report)
        self._uses[name], self._trails[name] = use, (*outer, file)
        found: list[Address] = []
        for inner, inner_values in file.blocks.items():
            place = Place(file.source, (inner.section, inner.name))
            full = Address(inner.section, f"{name}.{inner.name}")
            self._written[full] = Written(inner_values, place, use.scope)
            if full.section == SECTION:
                found.append(full)
        return found

    def _expanded(self, address: Address) -> dict[str, Instance] | None:
        """The instances of a block by key; None when it has a problem, which is then told."""
        if address not in self._instances and address not in self._refused:
            block = self._written[address]
            self._busy.append(address)
            try:
                found = self._found(address, block)
                self._instances[address] = {instance.key: instance for instance in found}
            except Refused as refused:
                self._refuse(address, refused.problem)
            except Broken:
                self._refused.add(address)
            finally:
                self._busy.pop()
        return self._instances.get(address)

    def _found(self, address: Address, block: Written) -> list[Instance]:
        fields = [name for name in FIELDS if name in block.values]
        if len(fields) > 1:
            why, fix = "each says which instances there are", "keep one of them"
            raise Refused(
                ("matrix",), "spec.bad-value", f"{address} has `for_each` and `matrix`", why, fix, at_key=True
            )
        problems: list[tuple[YamlPath, Unresolved]] = []
        (name,) = fields
        value = block.scope.resolve(block.values[name], lambda at, problem: problems.append((at, problem)))
        if problems:
            at, problem = problems[0]
            code, summary, why, fix = problem.told
            raise Refused((name, *at), code, summary, why, fix)
        if name == "matrix":
            return of_matrix(value, str(address))
        if isinstance(value, str):
            return list(self._of_other(address, value, block).values())
        return of_each(value, str(address))

    def _of_other(self, address: Address, text: str, block: Written) -> dict[str, Instance]:
        """The instances of `for_each: section.name`: those of that block."""
        path: YamlPath = ("for_each",)
        if "${" in text:
            why, fix = (
                "the instances must be known before anything runs",
                "write the keys, or a variable that holds them",
            )
            raise Refused(path, "spec.bad-expression", f"{address}.for_each cannot wait for an output", why, fix)
        try:
            named = Address.parse(text)
        except ValueError:
            why, fix = f"the text {shown(text)} is not an address", "write a list, for example `for_each: [eu, us]`"
            raise Refused(
                path, "spec.bad-address", f"{address}.for_each takes a list, a block or `section.name`", why, fix
            ) from None
        other = block.scope.find(named, self._written)
        if other is None:
            known = [str(item) for item in self._written]
            fix = self._suggest(text, known)
            raise Refused(
                path, "spec.dangling-reference", f"there is no {shown(text)}", f"{address}.for_each names it", fix
            )
        if other in self._busy:
            chain = " → ".join(map(str, [*self._busy[self._busy.index(other) :], other]))
            summary = f"the instances of these blocks wait for each other: {chain}"
            raise Refused(
                path, "spec.cycle", summary, "none of them says which there are", "write the keys in one of them"
            )
        if not _has_instances(self._written[other].values):
            why, fix = "it is one resource", "add `for_each` there, or write the keys here"
            raise Refused(path, "spec.bad-value", f"{other} has no instances", why, fix)
        found = self._expanded(other)
        if found is None:
            raise Broken
        return found

    def _refuse(self, address: Address, problem: Problem) -> None:
        self._refused.add(address)
        self._report.problem(self._written[address].place, (), problem, address)


def _has_instances(values: Json) -> bool:
    return isinstance(values, dict) and ("for_each" in values or "matrix" in values)
