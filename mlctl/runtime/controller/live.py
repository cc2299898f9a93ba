"""What those who watch a rollout are shown: live.json. Nothing depends on it."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

from mlctl.rollout.evidence import Counts
from mlctl.rollout.seen import Question
from mlctl.rollout.state import RolloutState
from mlctl.runtime.controller.asking import since_begin
from mlctl.runtime.controller.front import Front
from mlctl.runtime.controller.metering import Metering, copies_of
from mlctl.types.jobs.rollout import Wanted


def live_view(
    state: RolloutState,
    wanted: Wanted,
    metering: Metering,
    front: Front,
    question: Question | None,
    now: float,
) -> dict[str, Any]:
    """All figures at one moment."""
    routes = front.in_force(wanted.gateway)
    problem = front.problem
    return {
        "at": now,
        "pid": os.getpid(),
        "gateway": {
            "alive": front.alive(),
            "problem": None if problem is None else [asdict(item) for item in problem.diagnostics],
        },
        "variants": {
            name: {
                "release": number,
                "share": 0 if routes is None else routes.shares.get(name, 0),
                "copies": 0
                if routes is None or routes.mirror is None or routes.mirror.variant != name
                else routes.mirror.share,
                **_figures(state, metering, name),
            }
            for name, number in state.variants().items()
        },
        "gate": None if question is None else _gate(question, state),
        "serial": wanted.serial,
    }


def _figures(state: RolloutState, metering: Metering, name: str) -> dict[str, Any]:
    """Of a variant: what it did since the step began, or since ever; copies when it answers nothing else."""
    counted = copies_of(name) if metering.mirrored == name else name
    counts = since_begin(state.memory, counted, metering) or Counts()
    return {
        "requests": counts.requests,
        "errors": counts.errors,
        **{f"p{share}": _finite(counts.seconds.quantile(share / 100)) for share in (50, 95, 99)},
        "ttft_p50": _finite(counts.ttft.quantile(0.5)),
        "tokens_per_second": counts.tokens / counts.decoding_seconds if counts.decoding_seconds else None,
        "series": metering.series.to_json(counted),
    }


def _gate(question: Question, state: RolloutState) -> dict[str, Any]:
    looked = float(state.memory.get("looked", state.clock))
    return {
        "name": question.gate,
        "min_requests": question.rule.min_requests,
        "next_look": max(0.0, looked + question.rule.interval_seconds - state.clock),
    }


def _finite(value: float | None) -> float | None:
    return None if value is None or value == float("inf") else value
