"""What becomes of secrets between a kind and the state: kept sealed, told hidden, rotated without work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mlctl.engine import secrecy
from mlctl.engine.decide import decide
from mlctl.engine.desired import desire
from mlctl.engine.ledger import Ledger
from mlctl.provider import Context, Desired, Kind, Observed, Outcome
from mlctl.testing.harness import make_context, make_record
from mlctl.types.address import Address
from mlctl.types.change import Action, FieldClass, Reason
from mlctl.types.diagnostic import Diagnostic
from mlctl.types.event import Progress
from mlctl.types.secret import HIDDEN, Secrets
from mlctl.types.state import Gate, State
from tests.properties.worlds import World

OLD, NEW = "hunter2-hunter2", "correct-horse-9"


def secrets(value: str) -> Secrets:
    return Secrets({"var.token": value}, b"key")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def asked(kind: Kind, value: str, root: Path) -> tuple[Desired, Context]:
    ctx = replace(make_context(root), secrets=secrets(value))
    spec = kind.spec.model_validate({"offers": f"x-{value}", "value": 1})
    return desire(kind, Address.parse(f"{kind.section}.a"), spec, {}, ctx), ctx


@pytest.mark.parametrize(
    ("section", "reason", "field_class"),
    [("builds", Reason.METADATA, FieldClass.METADATA), ("things", Reason.SPEC, FieldClass.DATA), ("services", Reason.SPEC, FieldClass.DATA)],
)  # fmt: skip
def test_a_rotation_updates_what_is_declared_and_runs_no_build_again(
    world: World, section: str, reason: Reason, field_class: FieldClass
) -> None:
    kind = world.kinds[section]
    before, ctx = asked(kind, OLD, world.root)
    record = make_record(before, kind.apply(before, None, ctx))
    after, ctx = asked(kind, NEW, world.root)
    assert after.key == before.key
    assert OLD not in str(record.to_json())
    change = decide(kind, after, Ledger(State("l", 1, {record.key: record})), ctx)
    assert (change.action, change.reason, change.field_class) == (Action.UPDATE, reason, field_class)
    (field,) = change.fields
    assert (field.path, OLD in str(field), NEW in str(field)) == ("offers", False, False)
    assert (
        decide(kind, before, Ledger(State("l", 1, {record.key: record})), asked(kind, OLD, world.root)[1]).action
        is Action.NOOP
    )


def test_a_rotation_that_was_noted_is_gone_from_the_next_plan(world: World) -> None:
    from mlctl.engine.decide import with_metadata

    kind = world.kinds["builds"]
    before, ctx = asked(kind, OLD, world.root)
    record = make_record(before, kind.apply(before, None, ctx))
    after, ctx = asked(kind, NEW, world.root)
    noted = with_metadata(kind, record, after)
    assert decide(kind, after, Ledger(State("l", 1, {record.key: noted})), ctx).action is Action.NOOP


def test_the_kind_itself_sees_the_real_value(world: World) -> None:
    desired, ctx = asked(world.kinds["things"], OLD, world.root)
    assert desired.spec.offers == f"x-{OLD}"
    assert ctx.secrets.opened(desired.values["offers"]) == f"x-{OLD}"
    assert OLD not in str(desired.values)


def test_an_output_with_a_secret_is_sealed_and_a_verdict_hides_it() -> None:
    gate = Gate(False, f"no answer from {OLD}", (f"asked {OLD}",))
    kept = secrecy.kept(Outcome(f"id-{OLD}", {"uri": f"http://{OLD}@host", "n": 1}, gate), secrets(OLD))
    assert OLD not in str(kept)
    assert secrets(OLD).opened(dict(kept.outputs)) == {"uri": f"http://{OLD}@host", "n": 1}
    assert kept.gate == Gate(False, f"no answer from {HIDDEN}", (f"asked {HIDDEN}",))


def test_what_a_tool_reports_compares_with_what_was_recorded() -> None:
    seen = secrecy.compared(Observed({"uri": f"a{OLD}"}, detail=f"it is {OLD}"), secrets(OLD))
    assert seen is not None
    assert seen.fields == secrets(OLD).masked({"uri": f"a{OLD}"})
    assert seen.detail == f"it is {HIDDEN}"
    assert secrecy.compared(None, secrets(OLD)) is None


def test_only_a_rotation_changes_a_seal_of_a_record() -> None:
    old, new = secrets(OLD).masked({"a": {"b": OLD}, "c": OLD}), secrets(NEW).masked({"a": {"b": NEW}, "c": f"{NEW}!"})
    assert secrecy.resealed(old, new) == {"a": new["a"], "c": old["c"]}


def test_messages_and_progress_hide_it() -> None:
    item = secrecy.told(Diagnostic("x.y", f"s {OLD}", f"w {OLD}", f"f {OLD}"), secrets(OLD))
    assert (item.summary, item.why, item.fix) == (f"s {HIDDEN}", f"w {HIDDEN}", f"f {HIDDEN}")
    assert secrecy.progress(Progress(f"at {OLD}"), secrets(OLD)).message == f"at {HIDDEN}"
