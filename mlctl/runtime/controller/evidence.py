"""What was measured of each variant since the controller began to look, whatever was killed meanwhile.

Errors and requests come from the gateway, which also sees servers that are gone; times, tokens and scores come from the files
that the middleware of each server process writes. Both count from nothing when their process begins anew, so the totals
are the controller's own: what is new since the last look is added to them, and they are kept with the state of the rollout.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.rollout.counting import counts_from, counts_to
from mlctl.rollout.evidence import Counts
from mlctl.types.jobs.rollout import STATS_FOLDER

_NOTHING = Counts()


class Meter:
    """Totals of each variant, and how far the sources had counted when they were last looked at."""

    def __init__(self, stored: Mapping[str, Any] | None = None) -> None:
        given = stored or {}
        self._totals = {name: counts_from(item) for name, item in given.get("totals", {}).items()}
        self._gateway = {name: (int(item[0]), int(item[1])) for name, item in given.get("gateway", {}).items()}
        self._sources = {name: counts_from(item) for name, item in given.get("sources", {}).items()}
        self._files: dict[Path, tuple[int, dict[str, Any]]] = {}

    def to_json(self) -> dict[str, Any]:
        """What a controller that begins anew goes on from."""
        return {
            "totals": {name: counts_to(item) for name, item in self._totals.items()},
            "gateway": {name: list(item) for name, item in self._gateway.items()},
            "sources": {name: counts_to(item) for name, item in self._sources.items()},
        }

    def total(self, variant: str) -> Counts:
        """All that was measured of a variant so far."""
        return self._totals.get(variant, _NOTHING)

    def gateway(self, counted: Mapping[str, tuple[int, int]]) -> None:
        """Add what the gateway has counted since: requests and errors by variant."""
        for variant, (requests, errors) in counted.items():
            was = self._gateway.get(variant, (0, 0))
            began_anew = requests < was[0] or errors < was[1]
            before = (0, 0) if began_anew else was
            total = self.total(variant)
            self._totals[variant] = replace(
                total, requests=total.requests + requests - before[0], errors=total.errors + errors - before[1]
            )
            self._gateway[variant] = (requests, errors)

    def servers(self, name: str, variant: str | None, folder: Path) -> None:
        """Add what the server processes of a release have measured of a variant since, or of copies (None), to a total.

        How many requests there were, and how many failed, the gateway has counted.
        """
        for path in _files(folder):
            known = f"{folder.name}/{path.name}/{name}"
            found = _part(self._read(path), variant)
            if found is None:
                continue
            new = found.minus(self._sources.get(known, _NOTHING))
            self._totals[name] = plus(self.total(name), replace(new, requests=0, errors=0))
            self._sources[known] = found

    def forget(self, folder: Path) -> None:
        """The folder of a release is gone."""
        self._sources = {name: item for name, item in self._sources.items() if not name.startswith(f"{folder.name}/")}
        self._files = {path: item for path, item in self._files.items() if path.parent.parent != folder}

    def compared(self, variant: str, compared: int, mismatches: int) -> None:
        """Add what the comparison of a shadow's answers has found since."""
        total = self.total(variant)
        self._totals[variant] = replace(
            total, compared=total.compared + compared, mismatches=total.mismatches + mismatches
        )

    def _read(self, path: Path) -> dict[str, Any]:
        """A file of the middleware, read again only when it has changed."""
        try:
            mark = path.stat().st_mtime_ns
        except OSError:
            return {}
        kept = self._files.get(path)
        if kept is None or kept[0] != mark:
            kept = (mark, atomic.read_object(path) or {})
            self._files[path] = kept
        return kept[1]


def plus(one: Counts, two: Counts) -> Counts:
    """Both together."""
    if len(one.scores) == len(two.scores):
        scores: tuple[int, ...] = tuple(a + b for a, b in zip(one.scores, two.scores, strict=True))
    else:
        scores = one.scores or two.scores
    return Counts(
        one.requests + two.requests,
        one.errors + two.errors,
        one.seconds.plus(two.seconds),
        one.ttft.plus(two.ttft),
        one.tokens + two.tokens,
        one.decoding_seconds + two.decoding_seconds,
        one.compared + two.compared,
        one.mismatches + two.mismatches,
        scores,
        one.answers + two.answers,
        one.empty + two.empty,
        one.cut + two.cut,
    )


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(Path(entry.path) for entry in os.scandir(folder / STATS_FOLDER) if entry.name.endswith(".json"))
    except OSError:
        return []


def _part(stored: Mapping[str, Any], variant: str | None) -> Counts | None:
    """What a file says of a variant, or of copies; None when it says nothing of it, or cannot be read."""
    try:
        return counts_from(stored["shadow"] if variant is None else stored["variants"][variant])
    except (KeyError, TypeError, ValueError):
        return None
