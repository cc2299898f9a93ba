"""Rollback: which earlier run to go back to, which of its builds still stand, and who may change what it set."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mlctl.engine.ledger import Ledger
from mlctl.engine.runs import Run, RunFolder, Runs
from mlctl.engine.saved.file import SavedPlan
from mlctl.provider import Family, Kind
from mlctl.types.address import Address, ObjectKey
from mlctl.types.change import Change, Mode, Plan, Reason
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.state import Held

_FORWARD = ("apply", "retrain", "promote")  # what can be gone back to: a rollback is no result of its own


def target(runs: Runs, name: str | None) -> RunFolder:
    """The run to go back to: the one named, or the last that ended well before the present result. Raises MlctlError."""
    if name is not None:
        found = runs.find(name)
        if not _good(found):
            raise MlctlError.of(
                "rollback.no-result",
                f"the run `{name}` has no result to go back to",
                "it did not end well, or was one of `destroy`, `rollback` or a part of the project",
                "choose another with `mlctl runs`",
            )
        return found
    history = [run for run in runs.kept() if not run.running]
    present = next((run for run in history if run.read().operation != "destroy"), None)
    if present is not None and present.read().operation == "rollback":
        present = _of(history, str(present.saved().extra.get("target", ""))) or present
    older = history[history.index(present) + 1 :] if present is not None else []
    for run in older:
        if _good(run):
            return run
    raise MlctlError.of(
        "rollback.nothing-before",
        "there is no earlier run to go back to",
        "a rollback needs a run that ended well before the present result",
        "see what there is with `mlctl runs`",
    )


def pins(run: Run, ledger: Ledger, kinds: Callable[[str], Kind]) -> dict[Address, str]:
    """The builds that a run left in use, by identity, if all of them are still kept.

    Data is not rolled back: the files on disk may be newer than that run. Builds that stand are gone back to as they are.
    When one of them is gone, it would have to be made anew from the files of today, and so would all the others.
    """
    found = {}
    for text in run.objects.values():
        key = ObjectKey.parse(text)
        if kinds(key.address.section).family is Family.BUILD:
            record = ledger.get(key)
            if record is None or not record.complete:
                return {}
            found[key.address] = key.identity
    return found


def refuse_held(plan: Plan, held: Held | None, rolled_back: Iterable[Address] | None) -> None:
    """Raise `state.held`, exit code 4, when a plan would change what a rollback set. None for `rolled_back` means everything."""
    if held is None:
        return
    guarded = None if rolled_back is None else set(rolled_back)
    found = sorted(
        {str(change.address) for change in plan if change.effective and (guarded is None or change.address in guarded)}
    )
    if not found:
        return
    shown = ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
    raise MlctlError.of(
        "state.held",
        f"a rollback holds what this would change: {shown}",
        f"{held.who} went back to run {held.run} at {held.at}" + (f": {held.reason}" if held.reason else ""),
        "to change it all the same, and lift the hold: `mlctl apply --unhold`",
        exit_code=ExitCode.POLICY,
    )


def set_by(saved: SavedPlan) -> set[Address]:
    """What a rollback set: what it changed, and the builds it chose again."""
    return {change.address for change in saved.plan if sets(change)}


def sets(change: Change) -> bool:
    """Whether a step leaves something else in use than before."""
    return change.effective or change.reason is Reason.CACHED


def _good(run: RunFolder) -> bool:
    about = run.read()
    if about.exit_code != ExitCode.OK or about.operation not in _FORWARD:
        return False
    return run.saved().plan.selection.mode is Mode.NORMAL


def _of(history: list[RunFolder], name: str) -> RunFolder | None:
    return next((run for run in history if run.id == name), None)
