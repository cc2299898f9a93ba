"""The problems of a load, each with its place, and all of them at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from mlctl.spec.places import Located
from mlctl.spec.source import Source
from mlctl.spec.validation import Problem, YamlPath
from mlctl.types.address import Address
from mlctl.types.diagnostic import Diagnostic, Severity

_LIMIT = 1_000  # more than anyone reads, and each takes time to place
_KEYS = re.compile(r"\[\"[^\"]*\"\]")


class Report:
    """Collects diagnostics; a bad project is told about as a whole."""

    def __init__(self) -> None:
        self.diagnostics: list[Diagnostic] = []
        self.left_out = 0

    @property
    def failed(self) -> bool:
        """Whether anything is an error."""
        return any(item.severity is Severity.ERROR for item in self.diagnostics)

    def at(
        self,
        place: Located,
        path: YamlPath,
        code: str,
        summary: str,
        why: str,
        fix: str,
        *,
        key: bool = False,
        address: Address | None = None,
    ) -> None:
        """Add a problem of a value, or with `key` of its name."""
        if len(self.diagnostics) >= _LIMIT:
            self.left_out += 1
            return
        where = place.where_key(path) if key else place.where(path)
        self.diagnostics.append(
            Diagnostic(code, summary, why, fix, where=where, address="" if address is None else str(address), path=path)
        )

    def problem(self, place: Located, path: YamlPath, problem: Problem, address: Address | None) -> None:
        """Add a problem of a block that stands at `path`."""
        key = problem.at_key or not problem.path
        self.at(
            place,
            (*path, *problem.path),
            problem.code,
            problem.summary,
            problem.why,
            problem.fix,
            key=key,
            address=address,
        )

    def sorted(self, sources: Sequence[Source]) -> list[Diagnostic]:
        """Everything in the order of the files and their lines, each problem once."""
        rank = {source.name: index for index, source in enumerate(sources)}

        def place(item: Diagnostic) -> tuple[int, int, int]:
            return (
                (-1, 0, 0)
                if item.where is None
                else (rank.get(item.where.file, len(rank)), item.where.line, item.where.column)
            )

        found = sorted(told_once(self.diagnostics), key=place)
        if self.left_out:
            summary = f"{self.left_out:,} more problems are not shown"
            found.append(
                Diagnostic("spec.more-problems", summary, "these are the first ones", "correct them and run again")
            )
        return found


def told_once(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Each problem once, also when every instance of a block, or every use of a module, has it at the same place."""
    first: dict[object, Diagnostic] = {}
    for item in diagnostics:
        if item.where is None or not item.address:
            first.setdefault(item, item)
            continue
        bare = _KEYS.sub("", item.address)
        mark = (
            item.code,
            item.where,
            item.severity,
            *(_named(text, item.address, "") for text in (item.summary, item.why)),
        )
        known = first.setdefault(mark, item)
        if known.address != item.address and _KEYS.sub("", known.address) == bare:
            about = known.address
            first[mark] = replace(
                known, address=bare, summary=_named(known.summary, about, bare), why=_named(known.why, about, bare)
            )
    return list(first.values())


def _named(text: str, address: str, name: str) -> str:
    return text.replace(address, name)
