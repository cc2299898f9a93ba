"""The block of a batch: what is refused before anything runs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from mlctl.provider import Kind, Logs
from mlctl.providers.batch import rules
from mlctl.providers.batch.batch import BatchPredictions
from mlctl.providers.batch.publication import publish, shows, withdraw
from mlctl.providers.batch.spec import BatchSpec
from mlctl.testing.harness import make_context
from mlctl.types.address import Address
from mlctl.types.diagnostic import MlctlError

BLOCK: dict[str, Any] = {"model": "churn@champion", "dataset": "rows"}
GATE, TRAINING = Address("evaluations", "gate"), Address("training", "churn")


def spec(**changes: Any) -> BatchSpec:
    return BatchSpec.model_validate({**BLOCK, **changes})


def test_is_a_kind_with_a_log() -> None:
    assert isinstance(BatchPredictions(), Kind)
    assert isinstance(BatchPredictions(), Logs)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "churn"},
        {"output": "/tmp/out"},
        {"output": "../out"},
        {"output": ".mlctl/out"},
        {"output": ""},
        {"rows_per_part": 0},
        {"columns": ["a", "a"]},
        {"features": ["one", "one"]},
        {"executor": "spark"},
        {"executor": {"type": "ray", "workers": 0}},
        {"executor": {"type": "local", "workers": 2}},
        {"generate": {}},
        {"generate": {"prompt": "a", "messages": "b"}},
        {"generate": {"prompt": "a", "engine": "tgi"}},
        {"generate": {"prompt": "a", "temperature": 0.5}},  # Transformers here takes the likeliest token
        {"generate": {"prompt": "a", "engine": {"type": "transformers", "python": "/venv/bin/python"}}},
    ],
)
def test_a_block_that_could_not_work_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        spec(**changes)


def test_an_engine_that_is_not_installed_is_told_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(rules, "environment_ready", lambda name: False)
    check = BatchPredictions().check
    block = spec(generate={"prompt": "q", "engine": "vllm"})
    assert [item.code for item in check(block, make_context(tmp_path))] == ["batch.no-engine"]
    named = spec(generate={"prompt": "q", "engine": {"type": "vllm", "python": "/venv/bin/python"}})
    assert list(check(named, make_context(tmp_path))) == []


def test_ray_is_refused_for_a_language_model(tmp_path: Path) -> None:
    block = spec(generate={"prompt": "q"}, executor="ray")
    assert [item.code for item in BatchPredictions().check(block, make_context(tmp_path))] == [
        "batch.ray-language-model"
    ]


def problems(kind: str = "mlp", reads: tuple[str, ...] = (), **changes: Any) -> list[str]:
    address = Address("batch_predictions", "x")
    specs = {
        address: spec(**changes),
        GATE: SimpleNamespace(provides=lambda: ["model:churn@champion"]),
        TRAINING: SimpleNamespace(model=SimpleNamespace(type=kind)),
    }
    uses = {address: {GATE}, GATE: {TRAINING}, TRAINING: {Address("feature_views", name) for name in reads}}
    return [item.code for _, item in rules.model_problems({address: specs[address]}, specs, uses)]


def test_what_does_not_go_with_the_model_is_told_in_the_plan() -> None:
    assert problems() == []
    assert problems(reads=("spending",), features=["spending"]) == []
    assert problems(reads=("spending",)) == ["batch.other-views"]
    assert problems(features=["spending"]) == ["batch.other-views"]
    assert problems("causal_lm") == ["batch.no-prompt"]
    assert problems("causal_lm", generate={"prompt": "q"}) == []
    assert problems(generate={"prompt": "q"}) == ["batch.generate-unused"]


def test_a_folder_is_one_batch_s() -> None:
    made = {
        Address("batch_predictions", name): spec(output=output)
        for name, output in (("a", "out"), ("b", "out/b"), ("c", "output"))
    }
    assert [(address.name, item.code) for address, item in rules.output_problems(made)] == [("b", "batch.same-output")]


def test_a_link_is_swapped_and_only_our_own_is_taken_away(tmp_path: Path) -> None:
    ctx = make_context(tmp_path)
    one, two = (ctx.home / "objects" / "batch_predictions.x" / name / "parts" for name in ("1", "2"))
    for folder in (one, two):
        folder.mkdir(parents=True)
        (folder / "part-00000.parquet").write_text(folder.parent.name)
    publish("out/x", one, ctx, "batch_predictions.x")
    publish("out/x", two, ctx, "batch_predictions.x")
    assert (tmp_path / "out" / "x" / "part-00000.parquet").read_text() == "2"
    withdraw("out/x", one, ctx)
    assert shows("out/x", two, ctx)
    withdraw("out/x", two, ctx)
    assert list((tmp_path / "out").iterdir()) == []
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "x").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MlctlError, match=r"batch\.output-taken"):
        publish("out/x", one, ctx, "batch_predictions.x")
    assert (tmp_path / "out" / "x").resolve() == tmp_path / "elsewhere"
