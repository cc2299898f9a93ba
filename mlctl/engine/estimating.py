"""What the steps of a plan would take: kinds that can tell are asked about what is to be made, and told what was made before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mlctl.engine.ledger import Ledger
from mlctl.provider import Context, Desired, Estimates, Kind
from mlctl.spec import asking
from mlctl.types.change import Action, Change, Reason
from mlctl.types.state import Record

ESTIMATE = "estimate"  # in the provenance of an object: what was foretold of its making
_LAST = 200  # objects of a kind that are looked back at
_MAKING = (Action.CREATE, Action.UPDATE, Action.REPLACE, Action.RUN, Action.RESUME, Action.ADOPT)
_FREE = (Reason.METADATA, Reason.MOVED)  # nothing is made


@dataclass
class Foresight:
    """Asks kinds for estimates. What was made before is looked up once for each kind."""

    ledger: Ledger
    _made: dict[str, Sequence[Record]] = field(default_factory=dict)

    def of(self, change: Change, kind: Kind, desired: Desired, ctx: Context) -> Change:
        """The change with what it would take. Raises MlctlError when the kind says that it cannot be done at all."""
        if change.action not in _MAKING or change.reason in _FREE or not isinstance(kind, Estimates):
            return change
        return replace(change, estimate=asking.estimate(kind, desired, self._before(kind.section), ctx))

    def _before(self, section: str) -> Sequence[Record]:
        if section not in self._made:
            found = [item for item in self.ledger if item.key.address.section == section and item.complete]
            self._made[section] = sorted(found, key=lambda item: item.sequence)[-_LAST:]
        return self._made[section]


def kept(change: Change) -> dict[str, Any]:
    """What is kept with an object of what was foretold of it."""
    return {} if change.estimate is None else {ESTIMATE: change.estimate.to_json()}
