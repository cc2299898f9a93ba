"""A plan as people read it: what moved, what is taken over, what stands by a decision, and what is secret."""

from mlctl.types.address import Address, ObjectKey
from mlctl.types.change import Action, Change, FieldChange, FieldClass, Mode, Plan, Reason, Selection
from mlctl.types.state import Approval, Gate, Held
from mlctl.views.human.plan import render

A = Address("builds", "a")
KEY = ObjectKey(A, "k1234567890")


def shown(*changes: Change, **more: object) -> list[str]:
    return render(Plan(changes, "l", 1, "d", **more)).splitlines()  # type: ignore[arg-type]


def test_an_object_that_moves_by_being_made_anew_does_not_claim_otherwise() -> None:
    text = "\n".join(shown(Change(Action.CREATE, KEY, Reason.NEW, moved_from=Address("builds", "old"))))
    assert "moved from builds.old; its tool knows it by its address" in text
    assert "nothing of it is made anew" not in text


def test_a_moved_object_says_where_it_was_and_that_nothing_runs() -> None:
    lines = shown(Change(Action.NOOP, KEY, Reason.SAME, moved_from=Address("builds", "old")))
    assert lines == [
        "  = builds.a  unchanged: as the project asks",
        "      moved from builds.old; nothing of it is made anew",
        "",
        "No changes. 1 resource as the project asks. 1 resource moved to another address.",
    ]


def test_what_is_taken_over_or_let_go_is_counted_by_itself() -> None:
    lines = shown(
        Change(Action.IMPORT, KEY, Reason.IMPORTED, detail="mlflow model churn version 3"),
        Change(Action.FORGET, KEY, Reason.REMOVED),
        Change(Action.IMPORT, KEY, Reason.PROMOTED),
    )
    assert lines == [
        " <= builds.a           import: mlflow model churn version 3",
        "  . builds.a#k1234567  forget: no longer in the project",
        " <= builds.a           import: taken over from another environment",
        "",
        "Plan: 2 to import, 1 to forget, 0 unchanged.",
    ]


def test_what_an_unattended_apply_would_not_begin_says_why() -> None:
    lines = shown(
        Change(Action.RUN, KEY, Reason.FAILED_BEFORE, detail="failed 3 times", waits="it failed 3 times in a row")
    )
    assert lines[:2] == [
        "  > builds.a  run: failed 3 times",
        "      an unattended apply would wait: it failed 3 times in a row",
    ]


def test_a_rollback_stands_at_the_head() -> None:
    lines = shown(held=Held("r7", "wrong answers in Chile", "ann", "2026-11-01T10:00:00Z"))
    assert lines[0] == "Held at run r7 since 2026-11-01T10:00:00Z by ann: wrong answers in Chile"
    assert "--unhold" in lines[1]


def test_a_gate_that_a_person_opened_says_who_and_why() -> None:
    gate = Gate(False, "roc_auc 0.61", (), Approval("ann", "only holidays", "2026-11-01T10:00:00Z"))
    assert shown(Change(Action.NOOP, KEY, Reason.SAME, gate=gate))[0] == (
        "gate approved builds.a: roc_auc 0.61; approved by ann: only holidays"
    )
    assert shown(Change(Action.NOOP, KEY, Reason.SAME, gate=Gate(False, "roc_auc 0.61")))[0] == (
        "gate not passed builds.a: roc_auc 0.61"
    )


def test_a_secret_that_changed_shows_nothing_else() -> None:
    old, new = f"${{secret:var.token#{'a' * 32}}}", f"${{secret:var.token#{'b' * 32}}}"
    fields = (
        FieldChange("token", old, new, old),
        FieldChange("uri", f"http://me:{old}@host", f"http://me:{new}@host", f"http://me:{old}@host"),
        FieldChange("list", [old, 1], [new, 1], [old, 1]),
        FieldChange("first", None, new, None),
        FieldChange("text", "plain", new, "plain"),
        FieldChange("host", f"{old}@one", f"{new}@two", f"{old}@one"),
    )
    lines = shown(Change(Action.UPDATE, KEY, Reason.SPEC, fields))
    assert lines[1:7] == [
        "      ~ token: (sensitive)",
        "      ~ uri: (sensitive)",
        "      ~ list: (sensitive)",
        "      first: (not set) -> (sensitive)",
        "      text: plain -> (sensitive)",
        "      host: (sensitive)@one -> (sensitive)@two",
    ]
    assert "aaaa" not in "".join(lines)
    assert "bbbb" not in "".join(lines)


def test_a_partial_plan_says_so() -> None:
    assert shown(selection=Selection(targets=(A,)))[-1].startswith("This plan is partial: only the targets")
    assert shown(selection=Selection(exclude=(A,)))[-1].startswith("This plan is partial: what was excluded")
    assert shown(selection=Selection(targets=(A,), mode=Mode.DESTROY))[-1].startswith("This removal is partial")
    assert "partial" not in shown()[-1]


def test_the_class_of_a_change_says_what_it_saves() -> None:
    change = Change(Action.UPDATE, KEY, Reason.SPEC, field_class=FieldClass.SERVING)
    assert shown(change)[0] == (
        "  ~ builds.a  update: the project changed [serving-only], nothing is trained or evaluated again"
    )
