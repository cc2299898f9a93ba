"""Ask a gate again: all that it had to go by at each look of its step, in the same order, through a judge that knows nothing yet."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from mlctl.rollout.counting import counts_from
from mlctl.types.jobs.rollout import GateRule

# The modules that a verdict comes from.
DECIDING = (
    *(f"mlctl.rollout.{name}" for name in ("judge", "trial", "trials", "bounds", "evidence", "verdict", "counting")),
    *(f"mlctl.stats.{name}" for name in ("sequential", "contrast")),
)


def verdict_of(rule: GateRule, looks: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The verdict of the last look, as JSON. Raises ValueError when there is none, KeyError for what is no look."""
    from mlctl.rollout.judge import Judge  # statistics

    memory: Mapping[str, Any] = {}
    verdict = None
    for look in looks:
        judge = Judge(rule, memory)  # by what it has kept, as a controller does
        baseline = look["baseline"]
        told = None if baseline is None else counts_from(baseline)
        verdict = judge.look(counts_from(look["candidate"]), told, float(look["clock"]))
        memory = json.loads(json.dumps(judge.memory()))
    if verdict is None:
        raise ValueError("the gate was never asked")
    found: dict[str, Any] = json.loads(json.dumps(asdict(verdict)))
    return found
