"""Each of the ten ways to make a resource cheaper: tried on its spec, estimated, and written into the project's text in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pydantic import ValidationError

from mlctl.cli.costing.moving import moved
from mlctl.cli.costing.position import Position, Ratio, alike, difference, more, placed, served
from mlctl.cli.costing.size import today
from mlctl.cli.costing.workloads import Found, found_in
from mlctl.cli.patching import Edit, Patched, patched
from mlctl.engine.estimating import Foresight
from mlctl.estimate import advice_serving, advice_training, spot
from mlctl.estimate.advice import (
    BATCHING,
    CACHING,
    REMOVE,
    SIZING,
    SPOT,
    Change,
    Difference,
    Idea,
    Saving,
    Standing,
    Tactic,
)
from mlctl.estimate.devices import Device
from mlctl.provider import Context, Desired
from mlctl.spec import asking
from mlctl.spec.editing import REMOVED, put
from mlctl.types.address import Address
from mlctl.types.diagnostic import MlctlError, Severity
from mlctl.types.value import Unknown

if TYPE_CHECKING:
    from mlctl.estimate.options import Option
    from mlctl.estimate.sizing import Judged, Today
    from mlctl.workspace import Workspace

_CLEARLY = 0.05  # of the cost today: what a further way has to save more than the first
_BY_HAND = ("edit.not-safe", "cost.cannot-patch")  # changes that are right, and that only a person can write
_NOWHERE = Device("unknown", 1, 0.0)


@dataclass(frozen=True)
class Advice:
    """A tactic with what came of asking for it."""

    tactic: Tactic
    standing: Standing
    why: str = ""
    saving: Saving | None = None
    patch: Patched | None = None

    @property
    def risk(self) -> str:
        """What it risks: of other devices, what it is to have those that may be taken away."""
        spot_too = self.patch is not None and any(
            edit.path[-1] == "spot" and edit.value is True for edit in self.patch.edits
        )
        return SPOT.risk if spot_too else self.tactic.risk


@dataclass(frozen=True)
class _Tried:
    """A way to write a tactic, and what the resource would be with it."""

    edits: list[Edit]
    changed: Found | None
    position: Position | None


@dataclass
class Adviser:
    """Asks for all ten tactics of the resources of one project. Nothing is written."""

    workspace: Workspace
    offered: Sequence[Option]  # what has a price
    rows: Mapping[Address, float] = field(default_factory=dict)  # that datasets are taken to have
    _ctx: Context = field(init=False)
    _foresight: Foresight = field(init=False)

    def __post_init__(self) -> None:
        self._ledger, self._ctx = self.workspace.reader()
        self._foresight = Foresight(self._ledger)

    def advise(self, found: Found) -> list[Advice]:
        """All ten, by their numbers."""
        before = self.position(found)
        return [self._asked(idea, found, before) for idea in self._ideas(found)]

    def position(self, found: Found) -> Position | None:
        """Where a resource is; None where nothing is known of it."""
        if found.workload is None:
            return None
        return placed(found.workload, today(self.workspace, found), self.offered)

    def _ideas(self, found: Found) -> list[Idea]:
        fields = found.desired.spec.model_dump(mode="json")
        device = None if found.workload is None else found.workload.device
        if Address.parse(found.address).section == "training":
            return advice_training.ideas(fields, device or _NOWHERE, _between(found))
        from mlctl.cli.costing.students import students

        return advice_serving.ideas(fields, device, students(self.workspace, found, self._ctx))

    def _asked(self, idea: Idea, found: Found, before: Position | None) -> Advice:
        if idea.standing is not Standing.HELPS:
            return Advice(idea.tactic, idea.standing, idea.why)
        if idea.tactic is SIZING:
            return self._sized(found, before)
        tried, problem = self._variants(idea, found, before)
        if tried is None:
            return Advice(idea.tactic, Standing.NOT, problem)
        saving, why = self._saving(idea.tactic, found, before, tried)
        try:
            patch = patched(self.workspace, tried.edits)
        except MlctlError as error:
            first = error.diagnostics[0]
            told = f"{first.summary}: {first.why or first.fix}"
            if first.code not in _BY_HAND or saving is None:
                return Advice(idea.tactic, Standing.NOT, told, saving)
            told = f"by hand: {', '.join(edit.words for edit in tried.edits)}; {told}"
            return Advice(idea.tactic, _standing(saving, tried), told, saving)
        if saving is None or not saving.known:
            return Advice(idea.tactic, Standing.UNKNOWN, why or _untimed(before), None, patch)
        saving = replace(saving, notes=(*saving.notes, *self._along(patch, found)))
        return Advice(idea.tactic, _standing(saving, tried), _unfit(saving, tried), saving, patch)

    def _variants(self, idea: Idea, found: Found, before: Position | None) -> tuple[_Tried | None, str]:
        """The first way that the project allows, or a later one that is clearly better; or why there is none."""
        best: _Tried | None = None
        problem = ""
        for variant in idea.variants:
            edits = [edit for change in variant for edit in edits_for(change, found)]
            try:
                changed = self._changed(found, edits)
            except MlctlError as error:
                problem = problem or error.diagnostics[0].summary
                continue
            tried = _Tried(edits, changed, None if changed is None else self.position(changed))
            if best is None:
                best = tried
            elif idea.fallbacks:
                best = tried if _fits_instead(best.position, tried.position) else best
            elif _clearly(before, best.position, tried.position):
                best = tried
        return best, problem

    def _changed(self, found: Found, edits: Sequence[Edit]) -> Found | None:
        """The resource with fields changed. Raises MlctlError when the project would not be valid."""
        if any(str(edit.address) != found.address for edit in edits):
            return self._in(patched(self.workspace, edits).workspace, found.address)
        desired = _with(found.desired, edits, found, self._ctx)
        workload = asking.workload(found.kind, desired, self._foresight.before(found.kind.section), self._ctx)
        return replace(found, desired=desired, workload=workload, made=False)

    def _in(self, workspace: Workspace, address: str) -> Found | None:
        """A resource as a workspace has it."""
        found = found_in(workspace.project, self._ledger, self._ctx, [Address.parse(address)], self.rows)
        return found[0] if found else None

    def _along(self, patch: Patched, found: Found) -> tuple[str, ...]:
        """What the other resources that a change is of would take more."""
        told = []
        for address in dict.fromkeys(str(edit.address) for edit in patch.edits):
            if address == found.address:
                continue
            sides = [self._in(workspace, address) for workspace in (self.workspace, patch.workspace)]
            before, after = (None if side is None else self.position(side) for side in sides)
            told.append(more(address, before, after))
        return tuple(told)

    def _saving(
        self, tactic: Tactic, found: Found, before: Position | None, tried: _Tried
    ) -> tuple[Saving | None, str]:
        """What a way saves, or why that is not known."""
        if tactic is CACHING or (tactic is BATCHING and before is None):
            from mlctl.cli.costing.request_savings import of_requests

            return of_requests(tactic, found, before, self._ctx)
        after = tried.position
        if before is None or after is None or tried.changed is None:
            return None, _unknown(found)
        ratio = None if alike(before, after) else self._ratio(found, tried.changed)
        return difference(before, after, ratio), ""

    def _ratio(self, found: Found, changed: Found) -> Ratio:
        """By the formulas alone."""
        outlooks = []
        for item in (found, changed):
            workload = asking.workload(item.kind, item.desired, (), self._ctx)
            outlooks.append(None if workload is None else workload.on(workload.device))
        was, now = outlooks
        return Ratio(None, None) if was is None or now is None else Ratio.of(was, now)

    def _sized(self, found: Found, before: Position | None) -> Advice:
        """The devices that cost least, with everything else as it is."""
        if before is None:
            return Advice(SIZING, Standing.UNKNOWN, _unknown(found))
        chosen, now = before.best.chosen, before.best.today
        if chosen is None:
            return Advice(SIZING, Standing.NOT, "nothing that has a price will do")
        if now.lost is None and now.option is None:
            return Advice(SIZING, Standing.UNKNOWN, "what today's devices cost is not known, and they will do")
        if before.best.there and now.lost is None:
            return Advice(SIZING, Standing.IN_USE, "today's devices are the cheapest that will do")
        edits, why = moved(found, chosen)
        saving, standing, untold = _resized(before, chosen, now)
        if not edits:
            return Advice(SIZING, standing, untold or why, saving)
        try:
            return Advice(SIZING, standing, untold, saving, patched(self.workspace, edits))
        except MlctlError as error:
            return Advice(SIZING, standing, untold or error.diagnostics[0].summary, saving)


def _resized(before: Position, chosen: Judged, now: Today) -> tuple[Saving, Standing, str]:
    """What other devices save, whether that helps, and why it is not known. An hour of a training on other devices is another
    part of it, so that cheaper hours are no saving."""
    per = "an hour" if before.best.by_hour else ""
    untimed = bool(per) and not before.workload.lasting
    was = None if now.option is None else now.option.hourly if per else now.usd
    usd = None if untimed else Difference.of(was, chosen.option.hourly if per else chosen.usd)
    seconds = None if per else Difference.of(now.elapsed, chosen.elapsed)
    notes = [f"{chosen.option.name} ({chosen.option.tier}, {chosen.option.provider}) will do"]
    notes += [f"today's do not: {now.why}"] if now.lost is not None else []
    notes += [f"too large today: {now.oversized}"] if now.oversized else []
    notes += [text for text in (served(now.outlook, chosen.outlook),) if text]
    saving = Saving(usd=usd, per=per, seconds=seconds, notes=tuple(notes))
    if now.lost is not None or (usd is not None and usd.mid > 0):
        return saving, Standing.HELPS, ""
    if untimed:
        return saving, Standing.UNKNOWN, _untimed(before)
    return saving, Standing.NO_GAIN, ""


def _standing(saving: Saving, tried: _Tried) -> Standing:
    """What saves is of no use where it does not run."""
    return Standing.HELPS if saving.helps and not _unfit(saving, tried) else Standing.NO_GAIN


def _unfit(saving: Saving, tried: _Tried) -> str:
    """Why a way is none: with it, it likely does not fit, and nothing else will do that did not without."""
    short = "" if saving.enables or tried.position is None else tried.position.short
    return f"with it, it likely does not fit the devices it is on: {short}" if short else ""


def _untimed(before: Position | None) -> str:
    """Why nothing is known of what a way saves."""
    if before is not None and before.workload.lasting:
        return "how fast it answers where it is, or what that costs, is not known"
    return (before.outlook.why if before is not None else "") or "how long it takes is not known"


def edits_for(change: Change, found: Found) -> list[Edit]:
    """A change as edits of the project."""
    address = Address.parse(change.address or found.address)
    return [Edit(address, path, REMOVED if value is REMOVE else value) for path, value in change.fields]


def _unknown(found: Found) -> str:
    return found.why.removeprefix("unknown: ") or "what it asks of devices is not known"


def _between(found: Found) -> float | None:
    """Seconds between checkpoints that lose least on spot devices."""
    workload = found.workload
    if workload is None or workload.checkpoint_seconds is None:
        return None
    up = spot.TYPICAL.mean_up.mid / workload.device.machines  # one that is gone stops all
    return spot.daly(max(workload.checkpoint_seconds, 0.01), up)


def _with(desired: Desired, edits: Sequence[Edit], found: Found, ctx: Context) -> Desired:
    """What is asked for with other fields, checked as a project is. Raises MlctlError."""
    values = desired.spec.model_dump(mode="json", exclude_unset=True)
    for edit in edits:
        values = put(values, edit.path, edit.value)
    try:
        spec = type(desired.spec).model_validate(values)
    except ValidationError as error:
        told = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise MlctlError.of("cost.cannot-patch", told, "", "") from None
    before = {(item.code, item.summary) for item in asking.check(found.kind, desired.address, desired.spec, ctx)}
    problems = [
        item
        for item in asking.check(found.kind, desired.address, spec, ctx)
        if item.severity is Severity.ERROR and (item.code, item.summary) not in before
    ]
    if problems:
        raise MlctlError(problems)
    return replace(desired, spec=spec, identity=Unknown(str(desired.address)))


def _fits_instead(best: Position | None, after: Position | None) -> bool:
    """Whether a further way fits where the best so far does not."""
    return after is not None and after.fits and (best is None or not best.fits)


def _clearly(before: Position | None, best: Position | None, after: Position | None) -> bool:
    """Whether a further way is clearly better than the best so far: it fits where that does not, or costs less by a margin."""
    if after is None or best is None:
        return after is not None
    if after.fits != best.fits:
        return after.fits
    whole = before.cost if before is not None else None
    costs: list[Callable[[Position], float | None]] = [lambda item: item.cost, lambda item: item.least]
    for cost in costs:
        mine, its = cost(after), cost(best)
        if mine is not None and its is not None and its - mine > _CLEARLY * (whole or its):
            return True
    return False
