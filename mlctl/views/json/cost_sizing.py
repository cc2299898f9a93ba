"""Right sizes and advice as lines of JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlctl.estimate.advice import Saving
from mlctl.estimate.sizing import Judged, Sizing


def sizing_json(found: Sizing, option: Callable[[Judged], dict[str, Any]]) -> dict[str, Any]:
    """The choice, everything else in its order, and today."""
    return {
        "chosen": None if found.chosen is None else option(found.chosen),
        "others": [option(item) for item in found.others],
        "today": today_json(found),
        "saves_usd": None if found.saves is None else round(found.saves, 6),
        "per_hour": found.by_hour,
    }


def today_json(found: Sizing) -> dict[str, Any]:
    """Where it is now."""
    today = found.today
    option, outlook = today.option, today.outlook
    return {
        "device": outlook.device.name,
        "devices": outlook.device.count,
        "tier": None if option is None else option.tier,
        "hourly": None if option is None else option.hourly.to_json(),
        "memory": None if outlook.memory is None else outlook.memory.to_json(),
        "elapsed": None if today.elapsed is None else today.elapsed.to_json(),
        "usd": None if today.usd is None else today.usd.to_json(),
        "lost": None if today.lost is None else today.lost.value,
        "why": today.why,
        "oversized": today.oversized,
    }


def saving_json(found: Saving) -> dict[str, Any]:
    """What a change saves; negative is what it takes more."""
    return {
        "usd": None if found.usd is None else found.usd.to_json(),
        "per": found.per or "all of it",
        "seconds": None if found.seconds is None else found.seconds.to_json(),
        "memory": None if found.memory is None else found.memory.to_json(),
        "work": None if found.work is None else found.work.to_json(),
        "notes": list(found.notes),
    }
