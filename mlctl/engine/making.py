"""The making of one object: the intent into the journal, the tool, the outcome into the journal."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

from mlctl.engine import estimating, failures, protection, provenance, secrecy
from mlctl.engine.applied import Run
from mlctl.engine.choice import IMPORTED_AS, importing, waits_for
from mlctl.engine.decide import differences
from mlctl.engine.moves import free_place
from mlctl.engine.patience import patiently
from mlctl.engine.protection import wanted_protection
from mlctl.provider import Approvable, Context, Desired, Family, Importable, Input, Kind, Outcome
from mlctl.spec.project import Project
from mlctl.types.change import Action, Change, Reason
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.state import Gate, Pending, Record, Use

APPROVING = "approving"  # in the provenance of an object whose approval is being published


class Making:
    """The making of one object, from its intent to its outcome."""

    def __init__(self, run: Run, project: Project, desired: Desired, change: Change, ctx: Context) -> None:
        self.run = run
        self.project = project
        self.desired = desired
        self.change = change
        self.ctx = ctx
        self.kind: Kind = project.resources[desired.address].kind

    def make(self, prior: Record | None) -> Record:
        """Intent, tool, outcome. A failure is counted before it is raised."""
        session, started = self.run.session, time.monotonic()
        self._refuse_protected(prior)
        if prior is not None and self.change.action is Action.REPLACE:
            self._clear(prior)
            prior = None
        facts = {**provenance.of(self.ctx.root), **provenance.owned(self.project.owner)}
        intent = self._intent(prior)
        session.record(intent)
        try:
            self._make_room()
            outcome, more = self._touch(prior)
            outcome = secrecy.kept(outcome, self.ctx.secrets)
        except Exception as error:
            self._count(intent, error)
            raise
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        facts |= {"at": at, "seconds": round(time.monotonic() - started, 3), **more}
        facts |= {**estimating.kept(self.change), **self._counted()}
        record = replace(
            intent,
            id=outcome.id,
            spec=dict(self.desired.values),
            uses=_uses(self.desired),
            outputs=dict(outcome.outputs),
            gate=_still_approved(outcome.gate, prior),
            pending=None,
            sequence=session.ledger.next_sequence(),
            provenance=facts,
            protected=self._protected(),
            failure=None,
            after=waits_for(self.project, self.desired.address),
        )
        session.record(record)
        return record

    def _make_room(self) -> None:
        """The folder of all objects, before a tool makes it: rows, logs and models are in there, with the mode that each tool chose."""
        self.ctx.folder(self.desired.key).parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _touch(self, prior: Record | None) -> tuple[Outcome, dict[str, object]]:
        """What the tool made of it, and what else is to be kept of how."""
        desired, kind, run = self.desired, self.kind, self.run
        spec = self.project.resources[desired.address].spec
        if self.change.reason is Reason.PROMOTED and run.take is not None:
            taken = run.take(desired.key, self.ctx)
            return Outcome(taken.id, taken.outputs, taken.gate), dict(taken.provenance)
        if self.change.reason is Reason.IMPORTED and isinstance(kind, Importable):
            id = str(importing(self.project, desired.address, run.session.ledger))
            outcome = patiently(lambda ctx: kind.adopt(desired, id, ctx), spec, self.ctx)
            return outcome, {IMPORTED_AS: id}
        return self._made(prior), {}

    def _made(self, prior: Record | None) -> Outcome:
        """Apply it, and publish what a person has approved when the same verdict comes again.

        An approval that was cut off only has to be published, where the object is still as it was.
        """
        desired, kind = self.desired, self.kind
        spec = self.project.resources[desired.address].spec
        limit = None if self.change.estimate is None else self.change.estimate.limit
        if prior is not None and approved(prior) and isinstance(kind, Approvable):
            if APPROVING in prior.provenance and self._as_recorded(replace(prior, pending=None)):
                return patiently(lambda ctx: kind.approved(prior, ctx), spec, self.ctx)
            outcome = patiently(lambda ctx: kind.apply(desired, prior, ctx), spec, self.ctx, limit)
            again = replace(prior, id=outcome.id, outputs=outcome.outputs, gate=_still_approved(outcome.gate, prior))
            return patiently(lambda ctx: kind.approved(again, ctx), spec, self.ctx) if approved(again) else outcome
        return patiently(lambda ctx: kind.apply(desired, prior, ctx), spec, self.ctx, limit)

    def _as_recorded(self, record: Record) -> bool:
        """Whether an object is there, with the fields that it was made with."""
        seen = self.kind.read(record, self.ctx)
        if seen is None:
            return False
        fields = type(
            self.desired.spec
        ).model_fields  # what else a kind looks at, such as an alias, is what it publishes
        found = differences(self.kind, self.desired, record, seen)
        return not any(item.observed != item.old and item.path.partition(".")[0] in fields for item in found)

    def _intent(self, prior: Record | None) -> Record:
        """The record of a step that begins: what is there stays known, and so does what it was made with."""
        desired, ledger = self.desired, self.run.session.ledger
        id = importing(self.project, desired.address, ledger)
        if prior is not None:
            uses = {use.key: use for use in (*prior.uses, *_uses(desired))}
            facts = {**prior.provenance, **self._counted()}
            facts |= {IMPORTED_AS: id} if self.change.reason is Reason.IMPORTED else {}
            return replace(prior, uses=tuple(uses.values()), pending=Pending.APPLY, provenance=facts)
        return Record(
            desired.key,
            None,
            dict(desired.values),
            {name: part for name, part in desired.parts.items() if isinstance(part, str)},
            _uses(desired),
            pending=Pending.APPLY,
            sequence=ledger.next_sequence(),
            provenance={**self._counted(), **({} if id is None else {IMPORTED_AS: id})},
            protected=self._protected(),
            origin=free_place(ledger, desired.key),
            after=waits_for(self.project, desired.address),
        )

    def _counted(self) -> dict[str, Any]:
        """With which applies it is held against the budget."""
        return {} if self.run.account is None else self.run.account.noted(self.change)

    def _protected(self) -> bool:
        return wanted_protection(
            self.project.resources[self.desired.address].spec, self.run.session.ledger.current(self.desired.address)
        )

    def _refuse_protected(self, prior: Record | None) -> None:
        """What the planner could not see yet: that the key which came out replaces a protected object."""
        if self.kind.family is Family.BUILD:
            return
        others = [item for item in self.run.session.ledger.at(self.desired.address) if item.key != self.desired.key]
        protection.refuse([*others, *([prior] if prior is not None and self.change.action is Action.REPLACE else [])])

    def _clear(self, prior: Record) -> None:
        """Remove what is to be made anew under the same key. A kill in between leaves a removal to go on with."""
        self.run.session.record(replace(prior, pending=Pending.DELETE))
        self.kind.delete(prior, self.ctx)

    def _count(self, intent: Record, error: Exception) -> None:
        """Note a failure of the tool; an interruption is none."""
        if isinstance(error, MlctlError) and error.exit_code is ExitCode.INTERRUPTED:
            return
        with suppress(MlctlError):  # what went wrong is told; that it cannot be counted is told by the next step
            self.run.session.record(failures.failed(intent, self.desired, error, self.ctx))


def approved(record: Record) -> bool:
    """Whether a person let dependents go on although the gate did not pass."""
    return record.gate is not None and record.gate.open and not record.gate.passed


def _still_approved(gate: Gate | None, prior: Record | None) -> Gate | None:
    """An approval is of a verdict: it stands when the same verdict comes again, and goes with it."""
    before = None if prior is None else prior.gate
    if gate is None or before is None or before.approval is None or gate.passed:
        return gate
    same = (gate.summary, gate.details) == (before.summary, before.details)
    return replace(gate, approval=before.approval) if same else gate


def _uses(desired: Desired) -> tuple[Use, ...]:
    return tuple(Use(item.key, item.digest) for _, item in sorted(desired.inputs.items()) if isinstance(item, Input))
