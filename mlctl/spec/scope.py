"""What the names in a block's expressions mean, before anything runs: variables, inputs, instances, and the names of others.

Each text is read once, from left to right, so that what an expression stands for is never taken for an expression of its own
surroundings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mlctl.spec.expressions import EXPRESSION
from mlctl.spec.instances import Instance, several, written
from mlctl.spec.suggest import Suggestions, found, joined, shown
from mlctl.spec.values import Values
from mlctl.types.address import KEY, Address
from mlctl.types.value import Json

YamlPath = tuple[str | int, ...]
_NAME, _INDEX = "[A-Za-z_][A-Za-z0-9_-]*", r"[^\[\]]*"
_PART = re.compile(rf"({_NAME})(?:\[({_INDEX})\])?")
_NAMES = re.compile(rf"{_NAME}(?:\[{_INDEX}\])?(?:\.{_NAME}(?:\[{_INDEX}\])?)*")
_STATIC = frozenset({"var", "env", "input", "each", "matrix"})
_QUOTED = re.compile(rf"\"({KEY.pattern})\"")

Parts = list[tuple[str, str | None]]  # the names between the dots, each with what stands in brackets behind it


class Unresolved(Exception):
    """An expression that means nothing here: code, summary, why and fix."""

    def __init__(self, code: str, summary: str, why: str, fix: str) -> None:
        super().__init__(summary)
        self.told = code, summary, why, fix


class Broken(Exception):
    """An expression that means something which is wrong elsewhere, and was told there."""


class Module(Protocol):
    """A use of a module, as the expressions inside and outside of it see it."""

    def input(self, name: str) -> Json:
        """The value of an input. Raises Unresolved."""
        ...

    def output(self, name: str) -> Json:
        """What an output stands for. Raises Unresolved."""
        ...

    def outputs(self) -> dict[str, Json]:
        """What all outputs stand for. Raises Unresolved."""
        ...


@dataclass
class World:
    """Everything that a name can mean, over the whole project."""

    values: Values
    suggest: Suggestions
    addresses: Collection[Address] = ()  # of all resources, and of the blocks that have instances
    instances: Mapping[Address, Mapping[str, Instance]] = field(default_factory=dict)
    modules: Mapping[str, Module] = field(default_factory=dict)  # by full name: `eu`, `region["eu"]`, `eu.inner`


@dataclass(frozen=True, slots=True)
class Scope:
    """The surroundings of one block. `prefix` are the modules that it is in, outermost first, ending in a dot."""

    world: World
    prefixes: tuple[str, ...] = ("",)  # where names are looked for: the innermost module first, the project last
    module: Module | None = None
    each: Instance | None = None

    def find(self, address: Address, known: Collection[Address] | None = None) -> Address | None:
        """The resource that a name means here: in the module first, then in what is around it."""
        for prefix in self.prefixes:
            full = Address(address.section, prefix + address.name)
            if full in (self.world.addresses if known is None else known):
                return full
        return None

    def resolve(self, value: Json, refuse: Callable[[YamlPath, Unresolved], None], path: YamlPath = ()) -> Json:
        """The same tree with what is known put in, and the names of others in full. Problems are handed to `refuse`."""
        if isinstance(value, str):
            if "${" not in value:
                return value
            try:
                return self.text(value)
            except Unresolved as problem:
                refuse(path, problem)
                return value
        if isinstance(value, Mapping):
            for name in value:
                if "${" in name:
                    why, fix = "only values are put in", "write the name itself"
                    refuse(
                        (*path, name), Unresolved("spec.bad-expression", "a field's name holds an expression", why, fix)
                    )
            return {name: self.resolve(item, refuse, (*path, name)) for name, item in value.items()}
        if isinstance(value, list):
            return [self.resolve(item, refuse, (*path, index)) for index, item in enumerate(value)]
        return value

    def text(self, text: str) -> Json:
        """One text; an expression that stands alone keeps its type. Raises Unresolved."""
        alone = EXPRESSION.fullmatch(text)
        if alone is not None:
            return self.value(alone[1])
        pieces: list[str] = []
        end = 0
        for match in EXPRESSION.finditer(text):
            value = self.value(match[1])
            if isinstance(value, list | Mapping):
                summary = f"{shown('${' + match[1] + '}')} cannot be a part of a text"
                raise Unresolved("spec.bad-expression", summary, f"it is {found(value)}", "let it stand alone")
            pieces += [text[end : match.start()], written(value)]
            end = match.end()
        return "".join(pieces) + text[end:]

    def value(self, inner: str) -> Json:
        """What the inside of an expression stands for; what is known only after apply stays an expression. Raises Unresolved."""
        parts = _parts(inner.strip())
        if parts is None:
            return f"${{{inner}}}"  # the graph says what is wrong with it
        head = parts[0][0]
        if head in _STATIC:
            return self._static(parts, inner)
        if head == "module":
            return self._output_of_module(parts, inner)
        if len(parts) < 3 or parts[0][1] is not None or parts[-1][1] is not None:
            return f"${{{inner}}}"
        return self._output(parts, inner)

    def _static(self, parts: Parts, inner: str) -> Json:
        (head, _), *rest = parts
        if not rest or any(index is not None for _, index in parts):
            fix = f"write, for example, `${{{head}.{'key' if head == 'each' else 'name'}}}`"
            raise Unresolved("spec.bad-expression", f"{_shown(inner)} cannot be resolved", "it names nothing", fix)
        (name, _), *fields = rest
        value: Json = {
            "var": self._variable, "env": self._environ, "input": self._input, "each": self._each, "matrix": self._matrix
        }[head](name, inner)  # fmt: skip
        for part, _ in fields:
            if not isinstance(value, Mapping) or part not in value:
                why = f"{found(value)} stands there" if not isinstance(value, Mapping) else "there is no such field"
                fix = self.world.suggest(part, list(value)) if isinstance(value, Mapping) else ""
                raise Unresolved("spec.bad-expression", f"{_shown(inner)} has no {shown(part)}", why, fix)
            value = value[part]
        return value

    def _variable(self, name: str, inner: str) -> Json:
        values = self.world.values
        if self.module is not None:
            why, fix = "a module sees only what it is given", f"make it an input: `inputs: {{{name}: ${{var.{name}}}}}`"
            raise Unresolved("spec.bad-expression", f"{_shown(inner)} cannot stand in a module", why, fix)
        if name in values.broken:
            raise Broken(f"`{name}` is wrong")
        if name not in values.known:
            fix = (
                self.world.suggest(name, list(values.variables))
                or f"declare it: `variables: {{{name}: {{type: string}}}}`"
            )
            raise Unresolved("spec.unknown-variable", f"there is no variable {shown(name)}", "nothing declares it", fix)
        return values.known[name]

    def _environ(self, name: str, inner: str) -> Json:
        value = self.world.values.environ(name)
        if value is None:
            why = "it is read from the environment of the process"
            raise Unresolved(
                "spec.missing-value", f"{shown(name)} is not set", why, f"set {name} where the command runs"
            )
        return value

    def _input(self, name: str, inner: str) -> Json:
        if self.module is None:
            why, fix = "inputs are given to modules", "write `${var.NAME}` for a variable of the project"
            raise Unresolved("spec.bad-expression", f"{_shown(inner)} stands outside of a module", why, fix)
        return self.module.input(name)

    def _each(self, name: str, inner: str) -> Json:
        if self.each is None:
            why, fix = "this block is written for one resource", "add `for_each: [...]` to the block"
            raise Unresolved("spec.bad-expression", f"{_shown(inner)} needs `for_each` or `matrix`", why, fix)
        if name not in ("key", "value"):
            why, fix = "an instance has `each.key` and `each.value`", "write one of the two"
            raise Unresolved("spec.bad-expression", f"{_shown(inner)} cannot be resolved", why, fix)
        return self.each.key if name == "key" else self.each.value

    def _matrix(self, name: str, inner: str) -> Json:
        if self.each is None or not self.each.matrix:
            why, fix = "this block has no matrix", "add `matrix: {...}` to the block"
            raise Unresolved("spec.bad-expression", f"{_shown(inner)} needs `matrix`", why, fix)
        if name not in self.each.matrix:
            why = f"it has {joined(list(self.each.matrix), 'and')}"
            raise Unresolved(
                "spec.bad-expression",
                f"the matrix has no {shown(name)}",
                why,
                self.world.suggest(name, list(self.each.matrix)),
            )
        return self.each.matrix[name]

    def _output(self, parts: Parts, inner: str) -> Json:
        """An output of a resource, by its full name; with `[*]` those of all instances by key."""
        (section, _), *names, (output, _) = parts
        if names[-1][1] == "*":
            block = Address(section, self._joined([*names[:-1], (names[-1][0], None)], inner))
            full = self.find(block, self.world.instances)
            if full is None:
                raise self._not_expanded(str(block), inner)
            return {key: f"${{{full.instance(key)}.{output}}}" for key in self.world.instances[full]}
        named = Address(section, self._joined(names, inner))
        return f"${{{self.find(named) or named}.{output}}}"

    def _output_of_module(self, parts: Parts, inner: str) -> Json:
        """What an output of a module stands for; with `[*]` of all its instances by key."""
        _, *names, (output, index) = parts
        if not names or index is not None:
            why, fix = "it names no output", "write `${module.name.output}`"
            raise Unresolved("spec.bad-expression", f"{_shown(inner)} cannot be resolved", why, fix)
        if names[-1][1] == "*":
            name = self._joined([*names[:-1], (names[-1][0], None)], inner)
            for prefix in self.prefixes:
                if (block := Address("modules", prefix + name)) in self.world.instances:
                    keys = self.world.instances[block]
                    return {key: self.world.modules[block.instance(key).name].output(output) for key in keys}
            raise self._not_expanded(f"module.{name}", inner)
        name = self._joined(names, inner)
        for prefix in self.prefixes:
            if prefix + name in self.world.modules:
                return self.world.modules[prefix + name].output(output)
        for prefix in self.prefixes:
            if (block := Address("modules", prefix + name)) in self.world.instances:
                raise Unresolved(
                    "spec.needs-key",
                    f"{shown(name)} has several instances",
                    *several(name, self.world.instances[block]),
                )
        fix = self.world.suggest(name, [known for known in self.world.modules])
        raise Unresolved("spec.unknown-module", f"there is no module {shown(name)}", f"{_shown(inner)} names it", fix)

    def _not_expanded(self, name: str, inner: str) -> Unresolved:
        why = f"{shown(name)} has no `for_each` and no `matrix`, or is not there at all"
        return Unresolved(
            "spec.bad-expression", f"{_shown(inner)} asks for all instances", why, "write it without `[*]`"
        )

    def _joined(self, parts: Parts, inner: str) -> str:
        """The name that parts make, with what stands in brackets as a key."""
        return ".".join(name if index is None else f'{name}["{self._key(index, inner)}"]' for name, index in parts)

    def _key(self, index: str, inner: str) -> str:
        quoted = _QUOTED.fullmatch(index.strip())
        if quoted is not None:
            return quoted[1]
        inside = _parts(index.strip())
        if inside is None or inside[0][0] not in _STATIC:
            why = f"{shown('[' + index + ']')} is no key"
            raise Unresolved(
                "spec.bad-expression",
                f"{_shown(inner)} cannot be resolved",
                why,
                'write `["KEY"]`, `[each.key]` or `[*]`',
            )
        key = written(self._static(inside, inner))
        if not KEY.fullmatch(key):
            why = f"{shown(key)} cannot be the key of an instance"
            raise Unresolved("spec.bad-expression", f"{_shown(inner)} cannot be resolved", why, "")
        return key


def _parts(text: str) -> Parts | None:
    """`training.churn["a"].model` as its names; None for anything else."""
    if not _NAMES.fullmatch(text):
        return None
    return [(match[1], match[2]) for match in _PART.finditer(text)]


def _shown(inner: str) -> str:
    return shown(f"${{{inner}}}")
