"""What policies see, what they refuse, and that none of them can hang a plan or let one through by being unanswerable."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mlctl.engine import planner
from mlctl.engine import policy as engine
from mlctl.engine.ledger import Ledger
from mlctl.engine.policy_document import document
from mlctl.engine.store import LocalStore
from mlctl.spec.policies import Policy
from mlctl.spec.project import Project
from mlctl.types.change import Plan
from mlctl.types.diagnostic import ExitCode, MlctlError, Severity
from tests.properties.worlds import Blocks, World

FRIDAY, SUNDAY = date(2026, 11, 20), date(2026, 11, 22)
BLOCKS: Blocks = {
    "builds.data": {"value": 2, "tags": {"tier": "raw"}},
    "builds.check": {"value": 1, "guarded": "data"},
    "builds.model": {"value": 4, "uses_builds": ["data"], "owner": "ranking"},
    "services.api": {"value": 1, "uses_builds": ["model"]},
    "services.loose": {"value": 1},
}


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.kinds["builds"].judges = True  # type: ignore[attr-defined]
    return made


def asked(
    world: World, blocks: Blocks, *, plan: Plan | None = None, today: date = SUNDAY, **policies: Any
) -> list[Any]:
    """The verdicts of some policies on a plan of these blocks."""
    typed = {name: Policy.model_validate(block) for name, block in policies.items()}
    return engine.evaluate(typed, plan or world.plan(blocks), world.project(blocks), ledger(world), "default", today)


def ledger(world: World) -> Ledger:
    return Ledger(LocalStore(world.home).read())


def seen(world: World, blocks: Blocks) -> dict[str, Any]:
    return document(world.plan(blocks), world.project(blocks), ledger(world), "prod", FRIDAY)


def test_the_document_holds_what_the_guide_says(world: World) -> None:
    world.apply(BLOCKS)
    changed = {**BLOCKS, "builds.model": {**BLOCKS["builds.model"], "value": 8}}
    del changed["services.loose"]
    found = seen(world, changed)
    assert {name: found[name] for name in ("project", "environment", "mode", "today", "weekday")} == {
        "project": "test", "environment": "prod", "mode": "normal", "today": "2026-11-20", "weekday": "friday",
    }  # fmt: skip
    assert found["summary"]["run"] == 1
    changes = {item["address"]: item for item in found["changes"]}
    assert changes.keys() == {"builds.model", "services.api", "services.loose"}
    assert (changes["builds.model"]["action"], changes["builds.model"]["reason"]) == ("run", "spec-changed")
    assert (changes["builds.model"]["fields"], changes["builds.model"]["owner"]) == (["value"], "ranking")
    assert changes["services.loose"]["action"] == "destroy"
    assert changes["services.loose"]["spec"]["value"] == 1
    resources = {item["address"]: item for item in found["resources"]}
    assert resources["services.api"]["gates"] == ["builds.check", "builds.data", "builds.model"]
    assert resources["services.api"]["uses"] == ["builds.model"]
    assert resources["builds.data"]["tags"] == {"tier": "raw"}
    assert resources["builds.data"]["made"] is True
    assert resources["builds.data"]["spec"]["label"] == ""  # defaults are there too
    assert resources["builds.data"].keys() == {
        "address", "section", "name", "owner", "tags", "spec", "made", "gate", "uses", "gates",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("policy", "addresses"),
    [
        ({"deny": "resources[?section=='services' && !owner]"}, ["services.api", "services.loose"]),
        ({"deny": "resources[?section=='services' && !owner].address"}, ["services.api", "services.loose"]),
        ({"deny": "resources[?section=='services' && !(gates[?@=='builds.check'])]"}, ["services.loose"]),
        ({"deny": "changes[?action=='destroy']"}, []),
        ({"deny": "length(changes) > `3`"}, [""]),
        ({"deny": "length(changes) > `5`"}, []),
        ({"deny": "changes[?weekday=='friday']"}, []),
        ({"deny": "weekday == 'sunday'"}, [""]),
        ({"require": "resources"}, []),
        ({"require": "resources[?section=='monitors']"}, [""]),
        ({"require": "nothing.of.the.kind"}, [""]),
        ({"deny": "nothing.of.the.kind"}, []),
        ({"deny": '`"why not"`'}, [""]),
        ({"deny": '[`null`, `false`, `""`, `[]`, `{}`]'}, []),
    ],
)
def test_what_an_expression_yields_is_what_is_denied(
    world: World, policy: dict[str, Any], addresses: list[str]
) -> None:
    assert [item.address for item in asked(world, BLOCKS, rule=policy)] == addresses


def test_a_waiver_lets_one_address_pass_until_its_date_and_then_says_so(world: World) -> None:
    waiver = {"who": "ana", "until": "2026-11-22", "why": "moving", "address": "services.l*"}
    rule = {"deny": "resources[?section=='services']", "message": "no services", "waivers": [waiver]}
    api, loose = asked(world, BLOCKS, rule=rule)
    assert (api.refuses, loose.refuses) == (True, False)
    api, loose = asked(world, BLOCKS, rule=rule, today=date(2026, 11, 23))
    assert loose.refuses
    (told,) = engine.diagnostics([loose], with_policies(world.project(BLOCKS), {}))
    assert told.why.endswith("the waiver of ana ended on 2026-11-22")


def test_an_instance_can_be_waived_by_its_address(world: World) -> None:
    assert engine._matches('training.churn["lr=*"]', 'training.churn["lr=0.1"]')
    assert not engine._matches("training.churn[lr]", "training.churnl")
    assert not engine._matches("a.b", "a.bc")


def test_a_warning_refuses_nothing(world: World) -> None:
    project = with_policies(world.project(BLOCKS), {"rule": {"deny": "`true`", "severity": "warning", "message": "hm"}})
    (told,) = engine.check(world.plan(BLOCKS), project, ledger(world))
    assert (told.severity, told.code, told.summary) == (Severity.WARNING, "policy.warned", "hm")


@pytest.mark.contract(8)
@pytest.mark.contract(9)
def test_a_plan_that_is_denied_is_refused_with_everything_there_is_to_say(world: World) -> None:
    project = with_policies(
        world.project(BLOCKS),
        {
            "owned": {"deny": "resources[?section=='services' && !owner]", "message": "a service needs an owner"},
            "small": {"require": "length(changes) < `2`"},
        },
    )
    with pytest.raises(MlctlError) as caught:
        engine.check(world.plan(BLOCKS), project, ledger(world))
    assert caught.value.exit_code is ExitCode.POLICY
    assert [(item.code, item.address) for item in caught.value.diagnostics] == [
        ("policy.denied", "services.api"), ("policy.denied", "services.loose"), ("policy.denied", ""),
    ]  # fmt: skip
    assert caught.value.diagnostics[0].summary == "services.api: a service needs an owner"
    assert caught.value.diagnostics[2].summary == "`length(changes) < `2`` does not hold"


def test_a_plan_without_changes_is_told_about_and_not_refused(world: World) -> None:
    world.apply(BLOCKS)
    project = with_policies(world.project(BLOCKS), {"rule": {"deny": "`true`"}})
    (told,) = engine.check(world.plan(BLOCKS), project, ledger(world))
    assert told.code == "policy.denied"


def test_a_removal_of_everything_is_judged_too(world: World) -> None:
    world.apply(BLOCKS)
    rule = {"deny": "changes[?action=='destroy']", "message": "nothing is removed here"}
    project = with_policies(world.project(BLOCKS), {"keep": rule})
    plan = planner.destruction(project, ledger(world))
    with pytest.raises(MlctlError) as caught:
        engine.check(plan, project, ledger(world))
    assert len(caught.value.diagnostics) == 5


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("length(changes)", "gives the number 5"),
        ("length(nothing)", "invalid type"),
        ("no_such_function(@)", "Unknown function"),
        ("((" * 20_000, "characters, and"),
        ("[" * 3_900, ""),
        ("!" * 3_900 + "a", "nested too deeply"),
        ("@" + " | [@, @][]" * 60, "takes too long"),
        ("project" + " | join('', [@, @])" * 60, "takes too long"),
    ],
    ids=["number", "wrong-type", "unknown-function", "long", "brackets", "deep", "doubling-list", "doubling-text"],
)
@pytest.mark.parametrize("how", ["deny", "require"])
def test_an_expression_without_an_answer_lets_nothing_through(
    world: World, expression: str, why: str, how: str
) -> None:
    policy = Policy.model_construct(
        deny=None, require=None, message="", severity="error", environments=[], waivers=[]
    ).model_copy(update={how: expression})
    started = time.monotonic()
    with pytest.raises(MlctlError) as caught:
        engine.evaluate({"rule": policy}, world.plan(BLOCKS), world.project(BLOCKS), ledger(world), "default", SUNDAY)
    assert caught.value.diagnostics[0].code == "policy.unusable"
    assert why in caught.value.diagnostics[0].why
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("changes[?", "not an expression of JMESPath: Incomplete expression"),
        (
            "a b",
            'not an expression of JMESPath: Unexpected token: b: Parse error at column 2, token "b" (UNQUOTED_IDENTIFIER)',
        ),
        ("'abc", "not an expression of JMESPath: Unclosed ' delimiter"),
    ],
)
def test_what_is_no_expression_is_told_in_one_line_that_is_whole(expression: str, why: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Policy(deny=expression)
    assert [item["msg"] for item in caught.value.errors()] == [f"Value error, {why}"]


def test_without_policies_nothing_is_built_or_imported(world: World) -> None:
    assert engine.evaluate({}, None, None, ledger(world), "default", SUNDAY) == []  # type: ignore[arg-type]


def test_policies_on_a_thousand_resources_take_no_time(world: World) -> None:
    blocks: Blocks = {
        f"builds.b{number}": {"value": number, "uses_builds": [f"b{number - 1}"] if number % 10 else []}
        for number in range(1000)
    }
    plan, project, state = world.plan(blocks), world.project(blocks), ledger(world)
    rules = {"owned": Policy.model_validate({"deny": "resources[?section=='services' && !owner]"})}
    started = time.process_time()
    assert engine.evaluate(rules, plan, project, state, "default", SUNDAY) == []
    assert time.process_time() - started < 0.5  # 0.03 measured


def with_policies(project: Project, policies: Mapping[str, Any]) -> Project:
    return replace(project, policies={name: Policy.model_validate(block) for name, block in policies.items()})
