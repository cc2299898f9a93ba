"""A plan as a comment on a merge request: what is gravest first, and never longer than a comment may be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from mlctl.types.change import Action, Change, FieldClass, Plan, Reason
from mlctl.types.diagnostic import Diagnostic, Severity
from mlctl.views.human import estimates
from mlctl.views.human import plan as human
from mlctl.views.human.style import Paint
from mlctl.views.human.text import safe
from mlctl.views.markdown.text import clipped, code, fenced, plain

LIMIT = 60_000  # characters; code hosts refuse comments from 65,536 on
SMALLEST = 2_000  # below this there is no room for the headline and the words on what was left out
_ROWS_SHARE = 0.6  # of what may be written: the rest is for details
_NOTES_SHARE = 0.2
_LINE = 200
_TITLE = 120
_HEAD = ["| | resource | action | why |", "|---|---|---|---|"]
# Gravest first among changes of the same kind: what serves people, then what is dear to compute.
_SECTIONS = ("deployments", "training", "evaluations", "experiments", "monitors", "feature_views", "datasets", "data_checks")  # fmt: skip


def render(
    plan: Plan,
    *,
    limit: int = LIMIT,
    title: str = "mlctl plan",
    whole: str = "run `mlctl plan` for the whole plan",
    told: Sequence[Diagnostic] = (),
) -> str:
    """The plan in at most `limit` characters. `whole` says in Markdown where all of it can be read. Raises ValueError for a tiny limit.

    `told` is what policies and the budget say of it.
    """
    if limit < SMALLEST:
        raise ValueError(f"a comment needs {SMALLEST} characters, not {limit}")
    page = _Page(limit)
    page.add([f"### {plain(clipped(title, _TITLE))}", "", f"**{_headline(plan)}**"])
    page.add(_warnings(plan))
    page.reserve(len(whole) + 120)
    notes = int(limit * _NOTES_SHARE)
    left_out = page.points("**Refused**", _told(told, Severity.ERROR), notes)
    left_out += page.points("**Warnings**", _told(told, Severity.WARNING), notes)
    left_out += page.points("**Changed outside mlctl**", _drift(plan), notes)
    left_out += page.points("**Gates**", _gates(plan), notes)
    left_out += page.points("**Notes**", _notes(plan), notes)
    shown = sorted((item for item in plan if item.effective or item.moved_from is not None), key=gravity)
    left_out += page.table(_HEAD, map(_row, shown), int(limit * _ROWS_SHARE))
    left_out += page.details("Field by field", shown, _details)
    page.unreserve()
    if left_out:
        page.add(["", f"_{left_out:,} lines are left out: {whole}._"])
    return page.text()


def gravity(change: Change) -> tuple[int, int, str]:
    """What a reader has to see first: what goes or is replaced, then what runs, then the rest."""
    removed = change.action is Action.DELETE and change.reason is not Reason.SUPERSEDED
    ranks = {Action.REPLACE: 0, Action.FORGET: 1, Action.RUN: 2, Action.RESUME: 2, Action.ADOPT: 2, Action.UPDATE: 3,
             Action.CREATE: 4, Action.IMPORT: 4, Action.DELETE: 5, Action.NOOP: 7}  # fmt: skip
    rank = 0 if removed else 6 if change.field_class is FieldClass.METADATA else ranks[change.action]
    section = change.address.section
    place = _SECTIONS.index(section) if section in _SECTIONS else len(_SECTIONS)
    return rank, place, str(change.key)


class _Page:
    """Text that grows up to a limit. What does not fit is counted, and said at the end."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self.reserved = 0
        self.lines: list[str] = []

    def add(self, lines: Iterable[str]) -> None:
        """Lines that have to stand, whatever is left."""
        for line in lines:
            self.lines.append(line)
            self.size += len(line) + 1

    def reserve(self, characters: int) -> None:
        """Keep room for what comes last."""
        self.reserved = characters

    def unreserve(self) -> None:
        """Give the room back."""
        self.reserved = 0

    def fits(self, characters: int) -> bool:
        """Whether so much more may be written."""
        return self.size + characters + self.reserved <= self.limit

    def points(self, heading: str, items: list[str], budget: int) -> int:
        """A heading with its points, as many as fit. Gives how many were left out."""
        taken = self._taken(items, min(budget, self.limit - self.size - self.reserved) - len(heading) - 4)
        if taken:
            self.add(["", heading, "", *items[:taken]])
        return len(items) - taken

    def table(self, head: list[str], rows: Iterable[str], budget: int) -> int:
        """A table with as many rows as fit. Gives how many were left out."""
        items = list(rows)
        room = min(budget, self.limit - self.size - self.reserved) - sum(len(line) + 1 for line in head) - 2
        taken = self._taken(items, room)
        if taken:
            self.add(["", *head, *items[:taken]])
        return len(items) - taken

    def details(self, summary: str, changes: list[Change], write: Callable[[Change], list[str]]) -> int:
        """A block that opens on a click, with whole changes while they fit. Gives how many lines were left out."""
        frame = len(summary) + 80
        lines: list[str] = []
        size = left_out = 0
        fence = 3
        for change in changes:
            found = write(change)
            # a fence grows with the longest run of backticks inside of it
            fence = max(fence, *(line.count("`") + 1 for line in found), 3) if found else fence
            cost = sum(len(line) + 1 for line in found)
            if left_out or not self.fits(frame + 2 * fence + size + cost):
                left_out += len(found)
            else:
                lines += found
                size += cost
        if lines:
            self.add(["", f"<details><summary>{summary}</summary>", "", fenced(lines), "", "</details>"])
        return left_out

    def text(self) -> str:
        """All of it."""
        return "\n".join(self.lines) + "\n"

    @staticmethod
    def _taken(items: list[str], room: int) -> int:
        """How many of the first lines fit into so many characters."""
        for number, item in enumerate(items):
            room -= len(item) + 1
            if room < 0:
                return number
        return len(items)


