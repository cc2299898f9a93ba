"""What comes from data, specs and tools may hold anything; nothing of it steers the terminal."""

import io

from mlctl.engine.applier import Applied
from mlctl.types.address import Address, ObjectKey
from mlctl.types.change import Action, Change, FieldChange, Plan, Reason
from mlctl.types.diagnostic import Diagnostic
from mlctl.types.event import StepFailed, StepGate, StepProgress, StepStarted
from mlctl.types.state import Gate
from mlctl.views.human import plan, result
from mlctl.views.human.apply import ApplyView, describe

EVIL = "\x1b[2Jred\r\x9b31m\u202e\x07"
ADDRESS = Address("builds", "a")
KEY = ObjectKey(ADDRESS, "k")
FIELDS = tuple(
    FieldChange(*change)
    for change in [(f"tags.{EVIL}", EVIL, [EVIL]), (EVIL, 1, 2, 3), (f"input:{EVIL}", EVIL, None), ("a", [EVIL * 50], [EVIL * 60])]
)  # fmt: skip
CHANGE = Change(Action.UPDATE, KEY, Reason.BROKEN, FIELDS, EVIL, gate=Gate(False, EVIL, (EVIL,)), drift=True)
KEPT = Change(Action.NOOP, KEY, Reason.SAME, gate=Gate(False, EVIL, (EVIL,)))


def assert_safe(text: str) -> None:
    assert "red" in text
    assert all(char.isprintable() or char == "\n" for char in text), ascii(text)


def test_a_plan() -> None:
    assert_safe(plan.render(Plan((CHANGE, KEPT), "l", 1, "d"), verbose=True))


def test_an_apply() -> None:
    stream = io.StringIO()
    with ApplyView(stream) as show:
        show(StepStarted(CHANGE))
        show(StepGate(ADDRESS, Gate(False, EVIL, (EVIL,))))
        show(StepFailed(CHANGE, (Diagnostic("a.b", EVIL, EVIL, EVIL),), 1.0))
    assert_safe(stream.getvalue())
    assert_safe(describe(StepProgress(ADDRESS, EVIL, 1, 2, EVIL, {EVIL: 1.0}), None))


def test_a_result() -> None:
    assert_safe(result.render(Applied(failed=[StepFailed(CHANGE, (Diagnostic("a.b", EVIL),), 1.0)])))
