"""Which alarms are worth somebody's time, and in which order: by what they may mean for a metric, where that is known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from mlctl.runtime.monitor.found import Found
from mlctl.stats.drift import Verdict
from mlctl.types.jobs.monitor import Alarm


def ranked(alarms: Sequence[Alarm], min_impact: Mapping[str, float]) -> tuple[list[Alarm], list[Alarm]]:
    """Alarms to act upon, the worst first, and harmless ones.

    An alarm is harmless when even the upper end of what it may cost is below what the project minds: what is not known
    is never harmless. Costs of different metrics are compared in units of what the project minds of each, else as they are.
    """
    harmless = [alarm for alarm in alarms if _is_harmless(alarm, min_impact)]
    grave = [alarm for alarm in alarms if alarm not in harmless]
    return sorted(grave, key=lambda alarm: _place(alarm, min_impact)), sorted(
        harmless, key=lambda alarm: _place(alarm, {})
    )


def verdict_of(found: Found, alarms: Sequence[Alarm], digest: Sequence[Alarm]) -> Verdict:
    """The verdict of a part, once its harmless alarms are set aside."""
    if found.verdict is not Verdict.ALARM or not found.alarms:
        return found.verdict
    return Verdict.ALARM if any(alarm in alarms for alarm in found.alarms) else Verdict.OK


def _is_harmless(alarm: Alarm, min_impact: Mapping[str, float]) -> bool:
    impact = alarm.impact
    return impact is not None and impact.metric in min_impact and impact.high < min_impact[impact.metric]


def _place(alarm: Alarm, min_impact: Mapping[str, float]) -> tuple[bool, float, float, str, str]:
    """Known costs come first, the largest of them ahead; then the surest."""
    impact = alarm.impact
    cost = 0.0 if impact is None else impact.change / (min_impact.get(impact.metric) or 1.0)
    surety = math.inf if alarm.p_adjusted is None else alarm.p_adjusted
    return impact is None, -cost, surety, alarm.part, alarm.name
