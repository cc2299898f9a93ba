"""From an applied experiment to its job: sources, metrics with their defaults, and the design that decides."""

from __future__ import annotations

import re
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlctl.files.digests import FileDigests
from mlctl.provider import Context
from mlctl.providers.ab_test.analysis_job import design_of, job_of
from mlctl.providers.ab_test.experiment import Experiment
from mlctl.testing.harness import apply_once, make_context
from mlctl.types.address import ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.experiment import ExperimentJob, LogExposures
from mlctl.types.jobs.profile import dataset_digest
from mlctl.types.state import Record

GUIDE = Path(__file__).parents[4] / "docs/guides/experiment-analysis.md"
UNTIL = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return make_context(tmp_path, project="quickstart")


@pytest.fixture
def spec() -> dict[str, Any]:
    (block,) = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    found: dict[str, Any] = yaml.safe_load(block)["experiments"]["reminder_mail"]
    return found


def records(spec: dict[str, Any], ctx: Context, **deployment: Any) -> dict[str, Record]:
    (ctx.root / "orders.csv").write_text("user_id,ordered_at\n")
    outputs: dict[str, Any] = {
        "files": ["orders.csv"],
        "format": "csv",
        "columns": {"user_id": "varchar"},
        "key": [],
        "timestamp": None,
    }
    outputs["digest"] = dataset_digest(outputs, FileDigests().files(["orders.csv"], ctx.root))
    known = {
        "deployments.shops_api": Record(
            ObjectKey.parse("deployments.shops_api#"), outputs={"digest": "d", "predictions": "log", **deployment}
        ),
        "datasets.orders": Record(ObjectKey.parse("datasets.orders#"), outputs=outputs),
    }
    return {
        **known,
        "experiments.reminder_mail": apply_once(Experiment(), "experiments.reminder_mail", spec, ctx, known),
    }


def job(known: dict[str, Record], ctx: Context) -> ExperimentJob:
    return job_of(known["experiments.reminder_mail"], known, UNTIL, [], ctx, final=False)


def code(known: dict[str, Record], ctx: Context) -> str:
    with pytest.raises(MlctlError) as caught:
        job(known, ctx)
    return caught.value.diagnostics[0].code


def test_the_guides_experiment_is_read_from_log_and_orders(spec: dict[str, Any], ctx: Context) -> None:
    known = records(spec, ctx)
    found = job(known, ctx)
    assert isinstance(found.exposures, LogExposures)
    assert (found.exposures.folder, found.exposures.since) == (
        "log",
        known["experiments.reminder_mail"].outputs["started"],
    )
    assert found.operations == ["error_rate", "p95_seconds"]
    told = [(one.name, one.column, one.aggregate, one.window_seconds, one.pre_seconds) for one in found.metrics]
    week, before = 7 * 86_400.0, 14 * 86_400.0
    assert told == [
        ("bought", "bought", "any", week, before),
        ("spent", "amount", "sum", week, before),
        ("complaints", "complaints", "any", week, None),
    ]
    assert (found.arms, found.subgroups, found.looks) == (["control", "treatment"], ["country"], [])


def test_the_design_has_the_metrics_in_their_order_and_their_margins(spec: dict[str, Any], ctx: Context) -> None:
    found = design_of(records(spec, ctx)["experiments.reminder_mail"])
    assert [(one.name, one.guardrail, one.cuped, one.better) for one in found.metrics] == [
        ("bought", False, True, "higher"), ("spent", False, True, "higher"),
        ("error_rate", True, False, "lower"), ("p95_seconds", True, False, "lower"), ("complaints", True, False, "lower"),
    ]  # fmt: skip
    assert (found.metrics[3].ratio, found.metrics[4].absolute, found.looks, found.every_seconds) == (
        1.1,
        0.005,
        4,
        None,
    )


@pytest.mark.parametrize(
    ("path", "value", "same"),
    [
        (("description",), "another", True), (("coverage",), 0.5, True),
        (("guardrails", 0, "margin"), 0.003, False), (("design", "alpha"), 0.04, False), (("outcomes", "window"), "8d", False),
        (("salt",), "another", False), (("design", "looks"), 3, False), (("design", "min_duration"), "14d", False),
    ],
)  # fmt: skip
def test_looks_go_with_what_decides(
    path: tuple[Any, ...], value: Any, same: bool, spec: dict[str, Any], ctx: Context
) -> None:
    changed: Any = deepcopy(spec)
    block = changed
    for name in path[:-1]:
        block = block[name]
    block[path[-1]] = value
    first, second = (design_of(records(one, ctx)["experiments.reminder_mail"]).digest for one in (spec, changed))
    assert (first == second) is same


def test_what_is_not_there_is_told(spec: dict[str, Any], ctx: Context) -> None:
    known = records(spec, ctx)
    assert (
        code({name: record for name, record in known.items() if name != "datasets.orders"}, ctx) == "experiment.no-data"
    )
    assert code(records(spec, ctx, predictions=None), ctx) == "experiment.no-log"
    (ctx.root / "orders.csv").write_text("user_id,ordered_at\nx,2026-01-01\n")
    assert code(known, ctx) == "experiment.data-changed"
    (ctx.root / "orders.csv").unlink()
    assert code(known, ctx) == "experiment.data-changed"


def test_an_experiment_that_says_nothing_of_outcomes_cannot_be_analysed(spec: dict[str, Any], ctx: Context) -> None:
    for name in ("outcomes", "cuped", "subgroups", "success_metrics"):
        spec.pop(name)
    spec["guardrails"] = spec["guardrails"][:2]
    assert code(records(spec, ctx), ctx) == "experiment.no-outcomes"


def test_units_keep_their_beginning_until_they_are_drawn_anew(spec: dict[str, Any], ctx: Context) -> None:
    from mlctl.providers.ab_test.beginning import begun
    from mlctl.providers.ab_test.spec import ExperimentSpec

    prior = records(spec, ctx)["experiments.reminder_mail"]
    old = Record(prior.key, outputs={**prior.outputs, "started": "2026-01-01T00:00:00+00:00"})
    block, salt = ExperimentSpec.model_validate(spec), str(prior.outputs["salt"])
    assert begun(block, salt, old, ctx) == "2026-01-01T00:00:00+00:00"
    assert begun(block, "another", old, ctx) > "2026-01-02"
    assert begun(block, salt, Record(prior.key, outputs={}), ctx) > "2026-01-02"
