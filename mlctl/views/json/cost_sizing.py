"""Options, right sizes and advice as JSON."""

from __future__ import annotations

from typing import Any

from mlctl.estimate.advice import Saving
from mlctl.estimate.sizing import Judged, Sizing


def option_json(judged: Judged) -> dict[str, Any]:
    """One option, with all that is known of it."""
    option, outlook = judged.option, judged.outlook
    return {
        "device": option.device.name,
        "devices": option.device.count,
        "paid": option.paid,
        "provider": option.provider,
        "tier": option.tier,
        "regions": sorted({row.region for row in option.price.rows if row.region}),
        "price": {**option.price.usd.to_json(), "as_of": option.price.as_of.isoformat(),
                  "sources": sorted({row.source for row in option.price.rows})},
        "hourly": option.hourly.to_json(),
        "fit": outlook.fit.value,
        "memory": None if outlook.memory is None else outlook.memory.to_json(),
        "seconds": None if outlook.seconds is None else outlook.seconds.to_json(),
        "elapsed": None if judged.elapsed is None else judged.elapsed.to_json(),
        "usd": None if judged.usd is None else judged.usd.to_json(),
        "useful": round(judged.useful, 4),
        "figures": {name: value.to_json() for name, value in outlook.figures.items()},
        "changes": list(outlook.changes),
        "lost": None if judged.lost is None else judged.lost.value,
        "why": judged.why,
    }  # fmt: skip


def sizing_json(found: Sizing) -> dict[str, Any]:
    """The choice, everything else in its order, and today."""
    return {
        "chosen": None if found.chosen is None else option_json(found.chosen),
        "others": [option_json(item) for item in found.others],
        "today": today_json(found),
        "saves_usd": None if found.saves is None else round(found.saves, 6),
        "per_hour": found.by_hour,
        "assumed_requests": found.wish.usual,
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
