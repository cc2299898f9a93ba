"""What an audit found, and how mature a project is, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mlctl.audit.finding import Finding
from mlctl.audit.maturity.levels import Reached
from mlctl.audit.maturity.score import SECTIONS, Score
from mlctl.audit.report import Audit
from mlctl.types.diagnostic import Severity
from mlctl.views.human.style import Paint

_MARKS = {Severity.ERROR: ("✗", "red"), Severity.WARNING: ("!", "yellow")}


def audit_text(made: Audit, places: Mapping[Finding, str], *, color: bool = False) -> str:
    """Each anti-pattern with what was found; `places` says where in the project's files a finding is."""
    return "\n".join(_audit(made, places, Paint(color))) + "\n"


def _audit(made: Audit, places: Mapping[Finding, str], paint: Paint) -> Iterator[str]:
    for pattern in made.patterns:
        found = made.of(pattern)
        if not found:
            yield f"{paint('✓', 'green')} {pattern.id:<3} {pattern.name}"
            continue
        mark, style = ("✓", "green") if made.clean(pattern) else _MARKS[_worst(found)]
        yield f"{paint(mark, style)} {pattern.id:<3} {paint(pattern.name, 'bold')}: {pattern.harm}"
        for item in found:
            yield from _finding(item, places.get(item, ""), paint)
    waivers = [item for item in made.findings if item.pattern not in made.patterns]
    if waivers:
        mark, style = _MARKS[_worst(waivers)]
        yield f"{paint(mark, style)} {'':<3} {paint('waivers', 'bold')}: {waivers[0].pattern.harm}"
    for item in waivers:
        yield from _finding(item, places.get(item, ""), paint)
    clean = sum(made.clean(pattern) for pattern in made.patterns)
    waived = sum(bool(item.waived) for item in made.findings)
    counts = [f"{len(made.errors)} error{_s(made.errors)}", f"{len(made.warnings)} warning{_s(made.warnings)}"]
    yield ""
    yield f"{clean} of {len(made.patterns)} anti-patterns are absent: {', '.join(counts)}" + (
        f", {waived} waived" if waived else ""
    )


def _finding(item: Finding, place: str, paint: Paint) -> Iterator[str]:
    mark, style = _MARKS[item.severity]
    if item.waived:
        mark, style = "-", "dim"
    yield f"    {paint(mark, style)} {item.says}" + (f"  {paint(place, 'dim')}" if place else "")
    yield from (f"        {paint(line, 'dim')}" for line in item.evidence)
    yield f"        {item.waived}" if item.waived else f"        {paint('fix:', 'cyan')} {item.fix}"


def maturity_text(scales: Sequence[Reached], score: Score, *, color: bool = False, full: bool = False) -> str:
    """The levels, what keeps the project from the next ones, and the ML Test Score."""
    return "\n".join(_maturity(scales, score, Paint(color), full)) + "\n"


def _maturity(scales: Sequence[Reached], score: Score, paint: Paint, full: bool) -> Iterator[str]:
    for item in scales:
        yield f"{item.scale:<10} level {item.level.number} of {item.of}: {paint(item.level.name, 'bold')}"
        if item.next is not None and item.failing is not None and item.seen is not None:
            yield f"           level {item.next.number} ({item.next.name}) lacks: {item.failing.says}"
            yield f"           {paint(item.seen.evidence, 'dim')}"
            yield f"           {paint('fix:', 'cyan')} {item.failing.command}"
    sums = "  ".join(f"{name} {value:g}" for name, value in score.sections.items())
    yield f"ML Test Score {paint(f'{score.final:g}', 'bold')} ({score.band}): {sums}"
    if full:
        for section in SECTIONS:
            yield ""
            yield f"{section}:"
            for point in (item for item in score.points if item.section == section):
                mark, style = ("✓", "green") if point.points == 1 else ("½", "yellow") if point.points else ("✗", "red")
                yield f"  {paint(mark, style)} {point.check.name:<18} {point.check.says}"
                yield f"      {paint(point.evidence, 'dim')}"
                if not point.points:
                    yield f"      {paint('fix:', 'cyan')} {point.check.command}"
    else:
        weakest = min(score.sections, key=lambda name: score.sections[name])
        lacking = [item.check.name for item in score.points if item.section == weakest and item.points < 1]
        yield f"  the smallest section counts: {weakest} lacks {', '.join(lacking)}; all of it: mlctl maturity --full"


def _worst(found: Sequence[Finding]) -> Severity:
    open_ones = [item.severity for item in found if not item.waived]
    return Severity.ERROR if Severity.ERROR in open_ones else Severity.WARNING


def _s(items: Sequence[object]) -> str:
    return "" if len(items) == 1 else "s"
