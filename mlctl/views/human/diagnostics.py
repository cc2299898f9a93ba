"""Diagnostics as a person reads them: code and summary, the line with a mark under the place, why, and how to fix it."""

from __future__ import annotations

from collections.abc import Iterable

from mlctl.types.diagnostic import Diagnostic, Severity, SourceRange
from mlctl.views.human.style import Paint
from mlctl.views.human.text import safe, safe_lines, width

_STYLES = {Severity.ERROR: "red", Severity.WARNING: "yellow"}
_TAB = "    "
_NARROWEST = 40


def render(diagnostics: Iterable[Diagnostic], *, color: bool = False, width: int = 100) -> str:
    """All diagnostics, a blank line between them, each line ended. `width` limits only the lines quoted from files."""
    return "\n".join(_one(item, Paint(color), max(width, _NARROWEST)) for item in diagnostics)


def _one(item: Diagnostic, paint: Paint, columns: int) -> str:
    head = paint(f"{item.severity.value}[{safe(item.code)}]", "bold", _STYLES[item.severity])
    lines = [f"{head}: {paint(safe(item.summary), 'bold')}"]
    if item.where is not None:
        lines += _snippet(item.where, _STYLES[item.severity], paint, columns)
    elif item.address and item.address not in item.summary:
        lines.append(f"  --> {safe(item.address)}")
    if item.why:
        lines.append(f"why: {_indented(item.why)}")
    if item.fix:
        lines.append(f"{paint('fix:', 'cyan')} {_indented(item.fix)}")
    return "\n".join(lines) + "\n"


def _snippet(where: SourceRange, style: str, paint: Paint, columns: int) -> list[str]:
    """The place, the line, and carets under the part that is meant."""
    lines = [f"  --> {safe(str(where))}"]
    if not where.text.strip():
        return lines
    number = str(where.line)
    text, offset, length = _fitted(where, columns - len(number) - 3)
    lines.append(f"{paint(f'{number} |', 'dim')} {text}".rstrip())
    lines.append(f"{paint(' ' * len(number) + ' |', 'dim')} {' ' * offset}{paint('^' * length, 'bold', style)}")
    return lines


def _fitted(where: SourceRange, columns: int) -> tuple[str, int, int]:
    """The quoted line as it is printed, and where its marked part begins and how long it is, in columns of the terminal."""
    start = min(where.column - 1, len(where.text))
    end = max(start, min(where.end_column - 1, len(where.text)))
    # cut in characters first, so that a line of megabytes costs nothing; escapes make it longer, never shorter
    first = max(0, start - columns // 2) if end > columns else 0
    before, marked, after = (
        _printed(part)
        for part in (
            where.text[first:start],
            where.text[start : min(end, start + columns)],
            where.text[end : end + columns],
        )
    )
    left = "…" if first else ""
    before = left + before
    room = columns - width(before)
    if room < columns // 3:
        before = "…" + _tail(before, columns // 3)
        room = columns - width(before)
    text = before + _head(marked + after, room)
    return text, width(before), max(1, min(width(marked), room))


def _printed(text: str) -> str:
    return safe(text.replace("\t", _TAB))


def _head(text: str, columns: int) -> str:
    """The beginning of a text that fits."""
    if width(text) <= columns:
        return text
    taken = 0
    for index, char in enumerate(text):
        taken += width(char)
        if taken > columns - 1:
            return text[:index] + "…"
    return text


def _tail(text: str, columns: int) -> str:
    """The end of a text that fits."""
    while width(text) > columns:
        text = text[max(1, (width(text) - columns) // 2) :]
    return text


def _indented(text: str) -> str:
    """Text of several lines, such as the end of a log, under its label."""
    return safe_lines(text.rstrip()).replace("\n", "\n     ")
