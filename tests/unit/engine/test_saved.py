"""Saved plans: nothing is lost in the file, nothing but the very same is applied, and what differs is named."""

from __future__ import annotations

import json
import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from mlctl.engine import planner
from mlctl.engine.ledger import Ledger
from mlctl.engine.operations import Operation
from mlctl.engine.saved import codec, staleness
from mlctl.engine.saved import file as planfile
from mlctl.engine.saved.compare import compare
from mlctl.engine.saved.explain import explain
from mlctl.engine.saved.file import SavedPlan
from mlctl.engine.store import LocalStore
from mlctl.provider import Context
from mlctl.registry import Registry
from mlctl.spec.project import Project, load_project
from mlctl.testing.fake import FakeTool, fake_kinds
from mlctl.testing.harness import make_context
from mlctl.types.address import Address, ObjectKey
from mlctl.types.change import Action, Change, FieldChange, FieldClass, Mode, Plan, Reason, Selection
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.estimate import Estimate, Range, Rate, Repriced
from mlctl.types.secret import Secrets
from mlctl.types.state import Approval, Gate, Held
from mlctl.types.value import Unknown, digest

TEXT = "project: shop\nbuilds:\n  a: {value: 2}\n  b: {value: 4, uses_builds: [a]}\nservices:\n  s: {value: 1, uses_builds: [b]}\n"


EVERYTHING = Selection()


class World:
    """A project over fake kinds: its file can be changed, and it can be planned and applied."""

    def __init__(self, root: Path, text: str = TEXT) -> None:
        self.root, self.tool = root, FakeTool()
        self.registry = Registry.of(*fake_kinds(self.tool))
        self.store = LocalStore(root / ".mlctl" / "default")
        self.text = text
        self.write(text)

    def write(self, text: str) -> None:
        self.text = text
        (self.root / "mlctl.yaml").write_text(text)

    @property
    def project(self) -> Project:
        return load_project(self.root, self.registry)

    def ctx(self, ledger: Ledger) -> Context:
        return replace(make_context(self.root), lineage=ledger.lineage)

    def save(self, selection: Selection = EVERYTHING) -> SavedPlan:
        ledger, project = Ledger(self.store.read()), self.project
        plan = planner.plan(project, ledger, self.ctx(ledger), selection)
        return planfile.save("apply", plan, project, ledger, Secrets())

    def apply(self, project: Project | None = None, selection: Selection = EVERYTHING) -> None:
        operation, project = Operation("apply", selection), project or self.project
        with self.store.session("test") as session:
            ctx = self.ctx(session.ledger)
            plan = operation.plan(project, session.ledger, ctx)
            done = operation.carry_out(plan, project, self.registry.kind, session, ctx, lambda event: None, 1)
        assert done.exit_code is ExitCode.OK

    def check(self, saved: SavedPlan, *, rest: bool = False) -> None:
        """What `mlctl apply FILE` asks before it touches anything, from the texts in the file alone."""
        ledger = Ledger(self.store.read())
        project = load_project(self.root, self.registry, texts=saved.texts, values=saved.values)
        plan = planner.plan(project, ledger, self.ctx(ledger), saved.plan.selection)
        if rest:
            staleness.check_rest(saved, plan)
        else:
            staleness.check_serial(saved, ledger.lineage, ledger.serial)
            staleness.check_same(saved, plan, project, ledger)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def refused(world: World, saved: SavedPlan, code: str, *, rest: bool = False) -> str:
    with pytest.raises(MlctlError) as error:
        world.check(saved, rest=rest)
    assert error.value.exit_code is ExitCode.STALE_PLAN
    (found,) = error.value.diagnostics
    assert found.code == code
    return found.why