def _headline(plan: Plan) -> str:
    return " ".join([human.summary(plan, Paint(False)).removeprefix("Plan: "), *estimates.total(plan)])


def _warnings(plan: Plan) -> list[str]:
    lines = [clipped(line, _LINE * 2) for line in [*human.held(plan.held), *human.partial(plan)]]
    return ["", "> [!WARNING]", *(f"> {plain(line)}" for line in lines)] if lines else []


def _told(found: Sequence[Diagnostic], severity: Severity) -> list[str]:
    return [
        f"- {_words(item.summary)}" + (f": {_words(item.why)}" if item.why else "")
        for item in found
        if item.severity is severity
    ]


def _drift(plan: Plan) -> list[str]:
    return [f"- {code(str(change.address))}: {_words(human.why(change))}" for change in plan if change.drift]


def _gates(plan: Plan) -> list[str]:
    """Those that hold something back first, then those that a person opened."""
    closed = [change for change in plan if change.gate is not None and not change.gate.open]
    opened = [change for change in plan if change.gate is not None and change.gate.approval is not None]
    return [
        f"- {word} {code(str(change.address))}: {_words(human.verdict(change.gate))}"
        for word, changes in (("❌ not passed", closed), ("⚠️ approved", opened))
        for change in changes
        if change.gate is not None and not change.gate.passed
    ]


def _notes(plan: Plan) -> list[str]:
    return [f"- {code(str(address))}: {_words(text)}" for address, text in human.notes(plan)]


def _row(change: Change) -> str:
    held = f"; held back by {code(str(change.blocked_by))}" if change.blocked_by is not None else ""
    cells = [
        code(change.action.symbol),
        code(human.name(change)),
        plain(human.action(change)),
        _words(human.why(change)) + held,
    ]
    return f"| {' | '.join(cells)} |"


def _words(text: str) -> str:
    """A sentence of mlctl or of a tool: as code when there is anything in it that a host might act on."""
    return code(text) if any(mark in text for mark in "@#:<[`") else plain(clipped(text))


def _details(change: Change) -> list[str]:
    foreseen = (
        () if change.estimate is None else (*estimates.warnings(change.estimate), *estimates.lines(change.estimate))
    )
    lines = [*human.remarks(change), *foreseen, *(line for item in change.fields for line in human.field(item))]
    if not lines:
        return []
    mark = {Action.CREATE: "+", Action.IMPORT: "+", Action.DELETE: "-", Action.REPLACE: "!"}.get(change.action, " ")
    return [f"{mark} {safe(human.name(change))}", *(f"    {clipped(line, _LINE)}" for line in lines)]
