"""The conformance kit finds what it is there to find: each test breaks one rule, and reads what the author would be told."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict

from mlctl.provider import Condition, Context, Desired, Family, Metadata, Observed, Outcome, diff_fields
from mlctl.testing.conformance import REMOVED, Case, Edit, Rule, Then, check_kind, examine
from mlctl.testing.fake import FakeObject, FakeTool, fake_kinds
from mlctl.testing.harness import make_context
from mlctl.types.address import ObjectKey
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.state import Record
from mlctl.types.value import Unknown

Broken = Callable[..., str]


@pytest.fixture
def told(guide: ModuleType, tmp_path: Path) -> Broken:
    """Break the guide's kind by some attributes and give what the kit says; whatever was made is gone afterwards."""

    def check(case: Case | None = None, **attributes: Any) -> str:
        kind = type(
            "Broken", (guide.DataCard,), {**attributes, "__module__": attributes.get("module", "mlctl_data_cards")}
        )()
        with pytest.raises(AssertionError) as caught:
            check_kind(kind, case or guide.case(tmp_path), make_context(tmp_path))
        return str(caught.value)

    return check


def outcome_with(guide: ModuleType, change: Callable[[Outcome], Outcome]) -> dict[str, Any]:
    """An `apply` that gives something else than it should."""

    def apply(self: Any, desired: Desired, prior: Record | None, ctx: Context) -> Outcome:
        return change(guide.DataCard.apply(self, desired, prior, ctx))

    return {"apply": apply}


def test_each_family_of_fake_kinds_keeps_the_rules(tmp_path: Path) -> None:
    tool = FakeTool()
    thing = Record(ObjectKey.parse("things.other#"), "1", outputs={"digest": "d"})
    build = Record(ObjectKey.parse("builds.other#1"), "1", outputs={"digest": "d"})
    tool.objects = {str(item.key): FakeObject({}, {}) for item in (thing, build)}
    for kind in fake_kinds(tool):
        changed = Then.ANOTHER_OBJECT if kind.family is Family.BUILD else Then.UPDATE
        edits = [
            Edit("value", 7, changed),
            Edit("gate", 1, changed),
            Edit("note", "n", Then.METADATA),
            Edit("offers", "m@champion", changed),
            Edit("label", "x", Then.ANOTHER_OBJECT if "label" in kind.identity else changed),
            Edit("uses_builds", ["other"], changed, inputs={"builds.other": build}),
            Edit("uses_things", ["other"], changed, inputs={"things.other": thing}),
            Edit("uses_model", "m@champion", changed),
            Edit("guarded", "other", changed, inputs={"builds.other": build}),
            Edit("value", REMOVED, changed),
        ]
        check_kind(
            kind,
            Case(f"{kind.section}.a", {"value": 4}, edits, count=lambda: len(tool.objects)),
            make_context(tmp_path),
        )
    assert tool.violations == []
    assert sorted(tool.objects) == ["builds.other#1", "things.other#"]


def test_two_objects_are_seen_by_the_id(told: Broken, guide: ModuleType) -> None:
    ids = itertools.count()
    said = told(**outcome_with(guide, lambda outcome: replace(outcome, id=str(next(ids)))))
    assert "a second apply made two objects: the id was '0' and is now '1'" in said


def test_two_objects_are_seen_in_the_tool(told: Broken, guide: ModuleType) -> None:
    def apply(self: Any, desired: Desired, prior: Record | None, ctx: Context) -> Outcome:
        if prior is not None:
            (ctx.root / "copy.md").write_text("again")
        return guide.DataCard.apply(self, desired, prior, ctx)

    assert "after a second apply the tool holds 2 objects, and 0 before" in told(apply=apply)


def test_an_apply_that_only_creates_is_found(told: Broken, guide: ModuleType) -> None:
    def apply(self: Any, desired: Desired, prior: Record | None, ctx: Context) -> Outcome:
        if (ctx.root / desired.spec.path).exists():
            raise MlctlError.of("card.exists", "it is there already")
        return guide.DataCard.apply(self, desired, prior, ctx)

    assert "a second apply failed: card.exists: it is there already" in told(apply=apply)


def test_a_digest_of_chance_is_found(told: Broken, guide: ModuleType) -> None:
    numbers = itertools.count()
    broken = outcome_with(
        guide, lambda outcome: replace(outcome, outputs={**outcome.outputs, "digest": str(next(numbers))})
    )
    assert "gives another digest" in told(**broken, read=lambda self, prior, ctx: Observed())


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (float("nan"), "outputs: `extra` is not JSON"),
        (Path("x"), "outputs: `extra` is not JSON"),
        ({1: "a"}, "comes back from JSON as another value"),
        ((1, 2), "comes back from JSON as another value"),
        ({"of": [Unknown("datasets.visits")]}, "`extra` is not known"),
    ],
)
def test_outputs_that_cannot_be_stored_are_found(told: Broken, guide: ModuleType, value: Any, words: str) -> None:
    assert words in told(
        **outcome_with(guide, lambda outcome: replace(outcome, outputs={**outcome.outputs, "extra": value}))
    )


