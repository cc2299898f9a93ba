"""Random histories of a rollout: versions, verdicts, orders, deaths, kills and clocks. Whatever happens, the promises hold."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, given, settings

from tests.properties.rollout_world import live
from tests.properties.rollouts import HISTORIES, Event

EXAMPLES = int(os.environ.get("MLCTL_HISTORIES", "300"))


@given(history=HISTORIES)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_happens_to_a_rollout_its_promises_hold(history: list[Event]) -> None:
    live(history)
