"""What a gate may ask for: bounds that have an effect, on metrics that there are."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from mlctl.providers.serving.rollout_rules import rollout_problems
from mlctl.providers.serving.spec.deployment import DeploymentSpec
from mlctl.providers.serving.spec.gates import GateSpec
from mlctl.rollout.bounds import ALLOWED, TAILS
from mlctl.rollout.evidence import METRICS
from mlctl.rollout.trials import trials
from mlctl.types.jobs.rollout import GateRule, MetricRule


def gate(**metric: Any) -> GateSpec:
    return GateSpec.model_validate({"metrics": [metric]})


def test_every_metric_can_be_bounded_and_judged() -> None:
    assert ALLOWED.keys() == METRICS.keys()
    assert {name for name in METRICS if name.endswith(("50_seconds", "95_seconds", "99_seconds"))} == TAILS.keys()
    for name, kinds in ALLOWED.items():
        for kind in kinds:
            value = 1.5 if kind == "max_ratio" else 0.5
            assert dict(gate(name=name, **{kind: value}).metrics[0].bounds()) == {kind: value}
            assert len(trials(GateRule(metrics=[MetricRule(name=name, **{kind: value})]))) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("metric", "told"),
    [
        ({"name": "error_rat", "max": 0.1}, "did you mean `error_rate`?"),
        ({"name": "error_rate"}, "has no bound"),
        ({"name": "error_rate", "max_ratio": 1.1}, "its bounds are `margin` or `max`"),
        ({"name": "error_rate", "min": 0.1}, "its bounds are `margin` or `max`"),
        ({"name": "error_rate", "margin": 2}, "can never be exceeded"),
        ({"name": "error_rate", "margin": 0.01, "max": 1}, "can never be exceeded"),
        ({"name": "p99_seconds", "margin": 0.002}, "its bounds are `max_ratio` or `max`"),
        ({"name": "p99_seconds", "max": 5000}, "is not between 0.0001 and 989 seconds"),
        ({"name": "p99_seconds", "max_ratio": 0.9}, "greater than or equal to 1"),
        ({"name": "tokens_per_second", "max": 10}, "its bounds are `max_ratio` or `min`"),
        ({"name": "tokens_per_second", "min": 0}, "can never be missed"),
        ({"name": "mismatch_rate", "margin": 0.1}, "its bounds are `max`"),
        ({"name": "score_shift", "max": 1.0}, "can never be exceeded"),
        ({"name": "score_shift", "max_ratio": 2}, "its bounds are `max`"),
        ({"name": "error_rate", "max": -0.1}, "greater than or equal to 0"),
    ],
)
def test_a_bound_without_effect_is_refused(metric: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as error:
        gate(**metric)
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"no_data_after": "5m"}, "`no_data_after` has no effect with `on_no_data: hold`"),
        ({"metrics": [{"name": "error_rate", "max": 0.1}, {"name": "error_rate", "margin": 0.1}]}, "is there twice"),
        ({"metrics": []}, "at least 1 item"),
        ({"alpha": 0.5}, "less than or equal to 0.2"),
        ({"min_requests": 0}, "greater than or equal to 1"),
    ],
)
def test_a_gate_that_contradicts_itself_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as error:
        GateSpec.model_validate({"metrics": [{"name": "error_rate", "max": 0.1}], **fields})
    assert told in str(error.value)


def test_what_a_gate_needs_beside_it_is_known() -> None:
    metrics = [
        {"name": "error_rate", "max": 0.1},
        {"name": "p99_seconds", "max_ratio": 1.1},
        {"name": "score_shift", "max": 0.2},
        {"name": "mismatch_rate", "max": 0.01},
    ]
    found = GateSpec.model_validate({"metrics": metrics, "on_no_data": "fail", "no_data_after": "5m"})
    assert found.compared() == ["p99_seconds", "score_shift"]
    assert found.shadowed() == ["mismatch_rate"]
    assert GateSpec.model_validate(found.model_dump(mode="json")) == found


def test_the_guide_shows_a_gate_that_is_valid() -> None:
    guide = Path(__file__).parents[4] / "docs" / "guides" / "gates.md"
    rows, texts = (
        DeploymentSpec.model_validate(block)
        for found in re.findall(r"```yaml\n(.*?)```", guide.read_text(), re.DOTALL)
        for block in yaml.safe_load(found)["deployments"].values()
    )
    assert [*rollout_problems(rows), *rollout_problems(texts)] == []
    assert rows.gates["guard"].min_requests == 500
    assert "empty_rate" in {metric.name for metric in texts.gates["guard"].metrics}
