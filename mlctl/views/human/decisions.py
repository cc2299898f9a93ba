"""Decisions of the ledger as text: a line each, or one with all that it was made of."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from mlctl.types.decision import Decision
from mlctl.views.human.table import table
from mlctl.views.human.text import safe

_LONGEST = 200  # characters of a value; the whole of it is in the file


def listed(decisions: Sequence[Decision], *, more: int = 0) -> str:
    """A table, in the order given."""
    if not decisions:
        return "no decisions are kept\n"
    heads = ("id", "kind", "address", "verdict", "rule")
    text = table(
        heads, [(item.id, item.kind, item.address, item.verdict.replace("_", " "), item.rule) for item in decisions]
    )
    return text + (f"and {more:,} older ones: `--limit`\n" if more else "")


def shown(decision: Decision, folder: Path, led_to: Sequence[Decision], root: Path) -> str:
    """One decision. Values that are long are cut; the file that holds them is named."""
    facts = [
        ("verdict", decision.verdict.replace("_", " ")), ("rule", decision.rule), ("kind", decision.kind), ("address", decision.address),
        ("at", decision.at), ("by", decision.by), ("code", decision.code),
        ("seed", "" if decision.seed is None else str(decision.seed)), ("cause", decision.cause),
        ("led to", ", ".join(f"{item.id} ({item.kind}: {item.verdict})" for item in led_to)),
    ]  # fmt: skip
    lines = [folder.name, *(f"  {name:<8} {safe(value)}" for name, value in facts if value)]
    for title, values in (("inputs", decision.inputs), ("outputs", decision.outputs)):
        if values:
            lines.append(f"  {title}")
            lines += [
                f"    {safe(name)}: {safe(_cut(json.dumps(value, ensure_ascii=False)))}"
                for name, value in values.items()
            ]
    lines.append(f"  kept in  {os.path.relpath(folder, root)}")
    return "\n".join(lines) + "\n"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
