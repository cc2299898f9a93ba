"""The texts that a project is read from: the files of its folder, or texts that were kept, such as those in a saved plan."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from mlctl.spec import files
from mlctl.spec.source import Source
from mlctl.types.diagnostic import Diagnostic, MlctlError


class Reader:
    """Reads and parses each file once, and keeps its text: what a later load of the very same project needs.

    With `texts`, by path relative to the folder, nothing is read from the disk and nothing else exists.
    """

    def __init__(self, root: Path, texts: Mapping[str, str] | None = None) -> None:
        self.root = root
        self.texts: dict[str, str] = {}
        self._given = texts
        self._sources: dict[str, Source] = {}
        self._peeked: dict[str, str] = {}

    def exists(self, path: Path) -> bool:
        """Whether there is such a file, of whatever sort."""
        return path.exists() if self._given is None else self.name(path) in self._given

    def source(self, path: Path) -> Source:
        """A parsed file. Never raises for what stands in it: see `Source.diagnostics`."""
        name = self.name(path)
        if name not in self._sources:
            self._sources[name] = self._parsed(path, name)
        if self._sources[name].text or name in (self._given or ()):
            self.texts[name] = self._sources[name].text
        return self._sources[name]

    def peek(self, path: Path) -> str:
        """The text of a file, to see whether parsing it is worth while; empty when it cannot be read."""
        name = self.name(path)
        if name not in self._peeked:
            try:
                given = self._given
                self._peeked[name] = files.read_text(path, displayed(path)) if given is None else given[name]
            except MlctlError:  # parsing it says why
                return ""
        return self._peeked[name]

    def text(self, path: Path) -> str:
        """The text of a file that is not YAML of ours. Raises MlctlError."""
        name = self.name(path)
        found = files.read_text(path, displayed(path)) if self._given is None else self._given[name]
        self.texts[name] = found
        return found

    def matches(self, pattern: str) -> list[Path]:
        """The files that a pattern names, by name. Raises what `Path.glob` raises for one that is none."""
        if self._given is None:
            return sorted(path for path in self.root.glob(pattern) if path.is_file())
        expression = _expression(pattern)
        return sorted(self.root / name for name in self._given if expression.fullmatch(name))

    def inside(self, path: Path) -> bool:
        """Whether a file lies in the project's folder, links followed."""
        return self._given is not None or path.resolve().is_relative_to(self.root.resolve())

    def name(self, path: Path) -> str:
        """A file's path relative to the folder, with `/`."""
        return Path(os.path.relpath(os.path.abspath(path), os.path.abspath(self.root))).as_posix()

    def _parsed(self, path: Path, name: str) -> Source:
        shown = displayed(path)
        if name in self._peeked:
            return Source.of_text(shown, self._peeked[name])
        if self._given is None:
            return Source.parse(path, shown)
        if name in self._given:
            return Source.of_text(shown, self._given[name])
        source = Source(shown, "")
        source.diagnostics.append(
            Diagnostic("spec.unreadable", f"cannot read {shown}", "it is not among the texts that were kept", "")
        )
        return source


def _expression(pattern: str) -> re.Pattern[str]:
    """The pattern of `Path.glob` as an expression over relative paths: `*` stays in a folder, `**/` goes through any number."""
    parts = []
    for part in Path(pattern).parts:
        if part == "**":
            parts.append("(?:[^/]+/)*")
        else:
            words = re.split(r"(\*|\?|\[[^]]*\])", part)
            special = {"*": "[^/]*", "?": "[^/]"}
            parts.append(
                "".join(special.get(word, word if word.startswith("[") else re.escape(word)) for word in words)
            )
            parts.append("/")
    return re.compile("".join(parts).removesuffix("/").replace("[!", "[^"))


def displayed(path: Path) -> str:
    """A path as messages name it: relative to where the command runs, when it lies below."""
    absolute = os.path.abspath(path)
    relative = os.path.relpath(absolute)
    return absolute if relative.startswith("..") else relative


def no_project(path: Path) -> MlctlError:
    """The error of a folder without a project file."""
    return MlctlError.of(
        "spec.no-project",
        f"there is no project file at {displayed(path)}",
        "a project is described by this file",
        "run `mlctl init` to begin a project, or name its folder with `--project`",
    )
