"""A plan as a comment: never too long, gravest first, and nothing in it that a host would act on."""

import html
import random
import re

import pytest

from mlctl.types.address import Address, ObjectKey
from mlctl.types.change import Action, Change, FieldChange, FieldClass, Plan, Reason, Selection
from mlctl.types.state import Approval, Gate, Held
from mlctl.views.markdown.plan import LIMIT, SMALLEST, gravity, render
from mlctl.views.markdown.text import code, fenced

EVIL = "a`b``c```` | <b>@octocat</b> #1 www.x.com </details>\n| new row |\n```\n$x$ :smile: \\| [l](http://x)"


def change(action: Action, address: str, reason: Reason = Reason.SPEC, *fields: FieldChange, **more: object) -> Change:
    return Change(action, ObjectKey(Address.parse(address), "k"), reason, fields, **more)  # type: ignore[arg-type]


def plan(*changes: Change, **more: object) -> Plan:
    return Plan(changes, "l", 1, "d", **more)  # type: ignore[arg-type]


def rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("| <code>")]


def outside_fences(text: str) -> str:
    return re.sub(r"^(`{3,})\w*\n.*?\n\1$", "", text, flags=re.S | re.M)


def test_a_small_plan_is_a_headline_a_table_and_details() -> None:
    found = plan(
        change(Action.RUN, "training.a", Reason.SPEC, FieldChange("epochs", 3, 5, 3)),
        change(Action.CREATE, "deployments.b", Reason.NEW),
    )
    assert render(found, title="churn").splitlines() == [
        "### churn",
        "",
        "**1 to create, 1 to run, 0 unchanged.**",
        "",
        "| | resource | action | why |",
        "|---|---|---|---|",
        "| <code>&#62;</code> | <code>training.a</code> | run | the project changed |",
        "| <code>+</code> | <code>deployments.b</code> | create | not made yet |",
        "",
        "<details><summary>Field by field</summary>",
        "",
        "```diff",
        "  training.a",
        "    epochs: 3 -> 5",
        "```",
        "",
        "</details>",
    ]


def test_what_is_gravest_comes_first() -> None:
    order = [
        change(Action.DELETE, "deployments.z", Reason.REMOVED),
        change(Action.REPLACE, "training.z"),
        change(Action.DELETE, "entities.z", Reason.REMOVED),
        change(Action.RUN, "training.a"),
        change(Action.RUN, "evaluations.a"),
        change(Action.UPDATE, "deployments.a"),
        change(Action.CREATE, "deployments.b", Reason.NEW),
        change(Action.DELETE, "training.a", Reason.SUPERSEDED),
        change(Action.UPDATE, "deployments.c", Reason.METADATA, field_class=FieldClass.METADATA),
    ]
    mixed = random.Random(3).sample(order, len(order))
    assert sorted(mixed, key=gravity) == order


def test_nothing_to_do_is_said() -> None:
    assert "No changes" in render(plan())


@pytest.mark.parametrize("limit", [SMALLEST, 10_000, LIMIT])
def test_twenty_thousand_changes_stay_under_the_limit_and_all_are_accounted_for(limit: int) -> None:
    count = 20_000
    changes = [
        change(Action.RUN, f"training.m{number}", Reason.SPEC, FieldChange("epochs", 1, number, 1))
        for number in range(count)
    ]
    text = render(plan(*changes), limit=limit, whole="see the artifact")
    assert len(text) <= limit
    assert len(text) > limit * 0.8
    (left,) = re.findall(r"_([\d,]+) lines are left out: see the artifact\._", text)
    detail_lines = sum(line.startswith(("  training.", "    epochs")) for line in text.splitlines())
    assert int(left.replace(",", "")) == 3 * count - len(rows(text)) - detail_lines


def test_values_of_megabytes_stay_under_the_limit() -> None:
    huge = "x" * 3_000_000
    gate = Gate(False, huge, (huge,))
    changes = [
        change(
            Action.UPDATE,
            f"builds.b{number}",
            Reason.BROKEN,
            FieldChange("f" * 5000, huge, [huge]),
            detail=huge,
            drift=True,
            gate=gate,
        )
        for number in range(40)
    ]
    held = Held("r", huge, "me", "now")
    assert len(render(plan(*changes, held=held), title=huge)) <= LIMIT


def test_hostile_text_is_only_text() -> None:
    gate = Gate(False, EVIL, (EVIL,), Approval(EVIL, EVIL, "now"))
    changes = [
        change(
            Action.UPDATE,
            "builds.a",
            Reason.BROKEN,
            FieldChange(EVIL, EVIL, [EVIL]),
            detail=EVIL,
            drift=True,
            waits=EVIL,
        ),
        change(Action.NOOP, "builds.b", Reason.SAME, gate=gate),
        change(Action.NOOP, "builds.c", Reason.SAME, gate=Gate(False, EVIL)),
    ]
    text = render(plan(*changes, held=Held(EVIL, EVIL, EVIL, "now")), title=EVIL)
    assert "octocat" in text
    loose = outside_fences(text)
    assert "````" not in loose, "the details are one block, whatever is in them"
    for mark in ("@", "<b>", "[l]", "www.", "new row |", "$x", ":smile:"):
        assert mark not in loose, mark
    said = html.unescape(re.sub(r"<code>.*?</code>", "", loose))  # what a host looks through for mentions
    assert "@octocat" not in said
    assert "#1" not in said
    assert loose.count("<details>") == loose.count("</details>") == 1
    assert all(line.count("|") == 5 for line in rows(text))
    fence = re.search(r"^(`{3,})diff$", text, re.M)
    assert fence is not None
    assert len(fence[1]) == 5, "longer than the longest run inside"


def test_what_a_reader_has_to_know_is_there() -> None:
    gate = Gate(False, "auc too low", (), Approval("ann", "holiday data", "now"))
    found = plan(
        change(Action.NOOP, "evaluations.g", Reason.SAME, gate=gate),
        change(Action.UPDATE, "deployments.a", blocked_by=Address("evaluations", "h")),
        change(Action.NOOP, "training.new", Reason.SAME, moved_from=Address("training", "old")),
        change(Action.UPDATE, "deployments.b", Reason.SPEC, FieldChange("token", "${secret:var.t#a1}", "${secret:var.t#b2}", "${secret:var.t#a1}")),
        held=Held("r1", "bad answers", "bob", "2026-01-01"),
        selection=Selection(targets=(Address("deployments", "a"),)),
    )  # fmt: skip
    text = render(found)
    for words in (
        "auc too low; approved by ann: holiday data", "held back by <code>evaluations.h</code>", "moved from training.old",
        "~ token: (sensitive)", "bad answers", "This plan is partial", "1 held back by a gate",
    ):  # fmt: skip
        assert words in text, words
    assert "a" * 32 not in text
    assert "b" * 32 not in text


def test_a_limit_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="2000"):
        render(plan(), limit=100)


def test_code_has_no_markup() -> None:
    assert code("a|b`c`@d") == "<code>a&#124;b&#96;c&#96;&#64;d</code>"
    assert code("x\ny") == "<code>x&#92;ny</code>"


def test_a_fence_is_longer_than_what_is_inside() -> None:
    assert fenced(["`````"]).splitlines() == ["``````diff", "`````", "``````"]
