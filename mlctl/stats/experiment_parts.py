"""What stands beside the verdict of an experiment: whether units came as asked for, subgroups, and whether an effect wears off."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from mlctl.stats import srm
from mlctl.stats.arm_metrics import Contrast, Kind, Moments, contrast
from mlctl.stats.experiment_verdict import Rules
from mlctl.stats.subgroups import adjusted, heterogeneity

_BLAMED = 5  # segments that are told
_WEEK = 7  # days
_FADES = 0.05  # level of the test that weeks differ


def ratio_check(rules: Rules, moments: Mapping[str, Any], p_value: float) -> dict[str, Any]:
    """The test of shares: the first day on which it was failed, and the segments that are furthest off."""
    so_far, bad_day = dict.fromkeys(rules.shares, 0), None
    for day, counts in sorted(moments["days"].items()):
        so_far = {arm: so_far[arm] + counts.get(arm, 0) for arm in so_far}
        if bad_day is None and srm.sequential_p_value(so_far, rules.shares) < rules.srm_alpha:
            bad_day = day
    chi_square = srm.chi_square(so_far, rules.shares) if sum(so_far.values()) else None
    found: dict[str, Any] = {
        "passed": p_value >= rules.srm_alpha,
        "p_value": p_value,
        "alpha": rules.srm_alpha,
        "chi_square": None if chi_square is None else chi_square[0],
        "chi_square_p_value": None if chi_square is None else chi_square[1],
        "first_bad_day": bad_day,
        "blame": [],
    }
    if not found["passed"]:
        segments = {
            f"{name} = {value}": counts
            for name, values in moments["segments"].items()
            for value, counts in values.items()
        }
        segments |= {f"day = {day}": counts for day, counts in moments["days"].items()}
        found["blame"] = [
            {"segment": name, "p_value": value, "units": {arm: segments[name].get(arm, 0) for arm in rules.shares}}
            for name, value in srm.blame(segments, rules.shares)[:_BLAMED]
        ]
    return found


def subgroup_effects(rules: Rules, metric: str, kind: Kind, moments: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The effect on one metric in each subgroup, adjusted for how many there are, and whether they differ (Cochran's Q)."""
    known: Mapping[str, Any] = moments["metrics"].get(metric, {}).get("subgroups", {})
    rows: list[dict[str, Any]] = []
    for arm in rules.treatments:
        of_arm: list[tuple[str, str, Contrast]] = []
        for name, values in known.items():
            for value, arms in values.items():
                compared = _contrast(kind, arms.get(rules.control), arms.get(arm))
                if compared is not None:
                    of_arm.append((name, value, compared))
        p_values = adjusted([one.p_value for _, _, one in of_arm])
        for name in known:
            mine = [(value, one, p) for (group, value, one), p in zip(of_arm, p_values, strict=True) if group == name]
            q = heterogeneity([one.difference for _, one, _ in mine], [one.error for _, one, _ in mine])
            rows.append(
                {
                    "subgroup": name,
                    "arm": arm,
                    "q": None if q is None else q.q,
                    "p_value": None if q is None else q.p_value,
                    "values": [
                        {
                            "value": value,
                            "units": one.control.units + one.treatment.units,
                            "control": one.control.value,
                            "treatment": one.treatment.value,
                            "difference": one.difference,
                            "error": one.error,
                            "p_value": one.p_value,
                            "p_adjusted": p,
                        }
                        for value, one, p in mine
                    ],
                }
            )
    return rows


def novelty(rules: Rules, metric: str, kind: Kind, moments: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The effect by the week in which units were first exposed. One that is large at first and then wears off is a novelty."""
    days: Mapping[str, Any] = moments["metrics"].get(metric, {}).get("days", {})
    every = sorted({day for of_arm in days.values() for day in of_arm})
    if not every:
        return []
    first = date.fromisoformat(every[0])
    weeks: dict[int, dict[str, Moments]] = {}
    for arm, of_arm in days.items():
        for day, sums in sorted(of_arm.items()):
            week = weeks.setdefault((date.fromisoformat(day) - first).days // _WEEK, {})
            week[arm] = week.get(arm, Moments()) + Moments.from_json(sums)
    found = []
    for arm in rules.treatments:
        listed = []
        for number, sums in sorted(weeks.items()):
            compared = _contrast(kind, sums.get(rules.control), sums.get(arm))
            if compared is not None:
                listed.append((number, compared))
        q = heterogeneity([one.difference for _, one in listed], [one.error for _, one in listed])
        fades = q is not None and q.p_value < _FADES and abs(listed[0][1].difference) > abs(listed[-1][1].difference)
        found.append(
            {
                "arm": arm,
                "q": None if q is None else q.q,
                "p_value": None if q is None else q.p_value,
                "fades": fades,
                "weeks": [
                    {
                        "week": number + 1,
                        "units": one.control.units + one.treatment.units,
                        "difference": one.difference,
                        "error": one.error,
                    }
                    for number, one in listed
                ],
            }
        )
    return found


def _contrast(kind: Kind, control: Any, treatment: Any) -> Contrast | None:
    """Two sets of sums beside each other, stored or not; None when there is too little in one."""
    try:
        left, right = (one if isinstance(one, Moments) else Moments.from_json(one) for one in (control, treatment))
        found = contrast(kind, left, right)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return found if found.error > 0 else None
