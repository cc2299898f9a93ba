"""Objects of a shared state that another machine made: this one can forget them, or make them anew, and neither see nor remove them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any

import typer

from mlctl.engine.ledger import Ledger
from mlctl.engine.operations import Operation
from mlctl.engine.store import LocalStore
from mlctl.provider import Context, Family
from mlctl.spec import asking
from mlctl.types.change import Action, Change, Plan, Reason
from mlctl.types.diagnostic import Diagnostic, MlctlError, Severity
from mlctl.types.state import Record
from mlctl.workspace import Workspace

ForgetElsewhere = Annotated[
    bool,
    typer.Option(
        "--forget-elsewhere",
        help="Go on without what another machine made and keeps: it is forgotten, or made anew here.",
    ),
]
CODE = "state.made-elsewhere"
_SHOWN = 5
_GOING = (Action.DELETE, Action.FORGET)
_TAKING = ("apply", "destroy", "retrain")  # the option; others go by `apply`


def made_elsewhere(
    workspace: Workspace, operation: Operation, plan: Plan, ledger: Ledger, context: Context
) -> list[Diagnostic]:
    """A warning when a plan lets go of what is on another machine, or makes it anew. A state in a folder is of this machine."""
    if isinstance(workspace.store, LocalStore):
        return []
    found = list(_elsewhere(workspace, plan, ledger, context))
    if not found:
        return []
    names = list(dict.fromkeys(str(record.key) for _, record in found))
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    makers = sorted({str(record.provenance["by"]) for _, record in found if record.provenance.get("by")})
    done = [
        word
        for word, going in (("makes them anew here", False), ("forgets them", True))
        if any((change.action in _GOING) is going for change, _ in found)
    ]
    return [
        Diagnostic(
            CODE,
            f"made on another machine, and not on this one: {', '.join(f'`{name}`' for name in names[:_SHOWN])}{more}",
            "the state is shared, files and servers are not"
            + (f": {' and '.join(makers)} made them" if makers else "")
            + f"; this plan {' and '.join(done)}, and what is on the other machine stays there unknown to anybody",
            "do this on that machine; if it is gone for good, add `--forget-elsewhere`"
            + ("" if operation.name in _TAKING else " to `mlctl apply`"),
            Severity.WARNING,
        )
    ]


def refuse(found: list[Diagnostic], operation: Operation) -> None:
    """Raise MlctlError for what was found, unless it was said that the other machine is of no account."""
    if found and not operation.forget_elsewhere:
        raise MlctlError([replace(item, severity=Severity.ERROR) for item in found])


def told(found: list[Diagnostic], operation: Operation) -> list[Diagnostic]:
    """What stands beside a plan that is about to be carried out: nothing of what is refused right after it."""
    return found if operation.forget_elsewhere else []


def _elsewhere(workspace: Workspace, plan: Plan, ledger: Ledger, context: Context) -> Iterator[tuple[Change, Record]]:
    """The changes that let go of something on another machine, with its record."""
    for change in plan:
        again = change.effective and change.reason is Reason.GONE and change.action not in _GOING
        record = ledger.get(change.key) if again or change.action in _GOING else None
        if record is None or not record.complete or context.folder(record.made_as).exists():
            continue
        if _of_a_machine(workspace, record, context, asked=change.reason is Reason.GONE):
            yield change, record


def _of_a_machine(workspace: Workspace, record: Record, context: Context, *, asked: bool) -> bool:
    """Whether an object is files or a process of one machine, and not of this one.

    A kind that sees it from here is right. No, for a section whose kind is not installed any more.
    """
    target: Any = record.spec.get("target")
    if isinstance(target, Mapping) and target.get("type") == "kubernetes":
        return False  # a cluster is the same one from everywhere: what is gone there is gone
    try:
        kind = workspace.kind(record.key.address.section)
        return kind.family is not Family.DEFINITION and (asked or asking.read(kind, record, context) is None)
    except MlctlError:
        return False
