"""Modules: a file of blocks that is used several times, each time with other inputs and under another name."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from mlctl.provider import Block
from mlctl.spec.blocks import blocks_of
from mlctl.spec.places import Located, Place
from mlctl.spec.reading import Reader
from mlctl.spec.report import Report
from mlctl.spec.scope import Broken, Scope, Unresolved
from mlctl.spec.source import Source
from mlctl.spec.suggest import Suggestions, found, shown
from mlctl.spec.validation import YamlPath, validate
from mlctl.spec.variables import Input, declarations, misfit
from mlctl.types.address import Address
from mlctl.types.value import Json

SECTION = "modules"
DEPTH_LIMIT = 5
_OWN = ("module", "description", "inputs", "outputs")


class Call(Block):
    """One use of a module."""

    source: str
    inputs: dict[str, Any] = {}  # noqa: RUF012  pydantic copies defaults
    description: str = ""


class ModuleFile:
    """A module as its file says it."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.inputs: dict[str, Input] = {}
        self.outputs: dict[str, Json] = {}
        self.blocks: dict[Address, Json] = {}
        self.readable = True  # whether uses of it can be judged at all


class Modules:
    """The module files of a project, each read once."""

    def __init__(
        self,
        reader: Reader,
        sections: Collection[str],
        settings: Collection[str],
        report: Report,
        suggest: Suggestions,
    ) -> None:
        self.reader = reader
        self.sections = frozenset(sections)
        self.settings = frozenset(settings)
        self.report = report
        self.suggest = suggest
        self.sources: list[Source] = []
        self._files: dict[str, ModuleFile] = {}

    def file(self, call: Call, place: Located) -> ModuleFile | None:
        """The file that a use names; None, with a report, when it cannot be read."""
        path = self.reader.root / call.source
        outside = Path(call.source).is_absolute() or not self.reader.name(path).strip(".") or "://" in call.source
        if outside or self.reader.name(path).startswith("..") or not self.reader.inside(path):
            why = "a module is a file of the project, so that the same commit is always the same project"
            self.report.at(place, ("source",), "spec.path-outside", f"{shown(call.source)} leaves the project folder", why,
                           "copy the file into the project, for example below `modules/`")  # fmt: skip
            return None
        if not self.reader.exists(path):
            why = f"it was looked for below {self.reader.root}"
            summary = f"there is no module file {shown(call.source)}"
            self.report.at(place, ("source",), "spec.missing-file", summary, why, "correct the path")
            return None
        name = self.reader.name(path)
        if name not in self._files:
            self._files[name] = self._read(path)
        return self._files[name] if self._files[name].readable else None

    def _read(self, path: Path) -> ModuleFile:
        source = self.reader.source(path)
        made = ModuleFile(source)
        self.sources.append(source)
        self.report.diagnostics += source.diagnostics
        top = source.value
        made.readable = not source.diagnostics and isinstance(top, dict)
        if not isinstance(top, dict):
            if not source.diagnostics:
                why = f"it holds {found(top)}"
                self.report.at(
                    source, (), "spec.wrong-type", f"{source.name} is no module", why, "begin with `module: NAME`"
                )
            return made
        if not isinstance(top.get("module"), str):
            why, fix = "a module file begins with its name, so that it is not taken for a project", "add `module: NAME`"
            self.report.at(
                source, ("module",), "spec.missing-field", f"{source.name} needs the field `module`", why, fix, key=True
            )
        made.inputs = declarations(
            top.get("inputs"), Place(source, ("inputs",)), Input, "inputs", self.report, self.suggest
        )
        given = top.get("inputs")
        made.readable &= given is None or (isinstance(given, dict) and given.keys() == made.inputs.keys())
        made.outputs = self._outputs(source, top.get("outputs"))
        for key, value in top.items():
            if key in self.sections or key == SECTION:
                made.blocks.update(blocks_of(source, key, value, self.report))
            elif key not in _OWN:
                self._refuse(source, key)
        return made

    def _outputs(self, source: Source, block: Json) -> dict[str, Json]:
        if block is None or isinstance(block, dict):
            return block or {}
        why, fix = f"{found(block)} stands there", "write `outputs: {NAME: ${section.name.output}}`"
        self.report.at(source, ("outputs",), "spec.wrong-type", "`outputs` takes a block of names", why, fix)
        return {}

    def _refuse(self, source: Source, key: str) -> None:
        if key in self.settings or key in ("project", "owner", "include", "variables", "environments", "state"):
            why, fix = "it is said once, for the whole project", "move it to the project file"
            self.report.at(source, (key,), "spec.misplaced", f"`{key}` cannot stand in a module", why, fix, key=True)
            return
        known = sorted({*self.sections, SECTION, *_OWN})
        why = "no installed kind of resource has this section"
        self.report.at(
            source,
            (key,),
            "spec.unknown-section",
            f"unknown section {shown(key)}",
            why,
            self.suggest(key, known),
            key=True,
        )


