"""What a plan tells of an object that it leaves as it is."""

from __future__ import annotations

from dataclasses import replace

from mlctl.engine.secrecy import compared
from mlctl.provider import Observed
from mlctl.types.address import ObjectKey
from mlctl.types.change import Action, Change, Plan, Reason
from mlctl.types.secret import Secrets
from mlctl.views.human.plan import render
from mlctl.views.markdown.plan import render as comment

HELD = Change(
    Action.NOOP, ObjectKey.parse("deployments.api#"), Reason.SAME, detail="held: churn v8: error_rate\x1b[2J 3 %"
)


def test_a_note_is_told_and_is_no_change() -> None:
    plan = Plan((HELD,), "l", 1, "d")
    assert plan.empty
    shown = render(plan)
    assert "note deployments.api: held: churn v8: error_rate\\x1b[2J 3 %" in shown
    assert "No changes." in shown
    assert "**Notes**" in comment(plan)
    assert "note" not in render(Plan((replace(HELD, detail=""),), "l", 1, "d"))


def test_what_was_changed_outside_is_told_once() -> None:
    drifted = replace(HELD, drift=True, reason=Reason.BROKEN)
    assert "note" not in render(Plan((drifted,), "l", 1, "d"))


def test_a_note_has_no_secret_in_it() -> None:
    seen = compared(Observed(note="held: hunter22hunter22"), Secrets({"var.token": "hunter22hunter22"}))
    assert seen is not None
    assert seen.note == "held: (sensitive)"
