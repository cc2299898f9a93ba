"""From a project's budget to when a run of it has to end, whatever its estimate says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlctl.types.estimate import Limit, Range

BUDGET = "budget"  # the project's block
MONTHLY = "max_usd_per_month"  # its field that counts what lasts, and no run
MARGIN = 1.1  # a machine may cost so many times the highest price that is known, and no more
_LONGEST = 100 * 365 * 86400.0  # seconds, beyond which a limit is none
DOLLARS = ("max_usd_per_run", "max_usd")  # one run costs no more than all of a plan may


def limit(budget: Mapping[str, Any] | None, hourly: Range | None, *, carried: bool) -> Limit | None:
    """When a run of devices of that price is ended: the first moment at which it may have used up what it may; None without one.

    Dollars are counted at the highest price, so that the limit holds whichever machine it turns out to be.
    """
    given = {name: value for name, value in (budget or {}).items() if value is not None}
    found = [(float(given["max_hours"]) * 3600, "max_hours")] if "max_hours" in given else []
    if hourly is not None and hourly.high > 0:
        found += [(float(given[name]) / hourly.high * 3600, name) for name in DOLLARS if name in given]
    found = [item for item in found if item[0] <= _LONGEST]
    if not found:
        return None
    seconds, by = min(found)
    return Limit(seconds, by, carried)
