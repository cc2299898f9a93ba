"""How every object of the state is doing, by cheap evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from mlctl.engine.ledger import Ledger
from mlctl.engine.secrecy import compared
from mlctl.provider import Condition, Context, Kind
from mlctl.spec import asking
from mlctl.types.address import Address
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Record


@dataclass(frozen=True, slots=True)
class Health:
    """One object: its condition in a word, when it was made, and what there is to say."""

    address: Address
    condition: str
    at: str
    detail: str
    owner: str = ""

    @property
    def well(self) -> bool:
        """Whether nothing has to be done about it."""
        return self.condition in (Condition.READY, Condition.RUNNING)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        facts = {"address": str(self.address), "condition": self.condition, "at": self.at, "detail": self.detail}
        return {**facts, "owner": self.owner}


def survey(ledger: Ledger, kinds: Callable[[str], Kind], ctx: Context) -> list[Health]:
    """The current object of each address, in order of addresses. One that cannot be asked about is `unknown`, and says why."""
    current = [ledger.current(address) for address in sorted({record.key.address for record in ledger})]
    return [
        replace(_health(record, kinds, ctx), owner=str(record.spec.get("owner", "")))
        for record in current
        if record is not None
    ]


def _health(record: Record, kinds: Callable[[str], Kind], ctx: Context) -> Health:
    at = str(record.provenance.get("at", ""))
    try:
        kind = kinds(record.key.address.section)
        seen = compared(asking.read(kind, record, ctx), ctx.secrets)
        described = asking.describe(kind, record) if seen is not None and record.complete else ""
    except MlctlError as error:
        return Health(record.key.address, "unknown", at, "; ".join(item.summary for item in error.diagnostics))
    failed = "" if record.complete or record.failure is None else f"an earlier apply failed: {record.failure.summary}"
    if seen is None:
        return Health(record.key.address, "unfinished" if not record.complete else "gone", at, failed)
    condition: str = seen.condition
    if not record.complete and seen.condition is Condition.READY:
        condition = "unfinished"
    if record.gate is not None and not record.gate.open and record.complete:
        return Health(record.key.address, "gate not passed", at, record.gate.summary)
    return Health(
        record.key.address,
        condition,
        at,
        seen.detail or failed or described or (record.gate.summary if record.gate is not None else ""),
    )
