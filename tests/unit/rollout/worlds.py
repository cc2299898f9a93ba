"""Rollouts that have come to some point, and what is asked of them in tests."""

from __future__ import annotations

from mlctl.rollout.state import Phase
from mlctl.rollout.verdict import Says
from tests.properties.rollout_world import World


def world(strategy: str = "canary", version: str = "1") -> World:
    """A first deployment that has come to rest."""
    made = World()
    made.happen(("apply", (strategy, version)))
    for _ in range(8):
        made.turn()
    assert made.state.phase is Phase.DONE
    return made


def wait(made: World, turns: int = 8) -> None:
    for _ in range(turns):
        made.turn()


def candidate(made: World, strategy: str = "canary", version: str = "2") -> None:
    made.happen(("apply", (strategy, version)))
    wait(made)
    assert made.state.phase is Phase.STEPPING


def say(made: World, says: Says, requests: int = 1000) -> None:
    made.happen(("verdict", (says, requests)))


def order(made: World, name: str) -> None:
    made.happen(("order", name))
    made.turn()


def version(made: World, number: int | None) -> str:
    release = made.state.release(number)
    return "" if release is None else release.revision.version


def shares(made: World) -> dict[str, int]:
    assert made.gateway is not None
    return {name: share for name, share in made.gateway.shares.items() if share}


def texts(made: World) -> str:
    return "\n".join(f"{item.event}: {item.text}" for item in made.notes)
