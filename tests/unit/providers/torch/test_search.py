"""What is refused of a search before anything is trained, and what the worker is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from mlctl.providers.torch.search_rules import check_search, search_job
from mlctl.providers.torch.spec import TrainingSpec
from mlctl.testing.harness import make_context
from mlctl.types.jobs.search import OneOf, RangeOf

LR = {"optimizer.lr": {"low": 1e-4, "high": 1e-1, "log": True}}


def spec(search: dict[str, Any], **changed: Any) -> TrainingSpec:
    values = {
        "data": {"labels": "rows", "target": "y"},
        "model": {"type": "mlp", "hidden": [8]},
        "epochs": 3,
        "optimizer": {"lr": 0.1},
        **changed,
        "search": {"trials": 5, "space": LR, **search},
    }
    return TrainingSpec.model_validate(values)


def found(tmp_path: Path, search: dict[str, Any], **changed: Any) -> list[tuple[str, tuple[Any, ...]]]:
    problems = check_search(spec(search, **changed), make_context(tmp_path))
    return [(item.code, item.path) for item in problems]


def test_a_search_that_can_be_made_is_let_through_and_told_whole(tmp_path: Path) -> None:
    space = {
        **LR,
        "batch_size": {"low": 16, "high": 64},
        "model.hidden": {"choices": [[8], [16, 16]]},
        "model.dropout": {"low": 0, "high": 1e-1},
    }
    assert found(tmp_path, {"space": space}) == []
    told = search_job(spec({"space": space}))
    assert told is not None
    assert (told.pruner, told.direction, told.sampler, told.trials) == ("median", "minimize", "tpe", 5)
    assert told.space == {
        "optimizer.lr": RangeOf(path="optimizer.lr", low=1e-4, high=1e-1, log=True),
        "batch_size": RangeOf(path="batch_size", low=16, high=64, integer=True),
        "model.hidden": OneOf(path="model.hidden", choices=[[8], [16, 16]]),
        "model.dropout": RangeOf(path="model.dropout", low=0, high=0.1),
    }


def test_a_training_without_a_search_has_none() -> None:
    assert search_job(spec({}).model_copy(update={"search": None})) is None


@pytest.mark.parametrize(
    ("space", "code"),
    [
        ({"optimizer.ler": {"low": 0.1, "high": 1.0}}, "search.field"),
        ({"seed": {"choices": [1, 2]}}, "search.field"),
        ({"checkpoint.keep": {"choices": [1, 2]}}, "search.field"),
        ({"micro_batch_size": {"choices": [1, 2]}}, "search.field"),
        ({"method.r": {"choices": [4, 8]}}, "search.field"),
        ({"optimizer.lr": {"low": 1.0, "high": 0.1}}, "search.range"),
        ({"optimizer.lr": {"low": 0, "high": 0.1, "log": True}}, "search.range"),
        ({"batch_size": {"low": 0, "high": 8}}, "search.value"),
        ({"batch_size": {"low": 1, "high": 8.5}}, "search.value"),
        ({"model.hidden": {"low": 1, "high": 8}}, "search.value"),
        ({"optimizer.schedule": {"choices": ["linear", "cosines"]}}, "search.value"),
    ],
)
def test_a_field_or_a_value_that_a_training_cannot_have_is_refused_at_its_place(
    tmp_path: Path, space: dict[str, Any], code: str
) -> None:
    assert set(found(tmp_path, {"space": space})) == {(code, ("search", "space", next(iter(space))))}


def test_a_name_that_is_nearly_right_is_guessed(tmp_path: Path) -> None:
    (problem,) = check_search(spec({"space": {"optimizer.l": {"choices": [0.1]}}}), make_context(tmp_path))
    assert "optimizer.lr" in problem.fix


@pytest.mark.parametrize(
    ("search", "changed", "code"),
    [
        ({"metric": "roc_auk"}, {}, "search.metric"),
        ({"trials": None}, {}, "search.trials"),
        ({"sampler": "grid", "trials": None}, {}, "search.grid"),
        ({"sampler": "grid", "trials": 3, "space": {"batch_size": {"choices": [8, 16]}}}, {}, "search.trials"),
        ({"metric": "roc_auc", "pruner": "median"}, {}, "search.pruner"),
        ({"pruner": "hyperband"}, {"epochs": 1}, "search.pruner"),
    ],
)
def test_what_would_have_no_effect_or_no_end_is_refused(
    tmp_path: Path, search: dict[str, Any], changed: dict[str, Any], code: str
) -> None:
    assert [item for item, _ in found(tmp_path, search, **changed)] == [code]


def test_more_of_a_metric_is_better_where_that_is_known() -> None:
    told = search_job(spec({"metric": "roc_auc"}))
    assert told is not None
    assert (told.direction, told.pruner) == ("maximize", "none")


def test_a_grid_has_as_many_trials_as_combinations() -> None:
    space = {"batch_size": {"choices": [8, 16]}, "model.hidden": {"choices": [[8], [16], []]}}
    told = search_job(spec({"sampler": "grid", "trials": None, "space": space}))
    assert told is not None
    assert told.trials == 6


def test_a_rank_that_is_searched_needs_its_alpha(tmp_path: Path) -> None:
    values = {"model": {"type": "causal_lm", "base": "base"}, "data": {"dataset": "d", "text": "t"}}
    space = {"method.r": {"choices": [4, 8]}}
    codes = [code for code, _ in found(tmp_path, {"space": space}, method={"type": "lora"}, **values)]
    assert "search.alpha" in codes
    given = found(tmp_path, {"space": space}, method={"type": "lora", "alpha": 16}, **values)
    assert "search.alpha" not in [code for code, _ in given]


def test_an_empty_space_is_no_search() -> None:
    with pytest.raises(ValidationError):
        spec({"space": {}})


def test_the_training_of_the_guide_can_be_searched(tmp_path: Path) -> None:
    text = (Path(__file__).parents[4] / "docs/guides/search.md").read_text()
    project = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    found = TrainingSpec.model_validate(project["training"]["churn"])
    assert check_search(found, make_context(tmp_path)) == []
