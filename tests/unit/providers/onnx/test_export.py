"""The block of an export: what is refused before anything runs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from mlctl.provider import Kind, Logs, judges
from mlctl.providers.onnx import export
from mlctl.providers.onnx.export import Export
from mlctl.providers.onnx.spec import ExportSpec
from mlctl.testing.harness import make_context
from mlctl.types.address import Address

BLOCK: dict[str, Any] = {"model": "churn@champion", "format": "onnx", "dataset": "rows", "require": {"max_abs": 0.001}}
TEXT: dict[str, Any] = {"format": "gguf", "require": {"agreement": "90%"}, "generate": {"prompt": "q"}}


def spec(**changes: Any) -> ExportSpec:
    return ExportSpec.model_validate({**BLOCK, **changes})


def test_is_a_kind_that_judges() -> None:
    assert isinstance(Export(), Kind)
    assert isinstance(Export(), Logs)
    assert judges(Export())


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"format": "coreml"}, "format"),
        ({"require": {}}, "`require` is empty"),
        ({"require": {"drop": {"roc_auc": 0.1}}}, "go together"),
        ({"target": "churned"}, "go together"),
        ({"precision": "q8_0"}, "`precision` has no effect"),
        ({"generate": {"prompt": "q"}}, "`generate` has no effect"),
        ({**TEXT, "generate": None}, "needs `generate"),
        ({**TEXT, "require": {"max_abs": 0.1}}, "is judged by"),
        ({**TEXT, "features": ["spending"]}, "`features` has no effect"),
        ({**TEXT, "rows": 10}, "`rows` has no effect"),
        ({**TEXT, "generate": {"prompt": "q", "messages": "m"}}, "either `prompt` or `messages`"),
    ],
)
def test_a_field_without_effect_and_an_export_without_a_gate_are_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        spec(**changes)


def test_every_field_goes_somewhere() -> None:
    assert spec(**TEXT, precision="q8_0").precision == "q8_0"
    assert spec(require={"drop": {"roc_auc": 0.01}}, target="churned", rows=50, features=["spending"]).rows == 50


def test_metrics_that_nobody_knows_or_that_exclude_each_other_are_told(tmp_path: Path) -> None:
    def codes(*names: str) -> list[str]:
        block = spec(require={"drop": dict.fromkeys(names, 0.1)}, target="t")
        return [item.code for item in Export().check(block, make_context(tmp_path))]

    assert codes("roc_auc", "f1") == []
    assert codes("auc") == ["export.unknown-metric"]
    assert codes("roc_auc", "rmse") == ["export.mixed-metrics"]


def test_llama_cpp_has_to_be_there_to_judge_its_format(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(export, "environment_ready", lambda name: False)
    assert [item.code for item in Export().check(spec(**TEXT), make_context(tmp_path))] == ["export.no-llama-cpp"]
    named = spec(**{**TEXT, "generate": {"prompt": "q", "python": "/venv/bin/python"}})
    assert list(Export().check(named, make_context(tmp_path))) == []


def test_a_format_that_is_not_for_the_model_and_other_views_are_told_in_the_plan(tmp_path: Path) -> None:
    def codes(kind: str, reads: tuple[str, ...] = (), **changes: Any) -> list[str]:
        address, training = Address("exports", "x"), Address("training", "churn")
        specs = {address: spec(**changes), training: SimpleNamespace(model=SimpleNamespace(type=kind))}
        uses = {address: {training}, training: {Address("feature_views", name) for name in reads}}
        return [item.code for _, item in Export().check_together(specs, uses, make_context(tmp_path))]

    assert codes("mlp") == []
    assert codes("causal_lm", **TEXT) == []
    assert codes("causal_lm") == ["export.other-format"]
    assert codes("mlp", **TEXT) == ["export.other-format"]
    assert codes("mlp", ("spending",)) == ["export.other-views"]
    assert codes("mlp", ("spending",), features=["spending"]) == []
