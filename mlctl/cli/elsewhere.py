"""Objects of a shared state that another machine made: this one can forget them, and cannot remove what they are made of."""

from __future__ import annotations

from mlctl.engine.ledger import Ledger
from mlctl.engine.store import LocalStore
from mlctl.provider import Context, Family
from mlctl.types.change import Action, Plan
from mlctl.types.diagnostic import Diagnostic, MlctlError, Severity
from mlctl.types.state import Record
from mlctl.workspace import Workspace

_SHOWN = 5


def made_elsewhere(workspace: Workspace, plan: Plan, ledger: Ledger, context: Context) -> list[Diagnostic]:
    """A warning when a plan lets go of what is on another machine. A state in a folder is of this machine, and gives none."""
    if isinstance(workspace.store, LocalStore):
        return []
    going = {change.key for change in plan if change.action in (Action.DELETE, Action.FORGET)}
    found = [
        str(record.key)
        for record in ledger
        if record.key in going
        and record.complete
        and _keeps_files(workspace, record)
        and not context.folder(record.made_as).exists()
    ]
    if not found:
        return []
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return [
        Diagnostic(
            "state.made-elsewhere",
            f"the files of {', '.join(f'`{name}`' for name in found[:_SHOWN])}{more} are not on this machine",
            "the state is shared, files and servers are not: what is on the machine that made them stays there, and nobody "
            "knows of it any more",
            "do this on that machine; go on here if it is gone",
            Severity.WARNING,
        )
    ]


def _keeps_files(workspace: Workspace, record: Record) -> bool:
    """Whether an object is made of files; no, for a section whose kind is not installed any more."""
    try:
        return workspace.kind(record.key.address.section).family is Family.BUILD
    except MlctlError:
        return False
