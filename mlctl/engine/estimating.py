"""What the steps of a plan would take: kinds that can tell are asked about what is to be made, and told what was made before."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from mlctl.engine import priced
from mlctl.engine.ledger import Ledger
from mlctl.engine.priced import ESTIMATE
from mlctl.estimate.limits import BUDGET, MONTHLY
from mlctl.provider import Context, Desired, Estimates, Family, Kind
from mlctl.spec import asking
from mlctl.types.change import Action, Change, Reason
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Record

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
        if change.action in _MAKING and change.reason not in _FREE and isinstance(kind, Estimates):
            change = replace(change, estimate=asking.estimate(kind, desired, self.before(kind.section), ctx))
        elif change.action is Action.NOOP and _keeps(kind, ctx):
            with suppress(MlctlError):  # what is there stays, whatever can be said of it
                change = replace(change, estimate=asking.estimate(kind, desired, self.before(kind.section), ctx))
        return priced.since(change, self.ledger.current(change.address), ctx.prices)

    def before(self, section: str) -> Sequence[Record]:
        """The objects of a kind that were made to the end, oldest first."""
        if section not in self._made:
            found = [item for item in self.ledger if item.key.address.section == section and item.complete]
            self._made[section] = sorted(found, key=lambda item: item.sequence)[-_LAST:]
        return self._made[section]


def _keeps(kind: Kind, ctx: Context) -> bool:
    """Whether what its objects cost counts although nothing is made: by the month, all that lasts counts."""
    budget = ctx.settings.get(BUDGET) or {}
    return kind.family is Family.SERVICE and isinstance(kind, Estimates) and budget.get(MONTHLY) is not None


def kept(change: Change) -> dict[str, Any]:
    """What is kept with an object of what was foretold of it."""
    return {} if change.estimate is None else {ESTIMATE: change.estimate.to_json()}
