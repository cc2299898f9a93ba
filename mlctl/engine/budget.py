"""The project's budget: what a plan may cost and take. Asked beside the policies, and again of each step when its turn comes."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import fsum
from typing import Any

from mlctl.engine import budget_words as words
from mlctl.engine.budget_lines import Line
from mlctl.engine.ledger import Ledger
from mlctl.engine.priced import made_with
from mlctl.estimate.limits import BUDGET, MONTHLY
from mlctl.estimate.prices import Prices
from mlctl.spec.project import Project
from mlctl.types.address import Address
from mlctl.types.change import Action, Change, Mode, Plan
from mlctl.types.diagnostic import Diagnostic, ExitCode, MlctlError, Severity
from mlctl.types.estimate import MONTH_HOURS, Estimate, Range
from mlctl.types.state import Pending, Record

_RUN, _ALL, _HOURS, _MONTH = "max_usd_per_run", "max_usd", "max_hours", MONTHLY
NOT_KNOWN = "budget.not-known"  # of what nobody can tell yet, so that it is asked again when its turn comes
_UNSEEN = (Mode.DESTROY, Mode.REFRESH_ONLY)  # plans that make nothing
ACCOUNT = "account"  # in the provenance of what is made under a budget: the applies that it is counted with


@dataclass(frozen=True, slots=True)
class Finding:
    """What a field of the budget has to say of some lines, the dearest first. `address` is of the only one it is about."""

    by: str
    refuses: bool
    code: str
    summary: str
    why: str
    lines: tuple[Line, ...]
    address: str = ""


def judge(budget: Mapping[str, Any], lines: Sequence[Line]) -> list[Finding]:
    """Everything that is, or may be, beyond a budget. The likely figure refuses, the upper one warns, and what is not known is
    said to be. In whatever order the lines stand, the verdict is the same."""
    given = {name: float(value) for name, value in budget.items() if value is not None}
    ordered = sorted(lines, key=lambda item: item.address)
    builds = [item for item in ordered if not item.estimate.lasting]
    lasting = [item for item in ordered if item.estimate.lasting]
    found = list(_unpriced(given, builds, lasting))
    for line in builds:
        if not line.over:  # it was held against the budget before it began
            found += _of_one(given, line)
    if _ALL in given:
        found += _together(given, builds)
    if _MONTH in given:
        found += _monthly(given, lasting)
    return found


def check(plan: Plan, project: Project, ledger: Ledger, prices: Prices) -> list[Diagnostic]:
    """Refuse a plan that the project's budget does not let through, else give what there is to be told of it.

    Raises MlctlError with exit code 4 and every finding. A plan that would change nothing is never refused.
    """
    budget = project.settings.get(BUDGET)
    if not budget or plan.empty or plan.selection.mode in _UNSEEN:
        return []
    lines = [*planned(plan, ledger), *standing(plan, ledger)]
    found = judge(budget, [*lines, *_spent(plan, ledger, accounts(plan, ledger))])
    told = [diagnostic(item, project, prices) for item in found]
    if any(item.refuses for item in found):
        raise MlctlError(told, ExitCode.POLICY)
    return told


def planned(plan: Plan, ledger: Ledger) -> list[Line]:
    """What a plan would spend on: not what a gate holds back, or what is not tried now."""
    return [
        Line.of(str(item.address), item.estimate, there=_as_before(item.estimate, ledger.made(item.address)))
        for item in plan
        if item.effective and item.estimate is not None and item.blocked_by is None and not item.waits
    ]


def _as_before(now: Estimate, record: Record | None) -> bool:
    """Whether what lasts takes no other devices than it has already, such as a server that gets a new model."""
    was = None if record is None or not now.lasting else made_with(record)
    return was is not None and (was.device, was.devices, was.tier) == (now.device, now.devices, now.tier)


def standing(plan: Plan, ledger: Ledger) -> list[Line]:
    """What lasts and stays: by what is foreseen of it now where the plan looks at it, else by what was when it was made."""
    gone = {item.key for item in plan if item.action in (Action.DELETE, Action.FORGET)}
    seen = {item.address: item.estimate for item in plan if not item.effective and item.estimate is not None}
    again = {Address.parse(item.address) for item in planned(plan, ledger)}
    found = []
    for address in ledger.addresses():
        record = ledger.made(address)
        if record is None or record.key in gone or address in again:
            continue
        estimate = seen.get(address) or made_with(record)
        if estimate is not None and estimate.lasting:
            found.append(Line(str(address), estimate, there=True))
    return found


def paid(record: Record) -> float | None:
    """The dollars that the making of an object took, where its kind measured it: `estimate.actual.usd` of its outputs."""
    found: Any = record.outputs
    for name in ("estimate", "actual", "usd"):
        found = found.get(name) if isinstance(found, Mapping) else None
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


def accounts(plan: Plan, ledger: Ledger, own: str = "") -> frozenset[str]:
    """The applies that a plan goes on with, `own` among them: those that began what it is to bring to an end, and those that these
    went on with."""
    pending = [
        record
        for item in plan
        if item.effective and item.key_known and (record := ledger.get(item.key)) is not None
        if record.pending is Pending.APPLY
    ]
    found = {own} - {""} | {name for record in pending for name in _noted(record)}
    noted = [names for record in ledger if (names := _noted(record))]
    while more := {name for names in noted if not found.isdisjoint(names) for name in names} - found:
        found |= more
    return frozenset(found)


def _noted(record: Record) -> frozenset[str]:
    names: Any = record.provenance.get(ACCOUNT)
    return frozenset(map(str, names)) if isinstance(names, list) else frozenset()


def _spent(plan: Plan, ledger: Ledger, names: frozenset[str]) -> list[Line]:
    """What some applies have made already, and stays: by what it took, or where nobody measured that, by what was foreseen."""
    again = {item.address for item in plan if item.effective}
    found = []
    for address in ledger.addresses() if names else ():
        record = ledger.made(address)
        estimate = None if record is None or address in again or names.isdisjoint(_noted(record)) else made_with(record)
        if record is None or estimate is None or estimate.lasting:
            continue
        took = paid(record)
        usd = estimate.whole.usd if took is None else Range.exactly(took)
        if usd is not None:
            found.append(Line(str(address), replace(estimate.whole, usd=usd), over=True))
    return found


class Account:
    """What one apply has spent and is about to: each step is asked for again when all is known of it.

    An apply that goes on with what another began, because it was handed over, killed or stopped, goes on with its account: what is
    made says in its provenance with which applies it is counted. `run` is the name of this one.
    """

    def __init__(self, plan: Plan, project: Project, ledger: Ledger, prices: Prices, run: str = "") -> None:
        self._project, self._prices = project, prices
        self._budget = project.settings.get(BUDGET) or {}
        counts = bool(self._budget) and plan.selection.mode not in _UNSEEN
        self._names = accounts(plan, ledger, run) if counts else frozenset()
        spent = _spent(plan, ledger, self._names)
        lines = [*planned(plan, ledger), *standing(plan, ledger), *spent] if counts else []
        self._lines = {item.address: item for item in lines}
        self._begun: set[str] = {item.address for item in spent}  # and what was begun since
        self._lock = threading.Lock()

    def noted(self, change: Change) -> dict[str, Any]:
        """What is kept with an object of how it is counted."""
        estimate = change.estimate
        return {ACCOUNT: sorted(self._names)} if self._names and estimate is not None and not estimate.lasting else {}

    def left(self, address: str) -> dict[str, Any] | None:
        """The budget that a step is told, for the limit by which it is ended: without the dollars that others have spent, or are
        likely to that are at work. None where it is told nothing of its own."""
        if self._budget.get(_ALL) is None:
            return None
        with self._lock:
            others = [
                item.estimate.usd for name, item in self._lines.items() if name in self._begun and name != address
            ]
        gone = fsum(usd.mid for usd in others if usd is not None)
        return {**self._budget, _ALL: max(0.0, float(self._budget[_ALL]) - gone)}

    def admit(self, change: Change) -> None:
        """Raise MlctlError, exit code 4, for a step that the budget does not let begin. What was made before it stays."""
        if not self._budget or change.estimate is None:
            return
        address = str(change.address)
        with self._lock:
            there = address in self._lines and self._lines[address].there
            line = Line.of(address, change.estimate, there=there)
            lines = {**self._lines, address: line}
            found = [
                item for item in judge(self._budget, list(lines.values())) if item.refuses and _concerns(item, line)
            ]
            if not found:
                self._lines = lines
                if not change.estimate.lasting:
                    self._begun.add(address)
                return
            self._lines.pop(address, None)
        told = [diagnostic(item, self._project, self._prices) for item in found]
        raise MlctlError([replace(item, address=address) for item in told], ExitCode.POLICY)

    def spent(self, change: Change, record: Record) -> None:
        """What a step took counts in place of what it was thought to."""
        took = paid(record)
        if took is not None:
            self._count(change, took)

    def failed(self, change: Change, seconds: float) -> None:
        """A step that failed had its devices for so long. It counts as no less than it was thought to take, since it may be tried
        again."""
        estimate = change.estimate
        if estimate is None or estimate.hourly is None or estimate.lasting:
            return
        took = estimate.hourly.mid * (estimate.taken + seconds) / 3600
        thought = estimate.whole.usd
        if thought is None or took > thought.mid:
            self._count(change, took)

    def _count(self, change: Change, usd: float) -> None:
        address = str(change.address)
        with self._lock:
            line = self._lines.get(address)
            if line is not None:
                self._lines[address] = replace(line, estimate=replace(line.estimate, usd=Range.exactly(usd)))


def _concerns(item: Finding, line: Line) -> bool:
    return item.address in ("", line.address) and line in item.lines


def _unpriced(given: Mapping[str, float], builds: Sequence[Line], lasting: Sequence[Line]) -> Iterator[Finding]:
    """What is rented at a price that nobody knows is no matter of a few dollars."""
    for names, lines in (((_RUN, _ALL), builds), ((_MONTH,), lasting)):
        fields = [name for name in names if name in given]
        for line in lines:
            if fields and not line.over and line.estimate.tier is not None and line.estimate.hourly is None:
                yield Finding(
                    fields[0], not line.there, "budget.no-price", *words.no_price(line), (line,), line.address
                )


def _of_one(given: Mapping[str, float], line: Line) -> Iterator[Finding]:
    """The limits of a single thing that is made."""
    estimate = line.estimate
    if _RUN in given and estimate.usd is not None:
        yield from _beyond(_RUN, given[_RUN], estimate.usd, (line,), words.one_costs(line, given[_RUN]), line.address)
    if _HOURS in given and estimate.seconds is not None:
        hours = estimate.seconds * (1 / 3600)
        yield from _beyond(_HOURS, given[_HOURS], hours, (line,), words.one_takes(line, given[_HOURS]), line.address)
    unknown = [name for name in (_RUN, _ALL) if name in given and estimate.hourly is not None and estimate.usd is None]
    unknown += [_HOURS] if _HOURS in given and estimate.seconds is None else []
    if unknown:
        yield Finding(unknown[0], False, NOT_KNOWN, *words.not_known(line), (line,), line.address)


def _together(given: Mapping[str, float], builds: Sequence[Line]) -> Iterator[Finding]:
    found = [(line, line.estimate.usd) for line in builds if line.estimate.usd is not None]
    known = _dearest([line for line, _ in found])
    usd = _sum([item for _, item in found])
    yield from _beyond(_ALL, given[_ALL], usd, known, words.all_cost(known, usd, given[_ALL]))


def _monthly(given: Mapping[str, float], lasting: Sequence[Line]) -> Iterator[Finding]:
    """What there is already is no reason to refuse what adds nothing to it."""
    found = [(line, line.estimate.hourly * MONTH_HOURS) for line in lasting if line.estimate.hourly is not None]
    known = _dearest([line for line, _ in found])
    usd = _sum([item for _, item in found])
    told = words.months_cost(known, usd, given[_MONTH])
    for item in _beyond(_MONTH, given[_MONTH], usd, known, told):
        yield item if any(not line.there for line in known) else replace(item, refuses=False)


def _beyond(
    by: str, most: float, figure: Range, lines: Sequence[Line], told: tuple[str, str], address: str = ""
) -> Iterator[Finding]:
    if figure.mid > most:
        yield Finding(by, True, "budget.exceeded", *told, tuple(lines), address)
    elif figure.high > most:
        yield Finding(by, False, "budget.may-exceed", *told, tuple(lines), address)


def _dearest(lines: Sequence[Line]) -> tuple[Line, ...]:
    def rank(line: Line) -> tuple[float, str]:
        cost = line.estimate.hourly if line.estimate.lasting else line.estimate.usd
        return -(cost.mid if cost is not None else 0.0), line.address

    return tuple(sorted(lines, key=rank))


def _sum(ranges: Sequence[Range]) -> Range:
    """Exact whatever the order, so that no order of lines is beyond a budget that another is within."""
    low, mid, high = (fsum(getattr(item, end) for item in ranges) for end in ("low", "mid", "high"))
    return Range(low, max(low, mid), max(low, mid, high))


def diagnostic(item: Finding, project: Project, prices: Prices) -> Diagnostic:
    """One finding for people, with the place of the field that says so."""
    severity = Severity.ERROR if item.refuses else Severity.WARNING
    where = project.where_block((BUDGET, item.by))
    fix = words.fix(item.code, item.by, item.lines, prices) if item.refuses else words.caution(item.code, item.lines)
    return Diagnostic(item.code, item.summary, item.why, fix, severity, where, item.address)
