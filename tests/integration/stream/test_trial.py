"""An event that no window can be computed over is found before it is kept, whatever else came with it."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mlctl.runtime.stream.trial import Trial
from tests.integration.stream.rig import Draw, Rig

pytestmark = pytest.mark.tools
START = datetime(2026, 1, 1)


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    rig = Rig(tmp_path, {"type": "redis", "url": "redis://localhost"}, [])
    expressions = {
        "twice": "CASE WHEN amount = 7 THEN 'nan'::DOUBLE ELSE amount * 2 END",
        "worth": "CAST(CASE WHEN shop = 'x' THEN shop ELSE '3' END AS INTEGER)",
    }
    return Trial(rig.view.model_copy(update={"expressions": expressions}), rig.folder)


def event(**changed: Any) -> dict[str, Any]:
    return {"id": 1, "at": START.isoformat(), "amount": 1.0, "household_id": 1, "shop": "a", **changed}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (event(shop="x"), "Could not convert string 'x'"),
        (event(amount=7.0), "NaN or infinite"),
        (event(amount=1e30), "too large to be summed exactly"),
    ],
)
def test_a_value_that_cannot_be_computed_with_is_refused_with_the_reason(
    trial: Trial, bad: dict[str, Any], reason: str
) -> None:
    good = Draw(1).events(20, START, START + timedelta(seconds=60))
    found = trial.refused([*good[:13], bad, *good[13:], bad])
    assert found.keys() == {13, 21}
    assert all(reason in why for why in found.values())
    assert trial.refused(good) == trial.refused([]) == {}
    trial.close()