class Use:
    """One use of a module: its inputs, as its caller means them, and its outputs, as it means them itself."""

    def __init__(
        self, name: str, file: ModuleFile, given: Mapping[str, Json], place: Located, caller: Scope, report: Report
    ) -> None:
        self.name = name
        self.file = file
        self.scope = Scope(caller.world, (f"{name}.", *caller.prefixes), self)
        self._given = given
        self._place = place
        self._caller = caller
        self._report = report
        self._known: dict[tuple[str, str], Json] = {}
        self._busy: set[tuple[str, str]] = set()
        self._broken: set[tuple[str, str]] = set()

    def input(self, name: str) -> Json:
        """The value of an input, with the names of the caller's resources in full. Raises Unresolved, Broken."""
        declared = self.file.inputs.get(name)
        if declared is None:
            fix = self.scope.world.suggest(name, list(self.file.inputs))
            raise Unresolved(
                "spec.unknown-input", f"there is no input {shown(name)}", "the module declares none of this name", fix
            )
        if name not in self._given:
            if declared.required:
                raise Broken  # `check` says so
            return declared.default
        path: YamlPath = ("inputs", name)
        value = self._once(("input", name), self._caller, self._given[name], self._place, path)
        later = declared.type == "string" and isinstance(value, str) and "${" in value
        problem = None if later else misfit(declared, value, path, f"the input {shown(name)} of {shown(self.name)}")
        if problem is not None:
            self._report.problem(self._place, (), problem, None)
            raise Broken
        return value

    def output(self, name: str) -> Json:
        """What an output stands for, with names in full. Raises Unresolved, Broken."""
        if name not in self.file.outputs:
            fix = self.scope.world.suggest(name, list(self.file.outputs)) or "add it to the module's `outputs`"
            why = f"{shown(self.name)} does not give one of this name"
            raise Unresolved("spec.unknown-output", f"there is no output {shown(name)}", why, fix)
        place = Place(self.file.source, ())
        return self._once(("output", name), self.scope, self.file.outputs[name], place, ("outputs", name))

    def outputs(self) -> dict[str, Json]:
        """What all outputs stand for. Raises Unresolved, Broken."""
        return {name: self.output(name) for name in self.file.outputs}

    def check(self) -> None:
        """Report what is wrong with the use itself, whether or not anything needs it."""
        for name in self._given:
            if name not in self.file.inputs:
                why = "the module declares none of this name"
                fix = self.scope.world.suggest(name, list(self.file.inputs))
                path: YamlPath = ("inputs", name)
                summary = f"{shown(self.name)} has no input {shown(name)}"
                self._report.at(self._place, path, "spec.unknown-input", summary, why, fix, key=True)
        for name, declared in self.file.inputs.items():
            if declared.required and name not in self._given:
                why, fix = "it has no default", f"add `inputs: {{{name}: …}}`"
                summary = f"the module {shown(self.name)} needs the input {shown(name)}"
                self._report.at(self._place, (), "spec.missing-value", summary, why, fix, key=True)
        for ask, names in ((self.input, list(self.file.inputs)), (self.output, list(self.file.outputs))):
            for name in names:
                try:
                    ask(name)
                except Broken:
                    continue  # it was told, or will be

    def _once(self, mark: tuple[str, str], scope: Scope, value: Json, place: Located, path: YamlPath) -> Json:
        """A value in its scope; each is looked at once, and its problems are told once."""
        if mark in self._busy:
            why = "one would need the value of the other first"
            raise Unresolved(
                "spec.cycle", "inputs and outputs of modules wait for each other", why, "remove one of them"
            )
        if mark not in self._known and mark not in self._broken:
            problems: list[tuple[YamlPath, Unresolved]] = []
            self._busy.add(mark)
            try:
                self._known[mark] = scope.resolve(value, lambda at, problem: problems.append((at, problem)))
            finally:
                self._busy.discard(mark)
            for at, problem in problems:
                self._report.at(place, (*path, *at), *problem.told)
                self._broken.add(mark)
        if mark in self._broken:
            raise Broken
        return self._known[mark]


def read_call(values: Json, place: Located, label: str, report: Report, suggest: Suggestions) -> Call | None:
    """A typed use of a module; None, with a report, when it is wrong."""
    if not isinstance(values, dict):
        why, fix = f"{found(values)} stands there", "write `{source: modules/NAME.yaml, inputs: {...}}`"
        report.at(place, (), "spec.wrong-type", f"{label} takes a block", why, fix)
        return None
    made, problems = validate(Call, values, json.dumps(values), label, suggest)
    for problem in problems:
        report.problem(place, (), problem, None)
    return made