A_CHANGE = Change(
    action=Action.REPLACE,
    key=ObjectKey.parse("builds.a#12"),
    reason=Reason.SPEC,
    fields=(
        FieldChange("value", 1, {"x": [1, None, {"$unknown": "not one"}]}, "now", FieldClass.DATA),
        FieldChange("input:builds.b", "old", Unknown("builds.b")),
        FieldChange("deep", None, [Unknown("builds.c"), {"$plain": 1}]),
    ),
    detail="step 3 of 9",
    field_class=FieldClass.TRAINING,
    after=frozenset({Address("builds", "b")}),
    gate=Gate(False, "too low", ("a", "b"), Approval("me", "because", "2026-01-01T00:00:00Z")),
    blocked_by=Address("builds", "g"),
    key_known=False,
    conditional=True,
    drift=True,
    moved_from=Address("builds", "z"),
    waits="failed 3 times",
    estimate=Estimate(
        *("H100", 8, 80.0),
        memory=Range(1.0, 2.0, 3.0, "calibrated from 2 runs"),
        parts={"weights": 2.0},
        seconds=Range(1.0, 2.0, 3.0),
        usd=Range(0.5, 1.0, 2.0, "prices of 2026-10-24"),
        notes=("a",),
        warnings=("b",),
        rates=(
            Rate("H100", "spot", Range(1.0, 2.0, 3.0, "prices of 2026-10-24"), "2026-10-24", "a list", "12", "p", "eu"),
        ),
    ),
    repriced=(Repriced("H100", "spot", Range.exactly(2.0), Range.exactly(3.0)),),
)


def test_a_plan_comes_back_from_json_as_it_was() -> None:
    """Every field is set here to something that is not its default, so that a new one cannot be forgotten."""
    defaults = Change(Action.NOOP, ObjectKey.parse("builds.x#"), Reason.SAME)
    for item in fields(Change):
        assert getattr(A_CHANGE, item.name) != getattr(defaults, item.name), item.name
    selection = Selection(
        (Address("builds", "a"),), (Address("builds", "b"),), (Address("builds", "c"),), Mode.REFRESH_ONLY, False, True
    )
    for item in fields(Selection):
        assert getattr(selection, item.name) != getattr(Selection(), item.name), item.name
    plan = Plan((A_CHANGE, defaults), "L", 7, "D", selection, "prod", Held("7f3a", "why", "me", "now"))
    assert codec.plan_of(json.loads(json.dumps(codec.plan_json(plan)))) == plan


def test_a_file_is_for_its_owner_alone_and_is_read_as_it_was_written(world: World) -> None:
    saved, path = world.save(), world.root / "a.plan"
    planfile.write(path, saved)
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert planfile.read(path) == saved
    assert saved.texts == {"mlctl.yaml": TEXT}
    assert [str(change.address) for change in saved.plan] == ["builds.a", "builds.b", "services.s"]


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        ({"who": "somebody else"}, "plan.edited"),
        ({"texts": {"mlctl.yaml": "project: shop\n"}}, "plan.edited"),
        ({"digest": "0" * 32}, "plan.edited"),
        ({"digest": None}, "plan.edited"),
        ({"extra_field": 1}, "plan.edited"),
        ({"format": 99}, "plan.newer"),
        ({"mlctl": "9.0.0"}, "plan.newer"),
        ({"format": "1"}, "plan.unreadable"),
    ],
)
@pytest.mark.contract(7)
def test_a_file_that_was_touched_is_refused(world: World, edit: dict[str, Any], code: str) -> None:
    path = world.root / "a.plan"
    planfile.write(path, world.save())
    path.write_text(json.dumps(json.loads(path.read_text()) | edit))
    with pytest.raises(MlctlError) as error:
        planfile.read(path)
    assert error.value.diagnostics[0].code == code
    assert error.value.exit_code is (ExitCode.ERROR if code == "plan.unreadable" else ExitCode.STALE_PLAN)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff\xfe", b"null", b'{"format": 1}'])
