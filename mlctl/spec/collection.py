"""From the project file and what it includes to blocks by address: which file says what, before anything is typed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from mlctl.spec.blocks import Written, blocks_of, is_name
from mlctl.spec.environments import Environment
from mlctl.spec.modules import SECTION
from mlctl.spec.overlay import idle_removals, laid_over
from mlctl.spec.places import Layered, Located, Place
from mlctl.spec.reading import Reader, displayed, no_project
from mlctl.spec.report import Report
from mlctl.spec.scope import Scope
from mlctl.spec.source import Source
from mlctl.spec.suggest import Suggestions, found, shown
from mlctl.spec.validation import YamlPath
from mlctl.types.address import Address
from mlctl.types.diagnostic import Diagnostic, SourceRange
from mlctl.types.value import Json

_MAIN_ONLY = (
    "project", "owner", "include", "variables", "environments", "state", "policies", "moved", "import"
)  # fmt: skip
_IN_OVERLAY = ("owner", "policies", "import")  # besides sections and settings


class Collected:
    """The files of a project, sorted: `blocks` by address, `settings` by name, `heading` for the rest of the main file."""

    def __init__(
        self,
        reader: Reader,
        file: Path,
        sections: Collection[str],
        settings: Collection[str],
        report: Report,
        suggest: Suggestions,
    ) -> None:
        self.reader = reader
        self.file = file
        self.report = report
        self.suggest = suggest
        self.sources: list[Source] = []
        self.files: list[Path] = []
        self.blocks: dict[Address, Written] = {}
        self.settings: dict[str, tuple[Located, Json]] = {}
        self.heading: dict[str, tuple[Located, Json]] = {}
        self.removed: set[Address] = set()  # by the overlay
        self._tops: list[Mapping[str, Json]] = []
        self._known = frozenset({*sections, SECTION}), frozenset(settings)

    @property
    def main(self) -> Source:
        """The project file itself."""
        return self.sources[0]

    def said(self, name: str) -> Json:
        """What the project file itself says under a name that only it may have."""
        return self.heading[name][1] if name in self.heading else None

    def read(self) -> None:
        """Read all files. Problems go into the report; raises MlctlError only when there is no project file."""
        if not self.reader.exists(self.file):
            raise no_project(self.file)
        top = self._top(self._read(self.file), empty="write `project: NAME`, or run `mlctl init` in an empty folder")
        self.heading = {name: (Place(self.main, (name,)), top[name]) for name in _MAIN_ONLY if name in top}
        for path in self._included(self.main, top):
            self._read(path)
        self._tops = [top, *(self._top(source) for source in self.sources[1:])]

    def collect(self, scope: Scope) -> None:
        """Sort what was read into blocks and settings; `scope` is what the names in all of them mean."""
        for source, top in zip(self.sources, self._tops, strict=True):
            self._collect(source, top, scope)

    def lay(self, environment: Environment, scope: Scope) -> None:
        """Lay an environment over what was collected."""
        if environment.place is None:
            return
        sections, settings = self._known
        for name, value in environment.overlay.items():
            place = environment.place.within((name,))
            if name in sections:
                self._lay_section(name, value, place, scope)
            elif name in settings:
                self._lay_setting(self.settings, name, value, place)
            elif name in _IN_OVERLAY:
                self._lay_setting(self.heading, name, value, place)
            elif name in _MAIN_ONLY:
                why, fix = "it is the same in all environments", "move it to the top level"
                summary = f"`{name}` cannot stand in an environment"
                self.report.at(place, (), "spec.misplaced", summary, why, fix, key=True)
            else:
                known = sorted({*sections, *settings, *_IN_OVERLAY, "variables", "state", "default", "description"})
                why, fix = "no installed kind of resource has this section", self.suggest(name, known)
                self.report.at(place, (), "spec.unknown-section", f"unknown section {shown(name)}", why, fix, key=True)

    def _lay_section(self, section: str, value: Json, place: Place, scope: Scope) -> None:
        if value is None:
            value = {address.name: None for address in self.blocks if address.section == section}
            if not value:
                self._idle(place, (), section)
        if not isinstance(value, dict):
            blocks_of_nothing = f"`{section}` takes a block of resources by name"
            self.report.at(place, (), "spec.wrong-type", blocks_of_nothing, f"{found(value)} stands there", "")
            return
        for name, over in value.items():
            address, inner = Address(section, name), place.within((name,))
            base = self.blocks.get(address)
            if base is None and over is not None:
                for new, block in blocks_of(place.source, section, {name: over}, self.report) if is_name(name) else ():
                    self.blocks[new] = Written(laid_over(None, block), inner, scope)
                    self._idle_parts(None, block, inner)
            elif base is None:
                known = [item.name for item in self.blocks if item.section == section]
                self._idle(inner, (), name, known)
            elif over is None:
                del self.blocks[address]
                self.removed.add(address)
            else:
                self._idle_parts(base.values, over, inner)
                layered = Layered(base.place, base.values, inner, over)
                self.blocks[address] = Written(laid_over(base.values, over), layered, scope)

    def _lay_setting(self, target: dict[str, tuple[Located, Json]], name: str, over: Json, place: Place) -> None:
        if name not in target:
            if over is None:
                self._idle(place, (), name)
            else:
                self._idle_parts(None, over, place)
                target[name] = place, laid_over(None, over)
        elif over is None:
            del target[name]
        else:
            base, values = target[name]
            self._idle_parts(values, over, place)
            target[name] = Layered(base, values, place, over), laid_over(values, over)

    def _idle_parts(self, base: Json, over: Json, place: Place) -> None:
        for path in idle_removals(base, over):
            self._idle(place, path, str(path[-1]))

    def _idle(self, place: Place, path: YamlPath, name: str, known: Collection[str] = ()) -> None:
        why = "`null` takes away what the project says without this environment, and it says nothing of it"
        fix = self.suggest(name, known) or "correct the name, or remove the line"
        summary = f"there is no {shown(name)} to take away"
        self.report.at(place, path, "spec.no-effect", summary, why, fix, key=True)

    def _read(self, path: Path) -> Source:
        source = self.reader.source(path)
        self.sources.append(source)
        self.files.append(path)
        self.report.diagnostics += source.diagnostics
        return source

    def _top(self, source: Source, empty: str = "") -> dict[str, Json]:
        """The top level of a file. `empty` says how to fill a file that must not be empty."""
        if isinstance(source.value, dict):
            return source.value
        if source.value is not None:
            summary, why = f"{source.name} holds {found(source.value)}", "a project file is a block of sections"
            where = source.where(())
            fix = "begin with `project: NAME`"
            self.report.diagnostics.append(Diagnostic("spec.wrong-type", summary, why, fix, where=where))
        elif empty and not source.diagnostics:
            summary, why = f"{source.name} is empty", "nothing but comments and space is in it"
            where = SourceRange(source.name, 1, 1, 2)
            self.report.diagnostics.append(Diagnostic("spec.empty", summary, why, empty, where=where))
        return {}

    def _included(self, main: Source, top: Mapping[str, Json]) -> list[Path]:
        """The files that `include` names, in the order of its patterns, then by name; each once, the main file never."""
        patterns = top.get("include")
        if patterns is None:
            return []
        if not isinstance(patterns, list) or not all(isinstance(item, str) for item in patterns):
            why, fix = f"{found(patterns)} stands there", "write, for example, `include: [more/*.yaml]`"
            self.report.at(main, ("include",), "spec.wrong-type", "`include` takes a list of texts", why, fix)
            return []
        result: dict[Path, Path] = {self.file.resolve(): self.file}
        for index, pattern in enumerate(patterns):
            for path in self._matches(main, ("include", index), pattern):
                result.setdefault(path.resolve(), path)
        return list(result.values())[1:]

    def _matches(self, main: Source, where: YamlPath, pattern: str) -> list[Path]:
        if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
            why, fix = "a project reads only below the folder of its project file", "move the files into the project"
            summary = f"the pattern {shown(pattern)} leaves the project folder"
            self.report.at(main, where, "spec.path-outside", summary, why, fix)
            return []
        try:
            matches = self.reader.matches(pattern)
        except (ValueError, IndexError, NotImplementedError, OSError) as error:
            summary = f"{shown(pattern)} is not a pattern of files"
            self.report.at(main, where, "spec.bad-value", summary, str(error), "write, for example, `more/*.yaml`")
            return []
        outside = [path for path in matches if not self.reader.inside(path)]
        if outside:
            why, fix = "a project reads only below the folder of its project file", "put the file itself there"
            summary = f"{displayed(outside[0])} is a link that leaves the project folder"
            self.report.at(main, where, "spec.path-outside", summary, why, fix)
        elif not matches:
            why, fix = f"it was looked for below {displayed(self.reader.root)}", "correct the pattern or remove it"
            self.report.at(main, where, "spec.missing-file", f"no file matches {shown(pattern)}", why, fix)
        return [path for path in matches if path not in outside]

    def _collect(self, source: Source, top: Mapping[str, Json], scope: Scope) -> None:
        """Sort the top level of one file into settings and blocks."""
        sections, settings = self._known
        for key, value in top.items():
            if key in sections:
                self._section(source, key, value, scope)
            elif key in settings:
                if key in self.settings:
                    other = self.settings[key][0].where_key(())
                    why, fix = "only one of the two could count", "remove one of them"
                    summary = f"`{key}` is already set at {other}"
                    self.report.at(source, (key,), "spec.duplicate-key", summary, why, fix, key=True)
                else:
                    self.settings[key] = Place(source, (key,)), value
            elif key not in _MAIN_ONLY:
                known = sorted({*sections, *settings, *_MAIN_ONLY})
                why, fix = "no installed kind of resource has this section", self.suggest(key, known)
                self.report.at(
                    source, (key,), "spec.unknown-section", f"unknown section {shown(key)}", why, fix, key=True
                )
            elif source is not self.main:
                why, fix = "it is set once, for the whole project", f"move it to {self.main.name}"
                summary = f"`{key}` cannot stand in an included file"
                self.report.at(source, (key,), "spec.misplaced", summary, why, fix, key=True)

    def _section(self, source: Source, section: str, value: Json, scope: Scope) -> None:
        for address, block in blocks_of(source, section, value, self.report):
            if address in self.blocks:
                other = self.blocks[address].place.where_key(())
                why, fix = "an address names one resource", "rename or remove one of the two"
                summary, path = f"{address} is already defined at {other}", (section, address.name)
                self.report.at(source, path, "spec.duplicate-address", summary, why, fix, key=True)
            else:
                self.blocks[address] = Written(block, Place(source, (section, address.name)), scope)
