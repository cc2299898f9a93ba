"""Certification: the streams are what they say, and what goes through the design comes out as promised."""

import copy
import json
import math
from typing import Any

import numpy as np
import pytest

from mlctl.providers.ab_test.certify import certify_text, exit_code, holds, job_of
from mlctl.providers.ab_test.design import Sizing
from mlctl.providers.ab_test.rules import problems
from mlctl.providers.ab_test.spec import ExperimentSpec
from mlctl.runtime.certify.program import main
from mlctl.runtime.certify.streams import Streams
from mlctl.stats.arm_metrics import Moments, estimate
from mlctl.stats.experiment_verdict import Rules
from mlctl.types.diagnostic import ExitCode
from mlctl.types.jobs.certify import CertifyJob

BELOW = {"column": "visits", "mean": 5, "std": 4, "correlation": 0.8}
OFFER: dict[str, Any] = {
    "deployment": "api",
    "hypothesis": "it sells more",
    "unit": "user_id",
    "arms": {"control": 50, "offer": 50},
    "primary": {"metric": "bought", "type": "proportion", "baseline": 0.2, "mde": {"relative": 0.2}},
    "guardrails": [{"metric": "error_rate", "margin": 0.02, "baseline": 0.01}],
    "design": {"daily_units": 400, "looks": 4},
}
RATIO = {"metric": "r", "type": "ratio", "baseline": 0.3, "std": 2.0, "mde": {"relative": 0.1}, "denominator": BELOW}


class Silent:
    """Nobody watches."""

    def __init__(self) -> None:
        self.told: list[tuple[str, float, float]] = []

    def progress(self, message: str, done: float, total: float, unit: str) -> None:
        self.told.append((message, done, total))


def spec_of(**edited: Any) -> ExperimentSpec:
    values = copy.deepcopy(OFFER)
    design = edited.pop("design", {})
    spec = ExperimentSpec.model_validate({**values, **edited, "design": {**values["design"], **design}})
    assert problems(spec) == []
    return spec


def played(spec: ExperimentSpec, runs: int = 250, seed: int = 3) -> dict[str, Any]:
    params = job_of(Sizing(spec), "offer", runs, seed).model_dump(mode="json")
    json.dumps(params, allow_nan=False)  # or no job file holds it
    return dict(main(params, Silent()).outputs)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "edited",
    [
        {},
        {"design": {"sequential": "pocock"}},
        {"design": {"sequential": "fixed", "looks": None}},
        {"arms": {"control": 60, "a": 20, "offer": 20}},
        {"success_metrics": [{"metric": "visits", "type": "mean"}]},
        {"primary": RATIO},
        {
            "primary": {"metric": "spent", "type": "mean", "baseline": 3, "std": 2.0, "mde": {"relative": -0.1}},
            "cuped": {"before": "14d", "r2": 0.4},
            "outcomes": {"dataset": "sales", "timestamp": "at"},
        },
    ],
)
def test_a_design_keeps_alpha_and_has_its_power(edited: dict[str, Any]) -> None:
    spec = spec_of(**edited)
    found = played(spec)
    assert holds(found, spec) == {"false_positives": True, "power": True}
    assert found["aa"]["claims"]["share"] < 0.095
    assert found["ab"]["shipped"]["share"] > 0.74
    assert found["ab"]["mean_units"] <= found["units"]
    assert found["aa"]["invalid"]["share"] < 0.01


def test_rules_that_spend_more_than_they_say_are_caught() -> None:
    spec = spec_of(design={"sequential": "fixed", "looks": None})
    params = job_of(Sizing(spec), "offer", 300, 3).model_dump(mode="json")
    found = main({**params, "rules": {**params["rules"], "alpha": 0.15}}, Silent()).outputs  # type: ignore[arg-type]
    assert holds(found, spec) == {"false_positives": False, "power": True}


def test_too_few_units_are_caught() -> None:
    spec = spec_of()
    params = job_of(Sizing(spec), "offer", 250, 3).model_dump(mode="json")
    half = [look // 2 for look in params["looks"]]
    rules = {**params["rules"], "planned": {"offer": half[-1]}}
    found = main({**params, "looks": half, "rules": rules}, Silent()).outputs  # type: ignore[arg-type]
    assert holds(found, spec) == {"false_positives": True, "power": False}
    report = {**found, "alpha": 0.05, "power": 0.8, "assumed": [], "holds": holds(found, spec)}
    assert exit_code(report) is ExitCode.GATE_FAILED
    assert certify_text(report).count("<- not kept") == 1


def test_a_guardrail_without_a_baseline_is_drawn_with_the_power_it_was_sized_for() -> None:
    spec = spec_of(
        guardrails=[{"metric": "p95_seconds", "max_ratio": 1.1}], design={"sequential": "fixed", "looks": None}
    )
    params = job_of(Sizing(spec), "offer", 100, 3)
    assert [metric.name for metric in params.metrics if metric.assumed] == ["p95_seconds"]
    kept = play_guardrail(params.model_dump(mode="json"))
    assert kept == pytest.approx(0.9, abs=0.03)


def play_guardrail(params: dict[str, Any]) -> float:
    job = CertifyJob.model_validate(params)
    streams = Streams(job, Rules.from_json(job.rules), effect=True)
    streams.draw(np.random.default_rng(5), 1000)
    z = [streams.look(run, 0, last=True, early=False).readings[1].z for run in range(1000)]
    return sum(value >= 1.959964 for value in z) / 1000


def test_the_same_seed_draws_the_same_streams() -> None:
    spec = spec_of()
    assert played(spec, 100) == played(spec, 100)
    assert played(spec, 100) != played(spec, 100, seed=4)


def test_sums_are_those_of_the_units_they_stand_for() -> None:
    """Means and spreads of the estimates over many runs, and of what the estimates say of themselves."""
    spec = spec_of(primary=RATIO)
    job = job_of(Sizing(spec), "offer", 400, 3)
    streams = Streams(job, Rules.from_json(job.rules), effect=True)
    streams.draw(np.random.default_rng(7), 1000)
    counts, sums = streams._counts[:, -1, 1], streams._sums["r"][:, -1, 1]  # the treatment, at the end
    found = [estimate("ratio", Moments(int(n), *row)) for n, row in zip(counts, sums.tolist(), strict=True)]
    values = np.array([one.value for one in found])
    assert values.mean() == pytest.approx(0.33, abs=4 * values.std() / math.sqrt(1000))
    assert np.mean([one.error for one in found]) == pytest.approx(values.std(), rel=0.08)


def test_it_tells_how_far_it_is() -> None:
    silent = Silent()
    main(job_of(Sizing(spec_of()), "offer", 100, 3).model_dump(mode="json"), silent)  # type: ignore[arg-type]
    assert silent.told[0][1:] == (100, 200)
    assert {message for message, *_ in silent.told} == {"streams without an effect", "streams with the effect"}
