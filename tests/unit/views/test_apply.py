"""What a person sees while an apply runs."""

import io

import pytest

from mlctl.engine.applied import Applied
from mlctl.types.address import Address, ObjectKey
from mlctl.types.change import Action, Change, Reason
from mlctl.types.diagnostic import Diagnostic
from mlctl.types.event import StepDone, StepFailed, StepGate, StepProgress, StepSkipped, StepStarted
from mlctl.types.state import Gate, Record
from mlctl.views.human import apply as view
from mlctl.views.human import result
from mlctl.views.human.apply import ApplyView, describe

ADDRESS = Address("training", "churn")
CHANGE = Change(Action.RUN, ObjectKey(ADDRESS, "k"), Reason.SPEC)


def shown(*events: object) -> str:
    stream = io.StringIO()
    with ApplyView(stream) as show:
        for event in events:
            show(event)  # type: ignore[arg-type]
    return stream.getvalue()


def test_a_step_has_a_line_when_it_begins_and_one_when_it_ends() -> None:
    text = shown(StepStarted(CHANGE), StepDone(CHANGE, None, 72.0))
    assert text == "  > training.churn: run (the project changed)\n  ✓ training.churn: done in 1 min 12 s\n"


def test_what_a_kind_remarks_on_is_told_of_what_was_made_and_not_of_what_was_there() -> None:
    record = Record(CHANGE.key, "r", outputs={"warnings": [{"short": "s", "text": "target leakage: `x`"}]})
    assert "    warning: target leakage: `x`\n" in shown(StepDone(CHANGE, record, 1.0))
    assert "leakage" not in shown(StepDone(CHANGE, record, 0.0, reused=True))
    odd = Record(CHANGE.key, "r", outputs={"warnings": ["of another kind"]})
    assert "warning" not in shown(StepDone(CHANGE, odd, 1.0))


def test_a_check_that_did_not_pass_is_not_called_done_in_the_summary() -> None:
    applied = Applied()
    applied.done = [StepDone(CHANGE, Record(CHANGE.key, "r"), 1.0)]
    applied.gates = [StepGate(ADDRESS, Gate(False, "1 of 2 rules failed", ()))]
    assert "not passed  training.churn  run  1.0 s" in result.render(applied)
    applied.gates = [StepGate(ADDRESS, Gate(True, "2 rules", ()))]
    assert "done  training.churn  run  1.0 s" in result.render(applied)


def test_a_gate_that_did_not_pass_says_why() -> None:
    text = shown(StepGate(ADDRESS, Gate(False, "1 of 2 rules failed", ("range(fare): 3 rows",))))
    assert text == "    gate training.churn: NOT PASSED, 1 of 2 rules failed\n         range(fare): 3 rows\n"


def test_failures_and_skips() -> None:
    problem = Diagnostic("job.died", "it died", "out of memory", "use less")
    text = shown(
        StepFailed(CHANGE, (problem,), 3.0, True), StepSkipped(CHANGE, Address("datasets", "rows"), "it failed")
    )
    assert "failed after 3.0 s; it can be resumed" in text
    assert "error[job.died]: it died\nwhy: out of memory\nfix: use less" in text
    assert "skipped, because of datasets.rows: it failed" in text


def test_the_time_left_is_told_from_the_pace_since_counting_began(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 100.0, 110.0])
    monkeypatch.setattr(view.time, "monotonic", lambda: next(clock))
    stream = io.StringIO()
    show = ApplyView(stream)
    show(StepStarted(CHANGE))
    show(StepProgress(ADDRESS, "epoch 1", 1, 101, "steps"))  # after 100 s of preparing
    show(StepProgress(ADDRESS, "epoch 1", 21, 101, "steps"))  # 20 steps in 10 s
    assert "1% (1 of 101 steps)\n" in stream.getvalue()
    assert "21% (21 of 101 steps), 40 s left" in stream.getvalue()


def test_figures_are_shown_short() -> None:
    event = StepProgress(ADDRESS, "epoch 2", 5, 10, "steps", {"loss": 0.123456})
    assert describe(event, 3.0) == "epoch 2, 50% (5 of 10 steps), 3.0 s left, loss 0.1235"
