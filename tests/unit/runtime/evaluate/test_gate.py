from __future__ import annotations

import pytest

from mlctl.runtime.evaluate.gate import judge, wrong_task
from mlctl.types.jobs.evaluate import Bar


def test_bars_that_are_met_pass() -> None:
    gate = judge({"roc_auc": Bar(min=0.7), "log_loss": Bar(max=0.65)}, {"roc_auc": 0.71, "log_loss": 0.6}, None)
    assert (gate.passed, gate.summary, gate.details) == (True, "roc_auc 0.710, log_loss 0.600", ())


@pytest.mark.parametrize(
    ("name", "bar", "value", "champion", "detail"),
    [
        ("roc_auc", Bar(min=0.75), 0.71, None, "roc_auc 0.710 < 0.75"),
        ("log_loss", Bar(max=0.65), 0.7, None, "log_loss 0.700 > 0.65"),
        ("roc_auc", Bar(min=0.75), 0.7499999, None, "roc_auc 0.7499999 < 0.75"),
        ("roc_auc", Bar(versus_champion=True, margin=0.002), 0.712, 0.731, "roc_auc 0.712 is worse than the champion's 0.731 (margin 0.002)"),
        ("rmse", Bar(versus_champion=True), 2.0, 1.5, "rmse 2.000 is worse than the champion's 1.500 (margin 0)"),
    ],
)  # fmt: skip
def test_a_bar_that_is_missed_fails_with_its_figures(
    name: str, bar: Bar, value: float, champion: float | None, detail: str
) -> None:
    gate = judge({name: bar}, {name: value}, None if champion is None else {name: champion})
    assert (gate.passed, gate.details) == (False, (detail,))


@pytest.mark.parametrize(
    ("name", "value", "champion"),
    [("roc_auc", 0.729, 0.731), ("rmse", 1.501, 1.5), ("roc_auc", 0.9, 0.8), ("rmse", 1.0, 1.5)],
)
def test_within_the_margin_or_better_passes(name: str, value: float, champion: float) -> None:
    assert judge({name: Bar(versus_champion=True, margin=0.0021)}, {name: value}, {name: champion}).passed


def test_without_a_champion_there_is_nothing_to_be_worse_than() -> None:
    assert judge({"f1": Bar(versus_champion=True)}, {"f1": 0.1}, None).passed


def test_no_figure_never_passes() -> None:
    assert judge({"roc_auc": Bar(min=0)}, {}, None).details == ("roc_auc cannot be computed: there are no rows",)
    assert "one class only" in judge({"roc_auc": Bar(min=0)}, {"accuracy": 1.0}, None).summary
    assert "of the champion" in judge({"r2": Bar(versus_champion=True)}, {"r2": 1.0}, {"rmse": 0.0}).summary


def test_an_obstacle_fails_the_best_of_models() -> None:
    gate = judge({"f1": Bar(min=0.5)}, {"f1": 1.0}, None, ["eval.leakage: 3 rows were trained on"])
    assert (gate.passed, gate.summary) == (False, "eval.leakage: 3 rows were trained on")


def test_metrics_of_the_other_task_are_named() -> None:
    assert wrong_task({"rmse": Bar(max=1), "f1": Bar(min=0)}, "binary") == ["rmse"]
    assert wrong_task({"rmse": Bar(max=1)}, "regression") == []


@pytest.mark.parametrize(
    ("name", "value", "base", "margin", "passes"),
    [
        ("loss", 2.0, 3.0, 0.0, True),
        ("loss", 3.0, 3.0, 0.0, False),
        ("loss", 2.5, 3.0, 0.5, True),
        ("loss", 2.6, 3.0, 0.5, False),
        ("token_f1", 0.4, 0.3, 0.0, True),
        ("token_f1", 0.2, 0.3, 0.0, False),
    ],
)
def test_better_than_the_base_means_by_the_margin_at_least(
    name: str, value: float, base: float, margin: float, passes: bool
) -> None:
    gate = judge({name: Bar(versus_base=True, margin=margin)}, {name: value}, None, base={name: base})
    assert gate.passed is passes
    assert passes or "is not better than the base's" in gate.summary


def test_a_base_that_was_not_measured_never_passes() -> None:
    gate = judge({"loss": Bar(versus_base=True)}, {"loss": 1.0}, None)
    assert gate.details == ("loss of the base cannot be computed on these rows",)


def test_metrics_of_language_models_go_with_no_other_task() -> None:
    assert wrong_task({"loss": Bar(max=1), "f1": Bar(min=0)}, "causal_lm") == ["f1"]
    assert wrong_task({"perplexity": Bar(max=1)}, "binary") == ["perplexity"]
