"""Asks the gate of the step that is in effect, at its interval, with what was counted of both sides since the step began."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mlctl.rollout.counting import counts_from, counts_to
from mlctl.rollout.evidence import Counts
from mlctl.rollout.seen import Answer, Question
from mlctl.rollout.state import RolloutState
from mlctl.runtime.controller.metering import Metering, copies_of


@dataclass(frozen=True, slots=True)
class Look:
    """What a gate had to go by at one look, which is the `number`th of its step. `clock` is that of the state."""

    token: int
    number: int
    clock: float
    candidate: Mapping[str, Any]
    baseline: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Asked:
    """The state with what is to be remembered of a question, and the answer if there is a new one."""

    state: RolloutState
    answer: Answer | None
    look: Look | None = None


def ask(state: RolloutState, question: Question | None, metering: Metering) -> Asked:
    """Ask the gate when it is time to. What it remembers is kept in the state of the step: a controller that begins anew
    spends none of the chance for errors twice."""
    if question is None:
        return Asked(state, None)
    memory = state.memory
    if memory.get("token") != question.token:  # the step has just come into effect: counts begin now, on both sides
        metering.measure(at_once=True)
        begun = {name: counts_to(metering.meter.total(name)) for name in _sides(question) if name is not None}
        memory = {**memory, "token": question.token, "begun": begun, "judge": {}, "looked": state.clock}
        return Asked(replace(state, memory=memory), None)
    # by the clock of the state: neither sleep nor a clock that is set anew lets time pass that nobody has seen
    if state.clock - float(memory["looked"]) < question.rule.interval_seconds:
        return Asked(state, None)
    metering.measure(at_once=True)
    from mlctl.rollout.judge import Judge  # statistics: only when a gate has something to look at

    candidate, baseline = (since_begin(memory, name, metering) for name in _sides(question))
    judge = Judge(question.rule, memory["judge"])
    verdict = judge.look(candidate or Counts(), baseline, state.clock)
    number = int(memory.get("looks", 0)) + 1
    memory = {**memory, "judge": judge.memory(), "looked": state.clock, "looks": number}
    told = None if baseline is None else counts_to(baseline)
    look = Look(question.token, number, state.clock, counts_to(candidate or Counts()), told)
    return Asked(replace(state, memory=memory), Answer(question.token, verdict), look)


def since_begin(memory: Mapping[str, Any], name: str | None, metering: Metering) -> Counts | None:
    """What was counted of one side since the step began."""
    if name is None:
        return None
    begun = memory.get("begun", {}).get(name)
    total = metering.meter.total(name)
    return total if begun is None else total.minus(counts_from(begun))


def _sides(question: Question) -> tuple[str, str | None]:
    """Under which names the candidate and the baseline are counted."""
    return (copies_of(question.candidate) if question.copies else question.candidate), question.baseline
