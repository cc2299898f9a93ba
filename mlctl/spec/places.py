"""Where the fields of a block stand, when the block was put together: from a file, with an overlay, out of a module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from mlctl.spec.source import Source
from mlctl.types.diagnostic import SourceRange
from mlctl.types.value import Json

YamlPath = tuple[str | int, ...]


class Located(Protocol):
    """Something whose parts have places in files: a `Source`, or a block of one."""

    def where(self, path: YamlPath) -> SourceRange | None:
        """The place of a value, or of the nearest one around it."""
        ...

    def where_key(self, path: YamlPath) -> SourceRange | None:
        """The place of a field's name."""
        ...


class Place:
    """A block at a path of a file. Paths that are asked for are relative to the block."""

    __slots__ = ("path", "source")

    def __init__(self, source: Source, path: YamlPath) -> None:
        self.source = source
        self.path = path

    def where(self, path: YamlPath) -> SourceRange | None:
        """The place of a value of the block."""
        return self.source.where((*self.path, *path))

    def where_key(self, path: YamlPath) -> SourceRange | None:
        """The place of a field's name; of the block's own for an empty path."""
        return self.source.where_key((*self.path, *path))

    def within(self, path: YamlPath) -> Place:
        """A part of the block."""
        return Place(self.source, (*self.path, *path))


class Part:
    """A part of something located."""

    __slots__ = ("path", "whole")

    def __init__(self, whole: Located, path: YamlPath) -> None:
        self.whole = whole
        self.path = path

    def where(self, path: YamlPath) -> SourceRange | None:
        """The place of a value of the part."""
        return self.whole.where((*self.path, *path))

    def where_key(self, path: YamlPath) -> SourceRange | None:
        """The place of a field's name; of the part's own for an empty path."""
        return self.whole.where_key((*self.path, *path))


class Layered:
    """A block with another laid over it: what the upper one says is found there, everything else below."""

    __slots__ = ("below", "lower", "over", "upper")

    def __init__(self, lower: Located, below: Json, upper: Place, over: Json) -> None:
        self.lower = lower
        self.below = below  # the values of the lower block alone, and of the upper one
        self.upper = upper
        self.over = over

    def where(self, path: YamlPath) -> SourceRange | None:
        """The place of a value, in the layer that decides it."""
        return self._layer(path).where(path)

    def where_key(self, path: YamlPath) -> SourceRange | None:
        """The place of a field's name, in the layer that decides it."""
        return self._layer(path).where_key(path)

    def _layer(self, path: YamlPath) -> Located:
        over, below = self.over, self.below
        for part in path:
            if not isinstance(over, Mapping):
                return self.upper  # a list or text stands for all that was below it
            if part not in over:
                return self.lower
            over = over[part]
            below = below.get(part) if isinstance(below, Mapping) else None
        return self.lower if isinstance(over, Mapping) and isinstance(below, Mapping) else self.upper
