"""What a look at the world changes in the state before anything is decided: the clock, and how each release does."""

from __future__ import annotations

from dataclasses import replace

from mlctl.rollout.seen import Look, Seen
from mlctl.rollout.state import Release, RolloutState
from mlctl.rollout.turn import same_routes

# The most that one turn can let pass. A controller turns several times a second; when it did not, because the machine
# slept or the clock was set, nobody knows what happened meanwhile, and pauses last the longer for it.
MOST_SECONDS = 2.0
# How long a release may be neither ready nor dead. A language model is read from disk, and may be compiled.
START_SECONDS = {"server": 180.0, "llm_server": 1800.0}
STEADY_SECONDS = 600.0  # who has been ready for so long without a break does not die "again and again"
NEVER_READY_DEATHS, DEATHS = 3, 5  # after how many a release is given up: one that was never ready, any other


def take_looks(state: RolloutState, now: float, seen: Seen) -> RolloutState:
    """Let the time pass that was seen to pass, and note how releases do."""
    passed = 0.0 if state.at is None else min(max(now - state.at, 0.0), MOST_SECONDS)
    releases = {
        number: _looked_at(release, seen.releases.get(number, Look(running=False)), passed)
        for number, release in state.releases.items()
    }
    numbers = [state.next_number - 1, *seen.releases]
    state = replace(
        state,
        clock=state.clock + passed,
        at=now,
        releases=releases,
        next_number=max(numbers) + 1,
        taken=tuple(name for name, _ in seen.orders if name in state.taken),
    )
    held = state.in_effect and in_effect(state, seen)  # at both ends of the time that passed
    return replace(state, step_seconds=state.step_seconds + (passed if held else 0.0))


def in_effect(state: RolloutState, seen: Seen) -> bool:
    """Whether the gateway does what the state says, and those who are to answer can."""
    return state.routes is not None and same_routes(state.routes, seen.routes) and both_ready(state)


def both_ready(state: RolloutState) -> bool:
    """Whether the stable version and the candidate are ready, as far as there are any."""
    return all(
        release is None or release.ready for release in (state.release(state.stable), state.release(state.candidate))
    )


def overdue(release: Release) -> bool:
    """Whether a release that runs should have been ready by now."""
    return release.running and release.unready_seconds > START_SECONDS[release.revision.program]


def given_up(release: Release) -> str:
    """Why a release is not tried any longer; empty while it is."""
    last = f": {release.why}" if release.why else ""
    if overdue(release):
        return f"it was not ready within {START_SECONDS[release.revision.program]:g} s"
    if not release.was_ready and release.deaths >= NEVER_READY_DEATHS:
        return f"it ended {release.deaths} times before it was ready{last}"
    if release.deaths >= DEATHS:
        return f"it ended {release.deaths} times{last}"
    return ""


def _looked_at(release: Release, look: Look, passed: float) -> Release:
    ready = look.running and look.backend is not None
    new_deaths = max(0, look.deaths - release.reported_deaths)
    if not look.running and release.running and overdue(release):
        new_deaths = max(new_deaths, 1)  # it was ended since it hung
    ready_seconds = release.ready_seconds + passed if ready and release.ready else 0.0
    unready_seconds = release.unready_seconds + passed if look.running and not ready else 0.0
    backend = release.backend
    if look.backend is not None and ready:
        revision = release.revision
        backend = replace(look.backend, version=revision.version, model=look.backend.model or revision.adapter)
    return replace(
        release,
        running=look.running,
        ready=ready,
        was_ready=release.was_ready or ready,
        backend=backend,
        deaths=0 if ready_seconds > STEADY_SECONDS else release.deaths + new_deaths,
        reported_deaths=look.deaths,
        ready_seconds=ready_seconds,
        unready_seconds=unready_seconds,
        why=look.why or release.why,
    )