def test_what_is_no_plan_is_refused_without_a_trace(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(MlctlError) as error:
        planfile.read(tmp_path / "x")
    assert error.value.diagnostics[0].code == "plan.unreadable"


def forged(path: Path, place: tuple[str | int, ...], value: Any) -> None:
    """Put a value into a plan and give it the digest that fits."""
    stored = inside = json.loads(path.read_text())
    for name in place[:-1]:
        inside = inside[name]
    inside[place[-1]] = value
    stored["digest"] = digest({name: item for name, item in stored.items() if name != "digest"})
    path.write_text(json.dumps(stored))


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("texts",), []),
        (("texts", "mlctl.yaml"), 5),
        (("values",), True),
        (("secrets", "var.token"), 1),
        (("records",), ["builds.a#1"]),
        (("records", "builds"), "d"),
        (("versions",), 5),
        (("git",), ["commit"]),
        (("who",), {}),
        (("at",), 5),
        (("operation",), None),
        (("extra",), [1]),
        (("extra", "pins"), "builds.a"),
        (("extra", "pins"), {"nowhere": "1"}),
        (("extra", "from"), 5),
        (("told",), ["careful"]),
        (("told",), [{"code": 5}]),
        (("plan", "serial"), "1"),
        (("plan", "serial"), -1),
        (("plan", "environment"), ["default"]),
        (("plan", "selection", "refresh"), "no"),
        (("plan", "held"), {"run": 1, "reason": "", "who": "", "at": ""}),
        (("plan", "changes"), {}),
        (("plan", "changes", 0), "builds.a"),
        (("plan", "changes", 0, "action"), "explode"),
        (("plan", "changes", 0, "detail"), 5),
        (("plan", "changes", 0, "waits"), [1]),
        (("plan", "changes", 0, "drift"), "yes"),
        (("plan", "changes", 0, "fields"), [{"path": 5}]),
        (("plan", "changes", 0, "fields"), [{"path": "value", "new": {"$unknown": 5}}]),
        (("plan", "changes", 0, "fields"), [{"path": "value", "new": {"$plain": 5}}]),
        (("plan", "changes", 0, "fields"), [{"path": "value", "new": nested(300)}]),
        (("plan", "changes", 0, "gate"), {"passed": "no", "summary": "x"}),
    ],
    ids=str,
)
def test_what_mlctl_would_not_write_is_refused_though_its_digest_fits(
    world: World, place: tuple[str | int, ...], value: Any
) -> None:
    path = world.root / "a.plan"
    planfile.write(path, world.save())
    forged(path, place, value)
    with pytest.raises(MlctlError) as error:
        planfile.read(path)
    assert error.value.diagnostics[0].code == "plan.damaged"


def test_a_plan_with_a_number_that_json_does_not_have_is_refused(world: World) -> None:
    path = world.root / "a.plan"
    planfile.write(path, world.save())
    path.write_text(path.read_text().replace('"serial": 0', '"serial": NaN'))
    with pytest.raises(MlctlError, match=r"plan\.edited"):
        planfile.read(path)


def test_a_plan_nested_beyond_reading_is_refused(world: World) -> None:
    path = world.root / "a.plan"
    path.write_text("[" * 100_000)
    with pytest.raises(MlctlError, match=r"plan\.unreadable"):
        planfile.read(path)
    with pytest.raises(MlctlError, match=r"plan\.not-a-plan"):
        planfile.write(path, world.save())


@pytest.mark.contract(7)
def test_a_plan_stays_good_while_nothing_it_touches_changes(world: World) -> None:
    """Another file on the disk is no matter, and neither is a serial that grew through something else."""
    world.apply()
    world.write(TEXT.replace("s: {value: 1", "s: {value: 3"))
    saved = world.save()
    world.write(TEXT + "things:\n  t: {label: x}\n")
    world.apply(selection=Selection((Address("things", "t"),)))
    assert world.store.read().serial > saved.plan.serial
    world.check(replace(saved, plan=replace(saved.plan, selection=Selection((Address("services", "s"),)))))


def test_a_first_plan_is_good_until_something_is_there(world: World) -> None:
    saved = world.save()
    assert (saved.plan.lineage, saved.plan.serial) == ("", 0)
    world.check(saved)
    world.apply()
    assert "serial 1" in refused(world, saved, "plan.stale")