def test_an_absolute_path_is_found(told: Broken, guide: ModuleType, tmp_path: Path) -> None:
    extra = {"where": [f"file://{tmp_path}/cards"]}
    said = told(**outcome_with(guide, lambda outcome: replace(outcome, outputs={**outcome.outputs, **extra})))
    assert "outputs: `where` holds the path of the project folder" in said


def test_an_id_is_asked_for(told: Broken, guide: ModuleType) -> None:
    assert "gives None for an id" in told(**outcome_with(guide, lambda outcome: replace(outcome, id=None)))


def test_another_error_than_mlctl_error_is_found(told: Broken) -> None:
    assert "apply raised ZeroDivisionError: integer division or modulo by zero; a kind raises MlctlError" in told(
        apply=lambda self, desired, prior, ctx: Outcome(str(1 // 0))
    )


def test_a_read_that_trusts_its_record_is_found(told: Broken, guide: ModuleType) -> None:
    def read(self: Any, prior: Record, ctx: Context) -> Observed | None:
        return guide.DataCard.read(self, prior, ctx) if prior.outputs["digest"] else None

    assert "read of a record that was cut off (id None, no outputs) raised KeyError: 'digest'" in told(read=read)


def test_a_read_that_never_finds_is_found(told: Broken) -> None:
    assert "read finds nothing after a fresh apply" in told(read=lambda self, prior, ctx: None)


def test_a_read_that_is_never_content_is_found(told: Broken) -> None:
    broken = Observed(condition=Condition.BROKEN, detail="no")
    assert "read says `broken` after a fresh apply (no)" in told(read=lambda self, prior, ctx: broken)


def test_a_read_that_writes_is_found(told: Broken, guide: ModuleType) -> None:
    def read(self: Any, prior: Record, ctx: Context) -> Observed | None:
        (ctx.root / "seen").touch()
        return guide.DataCard.read(self, prior, ctx)

    assert "read wrote seen (0 bytes" in told(read=read)


def test_a_diff_that_ignores_a_field_is_found(told: Broken) -> None:
    def diff(self: Any, desired: Desired, prior: Record, seen: Observed) -> Any:
        return [item for item in diff_fields(desired, prior, seen) if item.path != "purpose"]

    assert "an edit of `purpose` should show as `purpose`; the plan shows nothing" in told(diff=diff)


def test_a_diff_that_ignores_what_read_reports_is_found(told: Broken, guide: ModuleType, tmp_path: Path) -> None:
    def read(self: Any, prior: Record, ctx: Context) -> Observed | None:
        seen = guide.DataCard.read(self, prior, ctx)
        return (
            None
            if seen is None
            else replace(seen, fields={"purpose": prior.spec["purpose"]} if "purpose" in prior.spec else {})
        )

    blind = {"diff": lambda self, desired, prior, seen: diff_fields(desired, prior, Observed())}
    assert "read reports `purpose`, but when it is changed outside mlctl" in told(read=read, **blind)
    check_kind(type("Sees", (guide.DataCard,), {"read": read})(), guide.case(tmp_path), make_context(tmp_path))


def test_a_diff_that_never_settles_is_found(told: Broken) -> None:
    def diff(self: Any, desired: Desired, prior: Record, seen: Observed) -> Any:
        return diff_fields(desired, replace(prior, spec={**prior.spec, "path": "x"}), seen)

    assert "diff shows `path`" in told(diff=diff)


def test_a_delete_that_fails_on_nothing_is_found(told: Broken) -> None:
    def delete(self: Any, prior: Record, ctx: Context) -> None:
        (ctx.root / prior.spec["path"]).unlink()

    assert "a second delete raised FileNotFoundError" in told(delete=delete)


def test_a_delete_by_id_is_found(told: Broken, guide: ModuleType) -> None:
    def delete(self: Any, prior: Record, ctx: Context) -> None:
        if prior.id is not None:
            guide.DataCard.delete(self, prior, ctx)

    said = told(delete=delete)
    assert (
        "read still finds it after delete of a record that was cut off: find the object by its key, not by its id"
        in said
    )


def test_a_delete_that_takes_too_much_is_found(told: Broken) -> None:
    def delete(self: Any, prior: Record, ctx: Context) -> None:
        for path in ctx.root.rglob("*.md"):
            path.unlink()

    assert "read finds nothing after deleting the object that an edit of `path` had made" in told(delete=delete)


def test_a_field_of_the_identity_that_is_not_one_is_found(told: Broken) -> None:
    assert "`identity` names `colour`, which is no field of the spec" in told(identity=frozenset({"colour"}))


def test_an_identity_that_leaves_a_field_out_is_found(told: Broken) -> None:
    assert "an edit of `path` should make another object, and does not change `identity`" in told(identity=frozenset())


def test_an_identity_that_holds_too_much_is_found(told: Broken) -> None:
    assert "an edit of `purpose` makes another object; it should make an update" in told(
        identity=frozenset({"path", "purpose"})
    )


def test_a_build_with_an_identity_is_found(told: Broken) -> None:
    assert "a build leaves `identity` empty, here it is ['path']" in told(family=Family.BUILD)


def test_a_spec_that_takes_anything_is_found(told: Broken, guide: ModuleType) -> None:
    class Loose(BaseModel):
        size: int = 0

    class LooseSpec(guide.DataCard.spec):  # type: ignore[misc, name-defined]
        box: Loose = Loose()
        model_config = ConfigDict(extra="allow")

    said = told(spec=LooseSpec)
    assert "Loose takes unknown fields" in said
    assert "an unknown field is not refused" in said
    assert "the case has no edit of the field `box`" in said


def test_metadata_that_should_run_something_is_found(told: Broken, guide: ModuleType) -> None:
    class Quiet(guide.DataCard.spec):  # type: ignore[misc, name-defined]
        purpose: Annotated[str, Metadata]

    assert "an edit of `purpose` should show as `purpose`; the plan shows nothing" in told(spec=Quiet)


def test_a_check_that_refuses_the_case_is_found(told: Broken) -> None:
    refuse = lambda self, spec, ctx: [Diagnostic("card.no", "never")]  # noqa: E731
    assert "check refuses the block of the case: card.no: never" in told(check=refuse)


def test_parts_of_chance_are_found(told: Broken) -> None:
    numbers = itertools.count()
    said = told(family=Family.BUILD, identity=frozenset(), parts=lambda self, spec, ctx: {"spec": str(next(numbers))})
    assert "parts gives another answer when it is asked again" in said
    assert "parts gives `spec`: a part is a text under a name" in said


def test_a_heavy_import_is_found(told: Broken) -> None:
    assert "importing numpy imports numpy: every plan would pay for it" in told(module="numpy")


def test_what_is_no_kind_is_told_what_it_lacks(tmp_path: Path, guide: ModuleType) -> None:
    class Half:
        section = "data_cards"

    with pytest.raises(AssertionError, match="it lacks apply, check, delete, diff, family"):
        check_kind(Half(), guide.case(tmp_path), make_context(tmp_path))  # type: ignore[arg-type]


def test_nothing_is_left_behind_when_a_rule_is_broken(told: Broken, tmp_path: Path) -> None:
    told(read=lambda self, prior, ctx: None)
    assert list(tmp_path.rglob("*.md")) == []


def test_what_is_broken_is_reported_under_its_rule_and_what_was_not_reached_is_not_passed(
    guide: ModuleType, tmp_path: Path
) -> None:
    class Wandering(guide.DataCard):  # type: ignore[misc, name-defined]
        def read(self, prior: Record, ctx: Context) -> Observed | None:
            return None

    Wandering.__module__ = "mlctl_data_cards"
    found = examine(Wandering(), guide.case(tmp_path), make_context(tmp_path))
    assert {rule for rule, _ in found.problems} == {Rule.SETTLED}
    assert {Rule.LIGHT, Rule.CHECKED, Rule.MADE} <= found.reached
    assert not {Rule.EDITS, Rule.DELETES, Rule.ADOPTS} & found.reached


class Adopting:
    """Gives the guide's kind an `adopt`, which takes over a card that somebody wrote."""

    def adopt(self, desired: Desired, id: str, ctx: Context) -> Outcome:
        path = ctx.path(id)
        if not path.is_file():
            raise MlctlError.of("card.none", f"there is no card `{id}`")
        path.unlink()
        return self.apply(desired, None, ctx)  # type: ignore[attr-defined, no-any-return]


def test_a_kind_that_adopts_is_tried_with_what_somebody_made(guide: ModuleType, tmp_path: Path) -> None:
    def by_hand() -> str:
        (tmp_path / "cards").mkdir(exist_ok=True)
        (tmp_path / "cards" / "visits.md").write_text("somebody's")
        return "cards/visits.md"

    kind = type("Card", (Adopting, guide.DataCard), {"__module__": "mlctl_data_cards"})
    case = replace(guide.case(tmp_path), found=by_hand)
    found = examine(kind(), case, make_context(tmp_path))
    assert (found.problems, Rule.ADOPTS in found.reached) == ([], True)


def test_a_kind_that_adopts_what_is_not_there_is_found(guide: ModuleType, tmp_path: Path) -> None:
    def adopt(self: Any, desired: Desired, id: str, ctx: Context) -> Outcome:
        return Outcome(id, {"path": id, "digest": "d"})

    kind = type("Card", (guide.DataCard,), {"__module__": "mlctl_data_cards", "adopt": adopt})
    case = replace(guide.case(tmp_path), found=lambda: "cards/visits.md")
    found = examine(kind(), case, make_context(tmp_path))
    assert "which does not exist; it raises MlctlError" in "".join(found.of(Rule.ADOPTS))
