"""What people ask of a rollout: promote, abort, pause, resume, retry, undo. An order that has no effect is noted, never kept."""

from __future__ import annotations

from dataclasses import replace

from mlctl.rollout import stepwise
from mlctl.rollout.state import Paused
from mlctl.rollout.turn import Turn
from mlctl.types.jobs.rollout import Bandit, Order, Stepwise


def take_orders(turn: Turn) -> None:
    """Carry out the orders that were not taken yet. They are remembered for as long as their files are there."""
    for name, order in turn.seen.orders:
        if name not in turn.state.taken:
            turn.state = replace(turn.state, taken=(*turn.state.taken, name))
            _TAKE[order.what](turn, order)


def _promote(turn: Turn, order: Order) -> None:
    state = turn.state
    if state.candidate is None:
        _refuse(turn, order, "no new version is on its way")
    elif order.full:
        turn.state = replace(state, leave="all", paused=None)
        turn.note("promote", f"{_who(order)} wants {turn.named(state.candidate)} to answer all requests at once")
    elif state.current_step() is None:
        _refuse(turn, order, f"{turn.named(state.candidate)} is at no step")
    else:
        turn.state = replace(state, leave="step", paused=None)
        turn.note("promote", f"{_who(order)} lets {turn.named(state.candidate)} leave step {state.step + 1}")


def _abort(turn: Turn, order: Order) -> None:
    if turn.state.candidate is None:
        _refuse(turn, order, "no new version is on its way")
    else:
        stepwise.fail(turn, f"aborted by {_who(order)}", "abort")


def _pause(turn: Turn, order: Order) -> None:
    if turn.state.candidate is None and not isinstance(turn.wanted.strategy, Bandit):
        _refuse(turn, order, "nothing is on its way that could wait")
    elif turn.state.paused is None:
        turn.state = replace(turn.state, paused=Paused(order.who, order.why, order.at))
        turn.note("paused", f"by {_who(order)}")


def _resume(turn: Turn, order: Order) -> None:
    if turn.state.paused is None:
        _refuse(turn, order, "it is not paused")
    else:
        turn.state = replace(turn.state, paused=None)
        turn.note("resumed", f"by {_who(order)}")


def _retry(turn: Turn, order: Order) -> None:
    """What is wanted is tried again from the beginning."""
    wanted = turn.wanted
    arms = [] if isinstance(wanted.strategy, Stepwise) else [rule.revision for rule in wanted.strategy.arms.values()]
    digests = {item.digest for item in [*arms, *([wanted.revision] if wanted.revision is not None else [])]}
    found = [digest for digest in digests if turn.release_held(digest)]
    if turn.state.ended is not None and turn.state.ended.digest in digests:
        found.append(turn.state.ended.digest)
        turn.state = replace(turn.state, ended=None)
    if found:
        turn.note("retry", f"{_who(order)} wants it tried again")
    else:
        _refuse(turn, order, "nothing that is wanted is held")


def _undo(turn: Turn, order: Order) -> None:
    """Back to the version before, at once while it is warm. What is left behind is held, so that no apply brings it back."""
    state, strategy, wanted = turn.state, turn.wanted.strategy, turn.wanted.revision
    why = f"undone by {_who(order)}"
    if state.undoing:
        _refuse(turn, order, f"{turn.named(state.candidate)} is on its way back already")
        return
    if state.candidate is not None:
        stepwise.fail(turn, why, "undo")
        return
    stable = state.release(state.stable)
    if stable is None or state.last is None or not isinstance(strategy, Stepwise):
        _refuse(turn, order, "there is no version before")
        return
    if wanted is not None and stable.revision.digest == wanted.digest:
        turn.hold(stable.revision, why, "undo")
    if turn.ready(state.previous):
        stepwise.swap(turn, why)
    else:
        stepwise.begin(turn, state.last, strategy)
        turn.state = replace(turn.state, leave="all", undoing=True)


def _refuse(turn: Turn, order: Order, why: str) -> None:
    turn.note("refused", f"{order.what} by {order.who or 'somebody'} has no effect: {why}")


def _who(order: Order) -> str:
    return f"{order.who or 'somebody'}{f': {order.why}' if order.why else ''}"


_TAKE = {
    "promote": _promote,
    "abort": _abort,
    "pause": _pause,
    "resume": _resume,
    "retry": _retry,
    "undo": _undo,
}
