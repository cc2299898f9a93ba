from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from mlctl.providers.serving.rollout_rules import reward_port_problems, rollout_problems
from mlctl.providers.serving.spec.deployment import DeploymentSpec
from mlctl.types.address import Address
from mlctl.types.diagnostic import Severity

GUARD = {"metrics": [{"name": "error_rate", "margin": 0.005}]}
LIMIT = {"metrics": [{"name": "error_rate", "max": 0.02}]}
PARITY = {"metrics": [{"name": "mismatch_rate", "max": 0.001}]}
ARMS = {"control": {"model": "churn@champion"}, "treatment": {"model": "churn@next"}}
BANDIT = {"arms": ARMS, "rewards_port": 8081}


def spec(rollout: dict[str, Any] | None, gates: dict[str, Any] | None = None, **serve: Any) -> DeploymentSpec:
    block: dict[str, Any] = {"model": "churn@champion", "serve": {"port": 8080, **serve}, "gates": gates or {}}
    return DeploymentSpec.model_validate(block if rollout is None else {**block, "rollout": rollout})


def problems(rollout: dict[str, Any] | None, gates: dict[str, Any] | None = None, **serve: Any) -> list[str]:
    return [
        f"{item.code.removeprefix('rollout.')} at {'.'.join(map(str, item.path))}"
        for item in rollout_problems(spec(rollout, gates, **serve))
    ]


def canary(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"canary": {"steps": list(steps), **more}}


GOOD: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "all_at_once": ({"all_at_once": True}, {}),
    "canary": (
        canary({"weight": 10, "gate": "guard"}, {"pause": "10m"}, {"weight": 50, "gate": "guard"}),
        {"guard": GUARD},
    ),
    "canary with copies": (
        canary({"mirror": 100}, {"gate": "parity"}, {"weight": 1, "pause": "confirm"}, side_effects="none"),
        {"parity": PARITY},
    ),
    "a preview": (canary({"weight": 0, "pause": "confirm"}, {"weight": 100, "gate": "limit"}), {"limit": LIMIT}),
    "blue_green": (
        {"blue_green": {"pre": "parity", "preview": "confirm", "post": "limit", "side_effects": "none"}},
        {"parity": PARITY, "limit": LIMIT},
    ),
    "an instant switch": ({"blue_green": {}, "keep_old": "1h"}, {}),
    "shadow": ({"shadow": {"for": "1h", "gate": "parity", "side_effects": "none"}}, {"parity": PARITY}),
    "ab": ({"ab": {"arms": ARMS}, "unit": "x-user-id", "salt": "s"}, {}),
    "bandit": ({"bandit": BANDIT}, {}),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_has_an_effect_is_let_pass(name: str) -> None:
    assert problems(*GOOD[name]) == []


WRONG: list[tuple[str, dict[str, Any] | None, dict[str, Any], str]] = [
    ("a gate that is not there", canary({"weight": 10, "gate": "gaurd"}), {"guard": GUARD}, "unknown-gate at rollout.canary.steps.0.gate"),
    ("a gate that nobody asks", canary({"weight": 10, "pause": "1m"}), {"guard": GUARD}, "unused-gate at gates.guard"),
    ("a gate without a rollout", None, {"guard": GUARD}, "unused-gate at gates.guard"),
    ("a gate of an A/B test", {"ab": {"arms": ARMS}, "unit": "x"}, {"guard": GUARD}, "unused-gate at gates.guard"),
    ("a weight that falls", canary({"weight": 10, "pause": "1m"}, {"weight": 5, "pause": "1m"}), {}, "weight-falls at rollout.canary.steps.1.weight"),
    ("the same weight", canary({"weight": 10, "pause": "1m"}, {"weight": 10, "pause": "1m"}), {}, "step-without-effect at rollout.canary.steps.1.weight"),
    ("a step that waits for nothing", canary({"weight": 10}, {"weight": 50, "pause": "1m"}), {}, "step-without-effect at rollout.canary.steps.0"),
    ("a last step that says what follows anyway", canary({"weight": 10, "pause": "1m"}, {"weight": 100}), {}, "step-without-effect at rollout.canary.steps.1"),
    ("copies beside requests", canary({"weight": 10, "mirror": 5, "pause": "1m"}, side_effects="none"), {}, "mirror-and-weight at rollout.canary.steps.0.mirror"),
    ("no copies of nothing", canary({"mirror": 0, "pause": "1m"}), {}, "step-without-effect at rollout.canary.steps.0.mirror"),
    ("copies that may do harm", canary({"mirror": 100, "pause": "1m"}), {}, "side-effects at rollout.canary"),
    ("copies before a switch that may do harm", {"blue_green": {"pre": "p"}}, {"p": PARITY}, "side-effects at rollout.blue_green"),
    ("harmless copies that are not sent", canary({"weight": 1, "pause": "1m"}, side_effects="none"), {}, "no-effect at rollout.canary.side_effects"),
    ("a gate without requests", canary({"weight": 0, "gate": "guard"}), {"guard": GUARD}, "gate-without-requests at rollout.canary.steps.0.gate"),
    ("a comparison with nobody", canary({"weight": 100, "gate": "guard"}), {"guard": GUARD}, "no-baseline at rollout.canary.steps.0.gate"),
    ("a comparison after the switch", {"blue_green": {"post": "guard"}}, {"guard": GUARD}, "no-baseline at rollout.blue_green.post"),
    ("answers compared without copies", canary({"weight": 5, "gate": "p"}), {"p": PARITY}, "no-copies at rollout.canary.steps.0.gate"),
    ("a shadow without an end", {"shadow": {"side_effects": "none"}}, {}, "endless at rollout.shadow"),
    ("a unit without a split", {"blue_green": {}, "unit": "x"}, {}, "no-effect at rollout.unit"),
    ("a unit of a bandit", {"bandit": BANDIT, "unit": "x"}, {}, "no-effect at rollout.unit"),
    ("a salt without a unit", canary({"weight": 1, "pause": "1m"}) | {"salt": "s"}, {}, "no-effect at rollout.salt"),
    ("an A/B test without a unit", {"ab": {"arms": ARMS}}, {}, "no-unit at rollout"),
    ("an old version of arms", {"ab": {"arms": ARMS}, "unit": "x", "keep_old": "1h"}, {}, "no-effect at rollout.keep_old"),
    ("a gateway that is not used", {"all_at_once": True, "gateway": "python"}, {}, "no-effect at rollout.gateway"),
    ("a control that is another model", {"ab": {"arms": dict(reversed(ARMS.items()))}, "unit": "x"}, {}, "control at rollout.ab.arms.treatment.model"),
    ("floors above the whole", {"bandit": {"arms": {**ARMS, "third": ARMS["control"]}, "rewards_port": 1, "floor": 0.4}}, {}, "floor at rollout.bandit.floor"),
    ("tokens of rows", canary({"weight": 5, "gate": "g"}), {"g": {"metrics": [{"name": "ttft_p95_seconds", "max": 1}]}}, "no-such-metric at gates.g.metrics.0.name"),
]  # fmt: skip


