"""How a rollout stands, read from its controller's folder: for plans, status, and the one who waits for an apply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlctl.providers.serving import controllers
from mlctl.rollout.routes import TOTAL
from mlctl.rollout.state import Held, Phase, Release, RolloutState, from_json
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.jobs.rollout import Stepwise

UNDER_WAY = (Phase.STARTING, Phase.STEPPING)


@dataclass(frozen=True, slots=True)
class Standing:
    """One rollout at one moment."""

    state: RolloutState
    live: Mapping[str, Any]
    digests: tuple[str, ...] = ()  # of the revisions that are wanted
    pid: int | None = None  # of the controller that kept it: it may be of one that is gone

    @property
    def held(self) -> Held | None:
        """What is wanted and not tried any more; None while it is not so."""
        found = (self.state.held_as(digest) for digest in self.digests)
        return next((item for item in found if item is not None), None)

    def named(self, number: int | None) -> str:
        """`churn v8`."""
        release = self.state.release(number)
        return "" if release is None else called(release)

    def says(self) -> str:
        """One line: `canary: step 2 of 4, 10 %, churn v8`, or `held: churn v8: error_rate ...`. Stable while nothing changes."""
        state = self.state
        if (held := self.held) is not None:
            return f"held: {held.model} v{held.version}: {held.why}"
        strategy = state.strategy
        if state.phase is Phase.STEPPING and isinstance(strategy, Stepwise):
            paused = "paused, " if state.paused is not None else ""
            place = f"step {min(state.step + 1, len(strategy.steps))} of {len(strategy.steps)}"
            kind = strategy.type.replace("_", "-")
            return f"{kind}: {paused}{place}, {self.shares()}, {self.named(state.candidate)}"
        if state.phase is Phase.STARTING:
            return f"starting: {state.reason}"
        if state.phase is Phase.DONE and state.in_effect:
            return ""
        return f"switching: {state.reason}" if state.phase is Phase.DONE else state.reason

    def shares(self) -> str:
        """The candidate's share, and what it is sent copies of: `10 %`, `0 % and 50 % copies`."""
        routes, name = self.state.routes, "candidate"
        share = 0 if routes is None else routes.shares.get(name, 0)
        copies = 0 if routes is None or routes.mirror is None else routes.mirror.share
        text = f"{share * 100 / TOTAL:g} %"
        return f"{text} and {copies * 100 / TOTAL:g} % copies" if copies else text

    def weights(self) -> str:
        """Who answers how much: `churn v7 90 %, churn v8 10 %`; empty while one answers all."""
        routes = self.state.routes
        if routes is None:
            return ""
        shares = [(name, share) for name, share in routes.shares.items() if share]
        if len(shares) < 2:
            return ""
        variants = self.state.variants()
        return ", ".join(
            f"{self.named(variants.get(name)) or name} {share * 100 / TOTAL:g} %" for name, share in shares
        )

    def dead(self) -> list[str]:
        """Releases that should run and do not, each in a few words."""
        needed = self.state.slots()
        return [
            f"{called(release)} is being started again ({release.why or f'it ended {release.deaths} times'})"
            for number, release in sorted(self.state.releases.items())
            if number in needed and release.was_ready and not release.ready
        ]

    def problem(self) -> MlctlError | None:
        """What keeps the gateway from its work, if anything does."""
        found = (self.live.get("gateway") or {}).get("problem")
        if not found:
            return None
        return MlctlError(
            [
                Diagnostic(str(item["code"]), str(item["summary"]), str(item.get("why", "")), str(item.get("fix", "")))
                for item in found
            ]
        )


def standing(folder: Path) -> Standing | None:
    """How it stands; None while the controller has not decided on anything yet, or its file is of another version."""
    stored = controllers.kept(folder)
    try:
        return Standing(
            from_json(stored["state"]), controllers.live(folder), controllers.wanted_digests(folder), stored.get("pid")
        )
    except (KeyError, ValueError, TypeError):
        return None


def called(release: Release) -> str:
    """`churn v8`."""
    return f"{release.revision.model} v{release.revision.version}"
