"""Whether a saved plan still says what would happen: it is made again from its own configuration, and held against itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mlctl.engine.ledger import Ledger
from mlctl.engine.saved import codec
from mlctl.engine.saved.file import SavedPlan, record_digest, touched
from mlctl.spec.project import Project
from mlctl.types.address import Address, ObjectKey
from mlctl.types.change import Action, Change, Plan
from mlctl.types.diagnostic import ExitCode, MlctlError

_SHOWN = 20
_WORDS = {Action.NOOP: "unchanged"}
_NOT_COMPARED = ("detail", "after", "gate", "estimate", "repriced")
# How far a step got since it was announced decides which of these it is now; each makes the same object.
_MAKING = {Action.CREATE, Action.UPDATE, Action.REPLACE, Action.RUN, Action.RESUME, Action.ADOPT}


@dataclass(frozen=True, slots=True)
class Difference:
    """One resource that the plan and the present see differently, each in a few words."""

    address: str
    planned: str
    now: str


def check_origin(saved: SavedPlan, *, project: str | None, environment: str) -> None:
    """Refuse a plan of another project or environment. `project` is None where no readable project lies in the folder."""
    for what, planned, here in (
        ("project", saved.project, project),
        ("environment", saved.plan.environment, environment),
    ):
        if here is not None and planned != here:
            raise _foreign(
                f"the plan is of the {what} `{planned}`, and this is `{here}`", "what it says is about other objects"
            )


def check_serial(saved: SavedPlan, lineage: str, serial: int) -> None:
    """Refuse a plan of another state. One made before the first apply is good only while there still is no state."""
    plan = saved.plan
    if plan.serial == 0 and serial > 0:
        summary = "the plan was made when nothing was there yet, and meanwhile something was applied"
        raise _stale(summary, f"the state has serial {serial} now")
    if plan.serial > 0 and plan.lineage != lineage:
        where = "the state was removed since, or the plan comes from another copy of the project"
        raise _foreign("the plan was made against another state", where)


def check_same(saved: SavedPlan, now: Plan, project: Project, ledger: Ledger) -> None:
    """Raise `plan.stale`, naming what differs, unless the plan and all it touches are what they were.

    The serial alone is no reason to refuse: what was applied meanwhile may have nothing to do with this plan.
    """
    found = differences(saved.plan, now)
    told = {item.address for item in found}
    records = touched(now, project, ledger)
    for key in sorted(saved.records.keys() | records.keys()):
        address = str(ObjectKey.parse(key).address)
        if saved.records.get(key) != records.get(key) and address not in told:
            told.add(address)
            found.append(Difference(address, _presence(key, saved.records), _presence(key, records, "another")))
    if found:
        raise _stale(*_told(found))


def check_rest(saved: SavedPlan, now: Plan) -> None:
    """Raise `plan.stale` unless all that is left to do was announced: the rest of an approved plan may go on, and nothing else."""
    planned = {_place(change): change for change in saved.plan if change.effective}
    found = []
    for change in now:
        if not change.effective:
            continue
        before = planned.get(_place(change)) or planned.get((change.address, None))
        if before is None or not _continues(before, change):
            found.append(Difference(str(change.address), _words(before), _words(change)))
    if found:
        raise _stale(*_told(found))


def differences(before: Plan, now: Plan) -> list[Difference]:
    """What two plans would do differently, resource by resource."""
    old = {_place(change): change for change in before if change.effective}
    new = {_place(change): change for change in now if change.effective}
    found = []
    for place in sorted(old.keys() | new.keys(), key=str):
        if _compared(old.get(place)) != _compared(new.get(place)):
            found.append(Difference(str(place[0]), _words(old.get(place)), _words(new.get(place))))
    return found


def begun(saved: SavedPlan, address: Address, ledger: Ledger) -> bool:
    """Whether something was done about an address since the plan was made: it must not be made anew a second time."""
    return any(saved.records.get(str(record.key)) != record_digest(record) for record in ledger.at(address))


def check_secrets(saved: SavedPlan, digest_of: Callable[[str], str | None]) -> None:
    """Refuse when a sensitive value is not the one that the plan was made with. `digest_of` gives None for one that is not set."""
    for name, planned in sorted(saved.secrets.items()):
        now = digest_of(name)
        if now != planned:
            state = "is not set" if now is None else "has another value"
            raise _stale(
                f"the sensitive value `{name}` {state} now",
                "a plan holds a keyed digest of it, never the value",
                "set it as it was when the plan was made, or make the plan again with `mlctl plan --out FILE`",
            )


def _place(change: Change) -> tuple[Address, ObjectKey | None]:
    """Which step a change is: a removal is of one object, anything else of its address."""
    return change.address, change.key if change.action in (Action.DELETE, Action.FORGET) else None


def _compared(change: Change | None) -> Any:
    """What has to be the same. How far a job got, after what a step comes, and what it is thought to take, is no part of what it does."""
    if change is None:
        return None
    stored = codec.change_json(change)
    return {name: value for name, value in stored.items() if name not in _NOT_COMPARED}


def _continues(before: Change, now: Change) -> bool:
    """Whether a step is what is left of an announced one."""
    if now.action in (Action.DELETE, Action.FORGET) or before.action in (Action.DELETE, Action.FORGET):
        return now.action in (before.action, Action.DELETE) and before.action in (
            Action.DELETE,
            Action.FORGET,
            Action.REPLACE,
        )
    if now.action not in _MAKING:
        return now.action is before.action
    if before.action not in _MAKING:
        return False
    return now.key == before.key or not before.key_known or not now.key_known


def _words(change: Change | None) -> str:
    if change is None or not change.effective:
        return "nothing to do"
    fields = ", ".join(item.path for item in change.fields[:3])
    identity = f" #{change.key.identity[:8]}" if change.key_known and change.key.identity else ""
    return f"{change.action}{identity} ({change.reason}{': ' + fields if fields else ''})"


def _presence(key: str, records: Mapping[str, str], word: str = "the record") -> str:
    if key not in records:
        return "no record"
    return f"{word} {records[key][:8]}" if word == "the record" else f"another record {records[key][:8]}"


def _told(found: Iterable[Difference]) -> tuple[str, str]:
    found = list(found)
    lines = [f"{item.address}: planned {item.planned}; now {item.now}" for item in found[:_SHOWN]]
    if len(found) > _SHOWN:
        lines.append(f"and {len(found) - _SHOWN} more")
    noun = "1 resource is" if len(found) == 1 else f"{len(found)} resources are"
    return f"the plan is stale: {noun} not as it was made for", "\n".join(lines)


def _stale(
    summary: str, why: str, fix: str = "make the plan again with `mlctl plan --out FILE` and review it"
) -> MlctlError:
    return MlctlError.of("plan.stale", summary, why, fix, exit_code=ExitCode.STALE_PLAN)


def _foreign(summary: str, why: str) -> MlctlError:
    return MlctlError.of(
        "plan.foreign", summary, why, "make a plan here with `mlctl plan --out FILE`", exit_code=ExitCode.STALE_PLAN
    )
