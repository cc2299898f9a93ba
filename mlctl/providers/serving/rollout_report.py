"""All that is to be known of one rollout, as one JSON object: what `mlctl rollout status` shows, and prints with --json."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mlctl.processes import service
from mlctl.providers.serving.rollouts import Standing, standing
from mlctl.rollout import strategies
from mlctl.rollout.routes import TOTAL
from mlctl.rollout.state import Held, Release
from mlctl.types.jobs.rollout import HISTORY_FILE, Stepwise
from mlctl.types.value import Json

_FRESH_SECONDS = 10.0  # what was measured longer ago is of a controller that is gone


def report(address: str, folder: Path) -> dict[str, Any] | None:
    """How it stands now; None for a deployment that has no gateway."""
    found, controller = standing(folder), service.find(folder)
    if found is None:
        return None
    told = {"running": controller.running, "pid": controller.pid if controller.running else None}
    return of_standing(address, found, told)


def of_standing(address: str, found: Standing, controller: Mapping[str, Any] | None) -> dict[str, Any]:
    """The same of a rollout that was read already; on a cluster there is no controller."""
    state = found.state
    live = found.live if time.time() - float(found.live.get("at", 0.0)) < _FRESH_SECONDS else {}
    return {
        "address": address,
        "phase": "held" if found.held is not None else state.phase.value,
        "reason": state.reason,
        "says": found.says(),
        "since": state.since,
        "controller": None if controller is None else dict(controller),
        "gateway": live.get("gateway"),
        "step": _step(found),
        "variants": [_variant(found, name, number, live) for name, number in state.variants().items()],
        "gate": _gate(found, live),
        "paused": None if state.paused is None else asdict(state.paused),
        "held": [_held(item) for item in state.held],
        "promotions": state.promotions,
        "failures": state.failures,
        "shadow": live.get("shadow"),
        "bandit": live.get("bandit"),
    }


def history(folder: Path) -> Iterator[dict[str, Json]]:
    """What happened, oldest first. A line that was cut off by a kill is left out."""
    for name in (f"{Path(HISTORY_FILE).stem}.1.jsonl", HISTORY_FILE):
        path = folder / name
        if not path.exists():
            continue
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                stored = json.loads(line)
            except ValueError:
                continue
            if isinstance(stored, dict):
                yield stored


def _step(found: Standing) -> dict[str, Any] | None:
    state, strategy = found.state, found.state.strategy
    step = state.current_step()
    if step is None or not isinstance(strategy, Stepwise):
        return None
    return {
        "number": state.step + 1,
        "of": len(strategy.steps),
        "strategy": strategy.type,
        "name": step.name,
        "weight": strategies.weight_at(strategy.steps, state.step),
        "mirror": strategies.mirror_at(strategy.steps, state.step),
        "seconds": state.step_seconds,
        "pause_seconds": step.pause_seconds,
        "confirm": step.confirm,
        "gate": step.gate,
        "in_effect": state.in_effect,
    }


def _variant(found: Standing, name: str, number: int, live: Mapping[str, Any]) -> dict[str, Any]:
    release: Release = found.state.releases[number]
    routes = found.state.routes
    measured = (live.get("variants") or {}).get(name) or {}
    return {
        "name": name,
        "model": release.revision.model,
        "version": release.revision.version,
        "release": number,
        "condition": "ready" if release.ready else "starting" if release.running else "down",
        "percent": 0.0 if routes is None else routes.shares.get(name, 0) * 100 / TOTAL,
        "deaths": release.deaths,
        **{field: value for field, value in measured.items() if field not in ("release", "share")},
    }


def _gate(found: Standing, live: Mapping[str, Any]) -> dict[str, Any] | None:
    state, step = found.state, found.state.current_step()
    if step is None or step.gate is None:
        return None
    verdict = state.verdict
    return {
        "name": step.gate,
        "says": None if verdict is None else verdict.says.value,
        "why": "" if verdict is None else verdict.why,
        "findings": [] if verdict is None else [{**asdict(item), "says": item.says.value} for item in verdict.findings],
        "requests": 0 if verdict is None else verdict.requests,
        "baseline_requests": 0 if verdict is None else verdict.baseline_requests,
        "min_requests": state.gates[step.gate].min_requests,
        "next_look": (live.get("gate") or {}).get("next_look"),
    }


def _held(item: Held) -> dict[str, Any]:
    return {"model": item.model, "version": item.version, "why": item.why, "by": item.by, "at": item.at}