@pytest.mark.parametrize("metric", ["empty_rate", "length_rate"])
def test_answers_are_looked_at_where_there_are_some(metric: str) -> None:
    gates = {
        "g": {
            "metrics": [{"name": metric, "max": 0.01}, {"name": "empty_rate", "max": 0.02}][
                : 2 - (metric == "empty_rate")
            ]
        }
    }
    steps = canary({"weight": 5, "gate": "g"})
    assert "no-such-metric at gates.g.metrics.0.name" in problems(steps, gates)
    assert problems(steps, gates, engine="vllm") == []


def test_gates_that_a_language_model_without_answers_would_pass_are_warned_of() -> None:
    steps = canary({"weight": 5, "gate": "guard"})
    [found] = rollout_problems(spec(steps, {"guard": GUARD}, engine="vllm"))
    assert (found.severity, found.code, found.path) == (
        Severity.WARNING,
        "rollout.answers-unseen",
        ("gates", "guard", "metrics"),
    )
    cut_off = {"metrics": [{"name": "length_rate", "margin": 0.05}]}  # an empty answer is not cut off
    assert [item.code for item in rollout_problems(spec(steps, {"guard": cut_off}, engine="vllm"))] == [found.code]
    seen = {"metrics": [*GUARD["metrics"], {"name": "empty_rate", "max": 0.01}]}
    assert problems(steps, {"guard": seen}, engine="vllm") == []
    assert problems(canary({"weight": 5, "pause": "1h"}), engine="vllm") == []  # a person looks


@pytest.mark.parametrize(("rollout", "gates", "found"), [item[1:] for item in WRONG], ids=[item[0] for item in WRONG])
def test_what_has_no_effect_is_refused_with_its_place(
    rollout: dict[str, Any] | None, gates: dict[str, Any], found: str
) -> None:
    assert found in problems(rollout, gates)
    assert all(item.why and item.fix for item in rollout_problems(spec(rollout, gates)))


def test_an_unknown_gate_is_told_its_likely_name() -> None:
    found = list(rollout_problems(spec(canary({"weight": 10, "gate": "gaurd"}), {"guard": GUARD})))
    assert found[0].fix == "did you mean `guard`?"


@pytest.mark.parametrize(
    ("rollout", "said"),
    [
        ({}, "none: choose among"),
        ({"canary": {"steps": [{"weight": 1}]}, "shadow": {"side_effects": "none"}}, "`canary`, `shadow`"),
        (canary({}), "the step is empty"),
        (canary({"weight": 0.001}), "steps of 0.01 %"),
        (canary({"weight": 101}), "less than or equal to 100"),
        (canary({"pause": "0s"}), "greater than 0"),
        ({"shadow": {"for": "1h"}}, "side_effects"),
        ({"ab": {"arms": {"control": ARMS["control"]}}}, "at least 2"),
        ({"ab": {"arms": {"stable": ARMS["control"], "b": ARMS["control"]}}}, "an arm cannot be called"),
        ({"ab": {"arms": {"A b": ARMS["control"], "b": ARMS["control"]}}}, "no name of an arm"),
        ({"canary": {"steps": [{"weight": 1}]}, "unit": "x user"}, "match pattern"),
    ],
)
def test_what_cannot_be_is_refused_by_the_schema(rollout: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        spec(rollout)


def test_a_port_of_rewards_is_nobody_elses() -> None:
    bandit, other = spec({"bandit": BANDIT}), spec(None, port=8081)
    mine, theirs = Address("deployments", "api"), Address("deployments", "other")
    found = list(reward_port_problems({mine: bandit, theirs: other}))
    assert [(address, item.code) for address, item in found] == [(mine, "rollout.same-port")]
    assert "deployments.other" in found[0][1].summary
    twice = {mine: bandit, theirs: spec({"bandit": BANDIT}, port=8082)}
    assert [address for address, _ in reward_port_problems(twice)] == [theirs]
    assert not list(reward_port_problems({mine: bandit}))
    own = spec({"bandit": {**BANDIT, "rewards_port": 8080}})
    assert len(list(reward_port_problems({mine: own}))) == 1
