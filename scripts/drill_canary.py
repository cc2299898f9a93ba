"""The canary drill for real: servers, a gateway, a controller and clients, and nobody who decides but the gate.

    .venv/bin/python scripts/drill_canary.py [--gateway envoy] [--clients 6] [--minutes 5]

A version that fails 1 % of its requests answers. A second one, as good, takes 10 % of them, then half, then all. A third one fails
3 %: its rollout has to end by itself, with all requests back at the second one, the third one held, and no request lost that a
server did not fail on purpose. Then it is tried again by an order, and has to
fail again. Ends with 1 otherwise.
The servers are small ones without a model; what is drilled is the rollout. One run is one draw: how often such a version is
found, and after how many requests, is told by scripts/bench/serving_statistics.py.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mlctl.providers.serving.rollouts import Standing
from mlctl.rollout.state import Phase
from mlctl.rollout.verdict import Verdict
from mlctl.types.jobs.rollout import GateRule, MetricRule, Step
from tests.rollouts.world import Load, World, canary, living, revision

GUARD = GateRule(metrics=[MetricRule(name="error_rate", margin=0.002)], min_requests=500, interval_seconds=1.0)
STEPS = canary(Step(weight=10, gate="guard"), Step(weight=50, gate="guard"))


class Drill:
    """One deployment through three versions."""

    def __init__(self, world: World, seconds: float) -> None:
        self.world, self.seconds = world, seconds
        self.wrong: list[str] = []
        self.told = 0  # events of the history

    def run(self, clients: int) -> int:
        """All of it; the exit code."""
        self.world.apply(revision("1", fail=0.01), STEPS, gates={"guard": GUARD})
        with Load(self.world, clients, pause=0.0) as load:
            self.roll_out("2", 0.01, "promoted")
            self.roll_out("3", 0.03, "held")
            self.world.order("retry")
            self.until("3 is tried again", lambda found: found.state.phase is Phase.STEPPING and not found.state.held)
            self.until("3 is held again", lambda found: bool(found.state.held))
            self.tell()
            time.sleep(1.0)  # requests that were under way
            before = load.answers["2"]
            time.sleep(1.0)
            self.check("the second version answers again", load.answers["2"] > before)
        self.check(
            f"no request is lost ({sum(load.answers.values()) + sum(load.failed.values()):,} sent)", not load.lost
        )
        print("\n".join(load.lost[:5]))
        return 1 if self.wrong else 0

    def roll_out(self, version: str, fails: float, expected: str) -> None:
        """Apply a version and wait for what becomes of it."""
        print(f"\nversion {version} fails {fails:.0%} of its requests", flush=True)
        began = time.monotonic()
        self.world.apply(revision(version, fail=fails), STEPS, gates={"guard": GUARD})
        self.until(
            "it is decided", lambda found: found.state.candidate is None and found.state.phase is not Phase.STARTING
        )
        state = self.world.standing().state
        held = bool(state.held)
        self.check(f"version {version} is {expected}", held == (expected == "held"))
        self.tell()
        print(f"  after {time.monotonic() - began:.0f} s", flush=True)

    def tell(self) -> None:
        """What the gate said last."""
        state = self.world.standing().state
        verdict: Verdict | None = state.held[-1].verdict if state.held else None
        if verdict is not None:
            print(
                f"  {verdict.says}: {verdict.why}; {verdict.requests:,} requests against {verdict.baseline_requests:,}"
            )
        events = self.world.history()
        for event in events[self.told :]:
            if event["what"] == "gate" and event["says"] == "pass":
                print(f"  pass: {event['text']}")
        self.told = len(events)

    def until(self, what: str, condition: Callable[[Standing], bool]) -> None:
        """Wait for it, or end the drill."""
        deadline = time.monotonic() + self.seconds
        while not condition(self.world.standing()):
            if time.monotonic() > deadline:
                state = self.world.standing().state
                raise SystemExit(f"not within {self.seconds:.0f} s: {what}; it is {state.phase}: {state.reason}")
            time.sleep(0.1)

    def check(self, what: str, holds: bool) -> None:
        """Something that has to hold."""
        print(f"  {'ok   ' if holds else 'WRONG'} {what}", flush=True)
        if not holds:
            self.wrong.append(what)


def main() -> int:
    """Drill in a folder of its own, and leave nothing behind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateway", choices=["envoy", "python"], default="envoy")
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--minutes", type=float, default=5.0, help="how long each rollout may take")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="drill-") as folder, living(World(Path(folder), given.gateway)) as world:
        return Drill(world, 60 * given.minutes).run(given.clients)


if __name__ == "__main__":
    sys.exit(main())
