"""Datasets for people: a profile, its versions, what differs between two, and the verdicts of checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from mlctl.providers.local.profile import Remark
from mlctl.types.state import Gate
from mlctl.types.units import counted
from mlctl.views.human.style import Paint, figure
from mlctl.views.human.table import table
from mlctl.views.human.text import safe

MOST_COLUMNS = 200  # of a table on a screen
_SPARKS = "▁▂▃▄▅▆▇█"
_CELLS = 15
_MOST_REMARKS = 20
_WATCH, _ACT = 0.1, 0.25  # the usual marks on a population stability index


def profile(shown: Mapping[str, Any], name: str, found: Sequence[Remark], *, color: bool) -> str:
    """The columns of a dataset, one a line, and what is worth a look."""
    paint = Paint(color)
    listed = shown["columns"][:MOST_COLUMNS]
    head = (
        f"{paint(safe(name), 'bold')}: {counted(shown['rows'], 'row')}, {counted(len(shown['columns']), 'column')}\n\n"
    )
    heads = ["COLUMN", "TYPE", "NULLS", "DISTINCT", "MIN", "25 %", "50 %", "75 %", "MAX", "DISTRIBUTION"]
    text = head + table(heads, [_column(item, shown["rows"]) for item in listed], right=heads[2:9], color=color)
    if len(listed) < len(shown["columns"]):
        text += f"... and {len(shown['columns']) - len(listed):,} columns more: see them with --json or --html\n"
    if found:
        text += "\nWorth a look:\n"
        text += "".join(
            f"  {paint('!', 'yellow')} {safe(item.column)}: {safe(item.text)}\n" for item in found[:_MOST_REMARKS]
        )
    if len(found) > _MOST_REMARKS:
        text += f"  ... and {len(found) - _MOST_REMARKS:,} more\n"
    return text


def _column(column: Mapping[str, Any], rows: int) -> list[str]:
    levels = column["quantiles"] or {}
    ends = [column["min"], *(levels.get(level) for level in ("0.25", "0.5", "0.75")), column["max"]]
    return [
        column["name"],
        short_type(column["type"]),
        share(column["nulls"], rows),
        distinct(column["approx_distinct"]),
        *moments(ends),
        sparkline(column, rows),
    ]


def short_type(found: str) -> str:
    """A type in the width of a table."""
    found = found.replace("timestamp with time zone", "timestamptz")
    return found if len(found) <= 14 else f"{found[:13]}…"


def share(count: int, of: int) -> str:
    """A count as a percentage that shows even one of a million; nothing for none."""
    if not count or not of:
        return ""
    percent = 100 * count / of
    return f"{percent:.1f} %" if percent >= 0.1 else "<0.1 %"


def distinct(count: int) -> str:
    """Distinct values: counted to 1-2 %, so that large ones are not written as if they were exact."""
    return f"{count:,}" if count < 1000 else f"~{float(f'{count:.2g}'):,.0f}"


def moments(values: Sequence[float | str | None]) -> list[str]:
    """The figures of one column in one form; of times only as much as tells them apart."""
    dates = _days([item for item in values if isinstance(item, str)])
    return ["" if item is None else _time(item, dates) if isinstance(item, str) else figure(item) for item in values]


def _days(texts: Sequence[str]) -> bool:
    """Whether times are told apart by their dates."""
    try:
        days = [date.fromisoformat(item[:10]) for item in texts]
    except ValueError:  # a year that no calendar of Python's holds
        return False
    return bool(days) and (any("T" not in item for item in texts) or max(days) - min(days) > timedelta(days=3))


def _time(text: str, dates: bool) -> str:
    return text[:10] if dates else text[:19].replace("T", " ")


def sparkline(column: Mapping[str, Any], rows: int) -> str:
    """The histogram of a number or time in a few characters; of a category its most frequent values."""
    shown = column["histogram"]
    if shown is not None:
        counts = _joined(shown["counts"])
        highest = max(counts) or 1
        return "".join(" " if not count else _SPARKS[min(7, count * 8 // (highest + 1))] for count in counts)
    total = rows - column["nulls"]
    return ", ".join(f"{_cut(item['value'])} {100 * item['count'] / max(total, 1):.0f} %" for item in column["top"][:2])


def _joined(counts: Sequence[int]) -> list[int]:
    """Neighbouring bars put together, so that the line stays short."""
    group = -(-len(counts) // _CELLS)
    return [sum(counts[start : start + group]) for start in range(0, len(counts), group)]


def _cut(text: str) -> str:
    return text if len(text) <= 8 else f"{text[:7]}…"


def versions(rows: Sequence[Mapping[str, Any]], *, color: bool) -> str:
    """What the state holds of a dataset, the current version first."""
    heads = ["VERSION", "STATUS", "MADE", "ROWS", "COLUMNS", "DIGEST", "DATA", "RUNS", "USED BY"]
    cells = [
        [
            item["identity"],
            item["status"],
            item["at"],
            "" if item["rows"] is None else f"{item['rows']:,}",
            "" if item["columns"] is None else f"{item['columns']:,}",
            item["digest"][:8],
            "there" if item["held"] else "replaced",
            _listed(item["runs"]),
            _listed(item["used_by"]),
        ]
        for item in rows
    ]
    return table(heads, cells, right=("ROWS", "COLUMNS"), color=color)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" +{len(names) - 3}" if len(names) > 3 else "")


def verdicts(address: str, rules: Sequence[Mapping[str, Any]], gate: Gate | None, *, color: bool) -> str:
    """Every rule of a data check with what came of it."""
    paint = Paint(color)
    text = f"{paint(safe(address), 'bold')}: {safe(gate.summary) if gate is not None else 'no verdict'}"
    if gate is not None and gate.approval is not None:
        text += f"; approved by {safe(gate.approval.who)}: {safe(gate.approval.why)}"
    return text + "\n" + "".join(_rule(item, paint) for item in rules)


def _rule(item: Mapping[str, Any], paint: Paint) -> str:
    where = safe(" " + ", ".join(item.get("columns", ()))) if item.get("columns") else ""
    checked = item.get("checked_rows")
    judged = f" ({counted(checked, 'row')})" if item["passed"] and checked is not None else ""
    if item["passed"]:
        return f"  {paint('✓', 'green')} {safe(item['rule'])}{where}{judged}\n"
    warns = item.get("severity") == "warn"
    mark = paint("!", "yellow") if warns else paint("✗", "red")
    text = f"  {mark} {safe(item['rule'])}{where}{' [warn]' if warns else ''}: {safe(item.get('reason', ''))}\n"
    for row in item.get("sample", ()):
        text += "      " + safe("  ".join(f"{name}={value}" for name, value in row.items())) + "\n"
    return text


def difference(found: Mapping[str, Any], *, color: bool) -> str:
    """What differs between two versions of a dataset, or between two datasets."""
    paint = Paint(color)
    a, b = found["a"], found["b"]
    lines = [f"A  {safe(a['key'])}  {a['at']}", f"B  {safe(b['key'])}  {b['at']}", ""]
    lines.append(f"rows  {a['rows']:,} -> {b['rows']:,}{_growth(a['rows'], b['rows'])}")
    lines += [f"{paint('+', 'green')} {safe(item['name'])} {item['type']}" for item in found["added"]]
    lines += [f"{paint('-', 'red')} {safe(item['name'])} {item['type']}" for item in found["removed"]]
    lines += [f"{paint('~', 'yellow')} {safe(item['name'])} {item['a']} -> {item['b']}" for item in found["retyped"]]
    if not (found["added"] or found["removed"] or found["retyped"]):
        lines.append("schema  the same columns and types")
    keys = found["keys"]
    if keys is not None:
        by = safe(", ".join(keys["key"]))
        lines.append(f"keys  {keys['added']:,} added, {keys['removed']:,} removed, {keys['changed']:,} changed, {keys['same']:,} the same, by {by}")  # fmt: skip
        if keys["duplicated"]:
            lines.append(f"      {keys['duplicated']:,} keys stand in more than one row of a side")
    lines += [safe(note) for note in found["notes"]]
    moved = [item for item in found["columns"] if item["changed"]]
    if not moved:
        same = "All columns have the same figures." if found["columns"] else "No column stands in both."
        return "\n".join([*lines, "", same]) + "\n"
    heads = ["COLUMN", "NULLS", "MIN", "MEAN", "MAX", "PSI", "JS"]
    shown = sorted(moved, key=lambda item: -(item["psi"] or 0.0))[:MOST_COLUMNS]
    text = "\n".join(lines) + "\n\n" + table(heads, [_moved(item, a["rows"], b["rows"]) for item in shown], right=("PSI", "JS"), color=color)  # fmt: skip
    rest = len(found["columns"]) - len(moved)
    if len(shown) < len(moved):
        text += f"... and {len(moved) - len(shown):,} columns more: see them with --json or --html\n"
    return text + (f"{rest:,} more column{'s have' if rest > 1 else ' has'} the same figures.\n" if rest else "")


def _growth(before: int, after: int) -> str:
    return f" ({100 * (after - before) / before:+.1f} %)" if before and after != before else ""


def _moved(item: Mapping[str, Any], rows_a: int, rows_b: int) -> list[str]:
    a, b = item["a"], item["b"]
    nulls = share(a["nulls"], rows_a) or "0", share(b["nulls"], rows_b) or "0"
    found = moments([side[name] for name in ("min", "mean", "max") for side in (a, b)])
    figures = [_arrow(*found[start : start + 2]) for start in (0, 2, 4)]
    psi = "" if item["psi"] is None else f"{item['psi']:.3f}{_mark(item['psi'])}"
    shannon = "" if item["jensen_shannon"] is None else f"{item['jensen_shannon']:.3f}"
    return [item["name"], _arrow(*nulls), *figures, psi, shannon]


def _mark(index: float) -> str:
    return " !!" if index >= _ACT else " ! " if index >= _WATCH else "   "


def _arrow(before: str, after: str) -> str:
    return before if before == after else f"{before} -> {after}"