def test_a_plan_of_another_state_is_foreign(world: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    world.apply()
    world.write(TEXT.replace("value: 4", "value: 5"))
    saved = world.save()
    other = World(tmp_path_factory.mktemp("other"))
    other.apply()
    refused(other, saved, "plan.foreign")


@pytest.mark.contract(7)
def test_what_changed_since_the_review_is_named(world: World) -> None:
    world.apply()
    world.write(TEXT.replace("s: {value: 1", "s: {value: 3"))
    saved = world.save()
    (name,) = [key for key in world.tool.objects if key.startswith("services.s")]
    del world.tool.objects[name]  # the world, not the state: the service died
    assert "services.s: planned update" in refused(world, saved, "plan.stale")


def test_a_plan_that_was_applied_is_stale(world: World) -> None:
    world.apply()
    world.write(TEXT.replace("value: 4", "value: 5"))
    saved = world.save()
    world.apply()
    assert "builds.b: planned run" in refused(world, saved, "plan.stale")


def test_the_rest_of_a_plan_goes_on_and_nothing_else(world: World) -> None:
    saved = world.save()
    world.apply(selection=Selection((Address("builds", "a"),)))
    world.check(saved, rest=True)
    world.apply()
    del world.tool.objects[next(key for key in world.tool.objects if key.startswith("builds.a"))]
    world.check(saved, rest=True)  # to make it was announced
    done = world.save()
    world.apply()
    world.write(TEXT.replace("s: {value: 1", "s: {value: 9"))
    other = replace(saved, texts={"mlctl.yaml": world.text}, plan=replace(done.plan, changes=()))
    assert "services.s: planned nothing to do; now update" in refused(world, other, "plan.stale", rest=True)


def test_another_secret_is_told_by_its_digest() -> None:
    saved = SavedPlan("apply", Plan((), "", 0, ""), "p", "", {}, {}, {"var.token": "d1"}, {}, {}, "0.1", "", "")
    staleness.check_secrets(saved, {"var.token": "d1"}.get)
    for now, word in (({}, "is not set"), ({"var.token": "d2"}, "has another value")):
        with pytest.raises(MlctlError, match=word):
            staleness.check_secrets(saved, dict[str, str](now).get)


def test_a_comparison_names_steps_values_and_lines(world: World) -> None:
    before = world.save()
    assert compare(before, before.plan, before).same
    world.write(TEXT.replace("services:\n  s:", "services:\n  other:").replace("value: 4", "value: 5"))
    now = world.save()
    found = compare(before, now.plan, replace(now, values={"epochs": 3}))
    steps = {step.address: (step.planned, step.now) for step in found.steps}
    assert set(steps) == {"services.s", "services.other", "builds.b"} or set(steps) == {"services.s", "services.other"}
    assert steps["services.s"][1] == "nothing to do"
    assert found.values == {"epochs": (None, 3)}
    assert any(line.startswith("+") and "value: 5" in line for line in found.lines)


def test_an_explanation_goes_from_the_line_to_what_follows(world: World) -> None:
    world.apply()
    world.write(TEXT.replace("a: {value: 2}", "a: {value: 8}"))
    saved = world.save()
    found = explain(saved.plan, world.project, Address("builds", "a"))
    ((item, place),) = found.fields
    assert (item.path, item.old, item.new) == ("value", 2, 8)
    assert place is not None
    assert str(place).endswith("mlctl.yaml:3:7")
    assert [str(change.address) for change in found.follows] == ["builds.b", "services.s"]
    below = explain(saved.plan, world.project, Address("builds", "b"))
    assert [str(change.address) for change in below.causes] == ["builds.a"]
    with pytest.raises(MlctlError, match=r"plan\.not-planned"):
        explain(saved.plan, world.project, Address("builds", "nothing"))


def test_only_a_plan_is_overwritten(world: World) -> None:
    saved = world.save()
    with pytest.raises(MlctlError, match=r"plan\.not-a-plan"):
        planfile.write(world.root / "mlctl.yaml", saved)
    assert (world.root / "mlctl.yaml").read_text() == TEXT
    planfile.write(world.root / "a.plan", saved)
    planfile.write(world.root / "a.plan", replace(saved, who="me"))
    assert planfile.read(world.root / "a.plan").who == "me"
