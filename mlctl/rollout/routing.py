"""Where requests go, by the state alone: to who is to answer and can, and else to who did before."""

from __future__ import annotations

from collections.abc import Mapping

from mlctl.rollout import strategies
from mlctl.rollout.routes import TOTAL, Backend, Mirror, Routes
from mlctl.rollout.state import PREVIOUS, RolloutState
from mlctl.types.jobs.rollout import CANDIDATE, STABLE, Stepwise, Wanted


def routes_of(state: RolloutState, wanted: Wanted) -> Routes | None:
    """What the gateway is to follow; None while nothing has ever been ready. Its serial is the state's."""
    variants = state.variants()
    shares = _arms(state, variants) if state.arm_shares else _one_by_one(state, variants)
    backends: dict[str, Backend] = {}
    for name, number in variants.items():
        release = state.releases[number]
        if release.backend is not None and (release.ready or shares.get(name, 0) > 0):
            backends[name] = release.backend
    if not shares or any(share > 0 and name not in backends for name, share in shares.items()):
        return None
    serial = 0 if state.routes is None else state.routes.serial
    return Routes(backends, shares, wanted.unit, _mirror(state, backends), serial)


def _arms(state: RolloutState, variants: Mapping[str, int]) -> dict[str, int]:
    """Units of an arm whose server is away go to its neighbour; those of the others stay."""
    away = [name for name in state.arm_shares if name not in variants or not state.releases[variants[name]].ready]
    there = strategies.without(state.arm_shares, away)
    # when none is ready, their last addresses stand: the gateway says 503 until one is back
    if len(away) == len(there):
        return strategies.without(state.arm_shares, [name for name in away if name not in variants])
    return there


def _one_by_one(state: RolloutState, variants: Mapping[str, int]) -> dict[str, int]:
    """Shares of the version before, the stable one and the candidate, in this order.

    While the stable version is away the one before answers for it, and else a candidate that answers already; one that
    answers nothing yet is not let at requests because of it.
    """
    if STABLE not in variants:
        return {}
    ready = {name for name, number in variants.items() if state.releases[number].ready}
    share = candidate_share(state) if CANDIDATE in ready else 0
    shares = {name: 0 for name in variants}
    shares[STABLE] = TOTAL - share
    if CANDIDATE in variants:
        shares[CANDIDATE] = share
    if STABLE not in ready and PREVIOUS in ready:
        shares[PREVIOUS], shares[STABLE] = shares[STABLE], 0
    elif STABLE not in ready and share > 0:
        shares[CANDIDATE], shares[STABLE] = TOTAL, 0
    return shares


def candidate_share(state: RolloutState) -> int:
    """The candidate's share by its step; after the last step it keeps that one's for a moment."""
    if state.candidate is None or state.stable is None or not isinstance(state.strategy, Stepwise):
        return 0
    steps = state.strategy.steps
    return strategies.share_of(strategies.weight_at(steps, state.step)) if steps else 0


def _mirror(state: RolloutState, backends: Mapping[str, Backend]) -> Mirror | None:
    """Copies for the candidate, while it is ready and the step says so."""
    if state.arm_shares or state.current_step() is None or not isinstance(state.strategy, Stepwise):
        return None
    share = strategies.share_of(strategies.mirror_at(state.strategy.steps, state.step))
    return Mirror(CANDIDATE, share) if share and CANDIDATE in backends else None
