"""A person lets dependents go on although a gate did not pass: who, why and when stay with the verdict."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from mlctl.engine import provenance
from mlctl.engine.making import APPROVING
from mlctl.engine.store import Session
from mlctl.provider import Approvable, Context, Kind
from mlctl.types.address import Address
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.types.state import Approval, Gate, Pending, Record


def approve(address: Address, why: str, kinds: Callable[[str], Kind], session: Session, ctx: Context) -> Record:
    """Approve the verdict that an address has now, and publish what a pass would have published.

    The approval is in the journal before anything is published; a kill in between leaves an object that the next apply, or
    the same command again, goes on with. Raises MlctlError when there is no verdict, or none that has to be approved.
    """
    record, gate = _refused(session, address)
    if not why.strip():
        raise MlctlError.of(
            "approve.no-reason",
            f"{address} needs a reason",
            "it is kept with the verdict for those who ask",
            "add `--why TEXT`",
        )
    approval = Approval(provenance.who(), why.strip(), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    facts = {name: fact for name, fact in record.provenance.items() if name != APPROVING}
    approved = replace(record, gate=replace(gate, approval=approval), pending=None, provenance=facts)
    kind = kinds(address.section)
    if isinstance(kind, Approvable):
        session.record(replace(approved, pending=Pending.APPLY, provenance={**facts, APPROVING: True}))
        outcome = kind.approved(approved, replace(ctx, origins=session.ledger.origins))
        approved = replace(approved, id=outcome.id, outputs=dict(outcome.outputs), pending=None)
    session.record(approved)
    return approved


def _refused(session: Session, address: Address) -> tuple[Record, Gate]:
    """The object that an address has now, and its verdict, which is not a pass."""
    record = session.ledger.current(address)
    if record is None:
        raise MlctlError.of(
            "approve.unknown",
            f"there is no object of `{address}`",
            "a verdict is approved once it is there",
            did_you_mean(str(address), (str(item.key.address) for item in session.ledger if item.gate is not None)),
        )
    gate = record.gate
    begun = record.pending is Pending.APPLY and APPROVING in record.provenance
    if gate is None or (not record.complete and not begun):
        raise MlctlError.of(
            "approve.no-gate",
            f"{address} has no verdict",
            "it gives none, or its last run was cut off",
            "see `mlctl status`; what was cut off is finished by `mlctl apply`",
            address=str(address),
        )
    if gate.passed:
        raise MlctlError.of(
            "approve.passed",
            f"the gate of {address} passed: {gate.summary}",
            "there is nothing to approve",
            "",
            address=str(address),
        )
    if gate.approval is not None and not begun:
        raise MlctlError.of(
            "approve.approved",
            f"the gate of {address} was approved by {gate.approval.who} at {gate.approval.at}: {gate.approval.why}",
            "",
            "run `mlctl apply`: what it held back goes on",
            address=str(address),
        )
    return record, gate
