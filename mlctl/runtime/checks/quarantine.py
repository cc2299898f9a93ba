"""The offending rows of a dataset in a file of their own, each once, with the names of all the rules that it breaks."""

# ruff: noqa: S608 (names go through quote(), texts through literal())

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlctl.runtime.checks import sql
from mlctl.runtime.checks.checker_rule import Scene
from mlctl.runtime.checks.verdict import Verdict
from mlctl.runtime.profile.database import literal, quote
from mlctl.types.jobs.checks import Quarantine

RULES_COLUMN = "mlctl_rules"


def beside(path: str) -> Path:
    """Where the file is written before it is swapped in."""
    return Path(f"{path}.part")


def write(scene: Scene, verdicts: Sequence[Verdict], asked: Quarantine) -> dict[str, Any] | None:
    """Write all rows that break a rule about rows, also where so many may; None when there is none.

    The result holds the path, the rows in the file, and how many there were when `max_rows` has cut them off.
    """
    path = Path(asked.path)
    path.unlink(missing_ok=True)
    broken = {label: item.where for label, item in labelled(verdicts).items() if item.failing_rows and item.where}
    if not broken:
        return None
    query = offenders(scene, broken)
    rows = scene.executor.write(query + _first(scene, asked.max_rows), beside(asked.path))
    if not rows:  # the rows of a query of one's own need not be rows of the dataset
        beside(asked.path).unlink(missing_ok=True)
        return None
    os.replace(beside(asked.path), path)
    written = {"path": asked.path, "rows": rows}
    if rows == asked.max_rows:
        written["offending"] = int(scene.executor.one(f"SELECT count(*) AS n FROM ({query}) AS offenders")["n"])
    return written


def labelled(verdicts: Sequence[Verdict]) -> Mapping[str, Verdict]:
    """The verdicts by the names of their rules; with its number where two rules have the same name and columns."""
    times = Counter(item.label() for item in verdicts)
    return {
        item.label() if times[item.label()] == 1 else f"{item.label()} (rule {number})": item
        for number, item in enumerate(verdicts, start=1)
    }


def offenders(scene: Scene, broken: Mapping[str, str]) -> str:
    """The rows that meet any of the conditions, given by the name of a rule, with those names as one text."""
    flags = {quote(f"mlctl rule {number}"): name for number, name in enumerate(broken, start=1)}
    table = sql.rows_of(scene.table, " ".join(broken.values()))
    tests = ", ".join(f"({where}) AS {flag}" for flag, where in zip(flags, broken.values(), strict=True))
    names = " || ".join(f"CASE WHEN {flag} THEN {literal(f'; {name}')} ELSE '' END" for flag, name in flags.items())
    columns = ", ".join(quote(name) for name in scene.columns)
    return (
        f"SELECT {columns}, substr({names}, 3) AS {RULES_COLUMN}"
        f" FROM (SELECT *, {tests} FROM {table}) AS flagged WHERE {sql.any_of(flags)}"
    )


def _first(scene: Scene, count: int | None) -> str:
    """Where to cut the rows off: by the key, so that the same rows stay whatever the engine."""
    if count is None:
        return ""
    order = ", ".join(f"{quote(name)} NULLS LAST" for name in scene.key)
    return (f" ORDER BY {order}" if order else "") + f" LIMIT {count}"
