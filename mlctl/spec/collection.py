"""From the project file and what it includes to values by address: which file says what, before anything is typed."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from mlctl.spec.report import Report
from mlctl.spec.source import Source
from mlctl.spec.suggest import Suggestions, found, shown
from mlctl.spec.validation import YamlPath
from mlctl.types.address import NAME, Address
from mlctl.types.diagnostic import Diagnostic, MlctlError, SourceRange
from mlctl.types.value import Json

NAME_LIMIT = 100  # names become names of folders
NAME_RULE = f"a name begins with a letter and goes on with letters, digits, `_` and `-`, {NAME_LIMIT} at most"
_MAIN_ONLY = ("project", "owner", "include")


class Collected:
    """The files of a project, sorted: `values` by address, `settings` by name, `heading` for the rest of the main file."""

    def __init__(
        self,
        root: Path,
        file: Path,
        sections: Collection[str],
        settings: Collection[str],
        report: Report,
        suggest: Suggestions,
    ) -> None:
        self.root = root
        self.file = file
        self.report = report
        self.suggest = suggest
        self.sources: list[Source] = []
        self.files: list[Path] = []
        self.homes: dict[Address, Source] = {}  # where each address is written
        self.values: dict[Address, Json] = {}
        self.settings: dict[str, tuple[Source, Json]] = {}
        self.heading: dict[str, Json] = {}
        self._known = frozenset(sections), frozenset(settings)

    @property
    def main(self) -> Source:
        """The project file itself."""
        return self.sources[0]

    def read(self) -> None:
        """Read all files. Problems go into the report; raises MlctlError only when there is no project file."""
        if not self.file.exists():
            fix = "run `mlctl init` to begin a project, or name its folder with `--project`"
            raise MlctlError.of(
                "spec.no-project",
                f"there is no project file at {displayed(self.file)}",
                "a project is described by this file",
                fix,
            )
        top = self._top(self._read(self.file), empty="write `project: NAME`, or run `mlctl init` in an empty folder")
        self.heading = {name: top[name] for name in _MAIN_ONLY if name in top}
        for path in self._included(self.main, top):
            self._read(path)
        for source in self.sources:
            self._collect(source, top if source is self.main else self._top(source), main=source is self.main)

    def _read(self, path: Path) -> Source:
        source = Source.parse(path, displayed(path))
        self.sources.append(source)
        self.files.append(path)
        self.report.diagnostics += source.diagnostics
        return source

    def _top(self, source: Source, empty: str = "") -> dict[str, Json]:
        """The top level of a file. `empty` says how to fill a file that must not be empty."""
        if isinstance(source.value, dict):
            return source.value
        if source.value is not None:
            where = source.where(())
            self.report.diagnostics.append(
                Diagnostic(
                    "spec.wrong-type",
                    f"{source.name} holds {found(source.value)}",
                    "a project file is a block of sections",
                    "begin with `project: NAME`",
                    where=where,
                )
            )
        elif empty and not source.diagnostics:
            self.report.diagnostics.append(
                Diagnostic(
                    "spec.empty",
                    f"{source.name} is empty",
                    "nothing but comments and space is in it",
                    empty,
                    where=SourceRange(source.name, 1, 1, 2),
                )
            )
        return {}

    def _included(self, main: Source, top: Mapping[str, Json]) -> list[Path]:
        """The files that `include` names, in the order of its patterns, then by name; each once, the main file never."""
        patterns = top.get("include")
        if patterns is None:
            return []
        if not isinstance(patterns, list) or not all(isinstance(item, str) for item in patterns):
            self.report.at(
                main,
                ("include",),
                "spec.wrong-type",
                "`include` takes a list of texts",
                f"{found(patterns)} stands there",
                "write, for example, `include: [more/*.yaml]`",
            )
            return []
        result: dict[Path, Path] = {self.file.resolve(): self.file}
        for index, pattern in enumerate(patterns):
            for path in self._matches(main, ("include", index), pattern):
                result.setdefault(path.resolve(), path)
        return list(result.values())[1:]

    def _matches(self, main: Source, where: YamlPath, pattern: str) -> list[Path]:
        if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
            self.report.at(
                main,
                where,
                "spec.path-outside",
                f"the pattern {shown(pattern)} leaves the project folder",
                "a project reads only below the folder of its project file",
                "move the files into the project",
            )
            return []
        try:
            matches = sorted(path for path in self.root.glob(pattern) if path.is_file())
        except (ValueError, IndexError, NotImplementedError, OSError) as error:
            self.report.at(
                main,
                where,
                "spec.bad-value",
                f"{shown(pattern)} is not a pattern of files",
                str(error),
                "write, for example, `more/*.yaml`",
            )
            return []
        outside = [path for path in matches if not path.resolve().is_relative_to(self.root.resolve())]
        if outside:
            self.report.at(
                main,
                where,
                "spec.path-outside",
                f"{displayed(outside[0])} is a link that leaves the project folder",
                "a project reads only below the folder of its project file",
                "put the file itself there",
            )
        elif not matches:
            self.report.at(
                main,
                where,
                "spec.missing-file",
                f"no file matches {shown(pattern)}",
                f"it was looked for below {displayed(self.root)}",
                "correct the pattern or remove it",
            )
        return [path for path in matches if path not in outside]

    def _collect(self, source: Source, top: Mapping[str, Json], *, main: bool) -> None:
        """Sort the top level of one file into settings and resources."""
        sections, settings = self._known
        for key, value in top.items():
            if key in sections:
                self._section(source, key, value)
            elif key in settings:
                if key in self.settings:
                    other = self.settings[key][0].where_key((key,))
                    self.report.at(
                        source,
                        (key,),
                        "spec.duplicate-key",
                        f"`{key}` is already set at {other}",
                        "only one of the two could count",
                        "remove one of them",
                        key=True,
                    )
                else:
                    self.settings[key] = source, value
            elif key not in _MAIN_ONLY:
                known = sorted({*sections, *settings, *_MAIN_ONLY})
                self.report.at(
                    source,
                    (key,),
                    "spec.unknown-section",
                    f"unknown section {shown(key)}",
                    "no installed kind of resource has this section",
                    self.suggest(key, known),
                    key=True,
                )
            elif not main:
                self.report.at(
                    source,
                    (key,),
                    "spec.misplaced",
                    f"`{key}` cannot stand in an included file",
                    "it is set once, for the whole project",
                    f"move it to {self.sources[0].name}",
                    key=True,
                )

    def _section(self, source: Source, section: str, value: Json) -> None:
        if value is None:  # a section whose resources are all commented out
            return
        if not isinstance(value, dict):
            self.report.at(
                source,
                (section,),
                "spec.wrong-type",
                f"`{section}` takes a block of resources by name",
                f"{found(value)} stands there",
                f"write `{section}: {{NAME: …}}`",
            )
            return
        for name, block in value.items():
            address = Address(section, name)
            path = (section, name)
            if not is_name(name):
                self.report.at(
                    source,
                    path,
                    "spec.bad-name",
                    f"{shown(name)} cannot be the name of a resource",
                    NAME_RULE,
                    "rename it",
                    key=True,
                )
            elif address in self.homes:
                other = self.homes[address].where_key(path)
                self.report.at(
                    source,
                    path,
                    "spec.duplicate-address",
                    f"{address} is already defined at {other}",
                    "an address names one resource",
                    "rename or remove one of the two",
                    key=True,
                )
            else:
                self.homes[address] = source
                self.values[address] = block


def is_name(text: str) -> bool:
    """Whether a text can name a project or a resource."""
    return len(text) <= NAME_LIMIT and NAME.fullmatch(text) is not None


def displayed(path: Path) -> str:
    """A path as messages name it: relative to where the command runs, when it lies below."""
    absolute = os.path.abspath(path)
    relative = os.path.relpath(absolute)
    return absolute if relative.startswith("..") else relative
