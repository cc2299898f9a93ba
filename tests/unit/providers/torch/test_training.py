from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mlctl.provider import Condition, Context
from mlctl.providers.torch.resuming import position
from mlctl.providers.torch.spec import TrainingSpec
from mlctl.providers.torch.training import Training, train_job, with_lineage
from mlctl.testing.harness import make_context, make_desired
from mlctl.types.address import ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.features import Transformation, ViewSource
from mlctl.types.state import Pending, Record

VALUES: dict[str, Any] = {
    "data": {"labels": "labels", "features": ["shopping"], "target": "shops", "split": {"by": "time", "test": "15%"}},
    "model": {"type": "mlp", "hidden": [64, 32]},
    "strategy": {"type": "ddp", "processes": 2},
    "precision": "bf16",
    "epochs": 8,
    "batch_size": 512,
    "optimizer": {"type": "adamw", "lr": 3e-3},
    "checkpoint": {"every": "50 steps", "keep": 2},
    "seed": 7,
}
PYTHON = {"type": "python", "entrypoint": "src/model.py:build"}


def view(name: str, key: str = "household_id", digest: str = "v") -> Record:
    outputs = {
        "view": name, "entity": "household", "keys": [{"name": key, "type": "int64"}], "features": {"amount": "float64"},
        "offline": f"{name}.parquet", "ttl_seconds": None, "grid_seconds": 86400, "until": "2024-02-01T00:00:00", "digest": digest, "store": {"project": "p"},
    }  # fmt: skip
    return Record(ObjectKey.parse(f"feature_views.{name}#"), name, outputs=outputs)


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "model.py").write_text(
        "from src import layers\n\ndef build(features, width=8):\n    return layers.net(width)\n"
    )
    (tmp_path / "src" / "layers.py").write_text("def net(width):\n    return width\n")
    return make_context(tmp_path, project="shop")


@pytest.fixture
def inputs() -> dict[str, Record]:
    labels = {"files": ["l.csv"], "format": "csv", "digest": "d", "columns": {"shops": "bigint"}, "rows": 3, "key": []}
    return {
        "datasets.labels": Record(ObjectKey.parse("datasets.labels#d"), "l", outputs=labels),
        "feature_views.shopping": view("shopping"),
    }


def identity(ctx: Context, inputs: dict[str, Record], **changed: Any) -> str:
    return make_desired(Training(), "training.m", {**VALUES, **changed}, ctx, inputs).key.identity


@pytest.mark.parametrize(
    "changed",
    [
        {"optimizer": {"type": "adamw", "lr": 1e-3}},
        {"seed": 8},
        {"max_steps": 5},
        {"model": {"type": "mlp", "hidden": [64]}},
        {"precision": "fp32"},
        {"task": "binary"},
    ],
)
def test_what_makes_another_model_is_another_object(
    ctx: Context, inputs: dict[str, Record], changed: dict[str, Any]
) -> None:
    assert identity(ctx, inputs, **changed) != identity(ctx, inputs)


@pytest.mark.parametrize(
    "changed",
    [
        {"description": "x"},
        {"owner": "me"},
        {"tags": {"a": "b"}},
        {"checkpoint": {"every": "2 epochs"}},
        {"strategy": {"type": "single"}},
        {"strategy": "auto"},
        {"micro_batch_size": 16},
        {"memory": {"compile": True}},
        {"executor": {"type": "local", "restarts": 0}},
    ],
)
def test_what_makes_no_other_model_is_the_same_object(
    ctx: Context, inputs: dict[str, Record], changed: dict[str, Any]
) -> None:
    assert identity(ctx, inputs, **changed) == identity(ctx, inputs)


def test_other_features_are_another_object(ctx: Context, inputs: dict[str, Record]) -> None:
    moved = {**inputs, "feature_views.shopping": view("shopping", digest="w")}
    assert identity(ctx, moved) != identity(ctx, inputs)


def test_an_imported_file_is_part_of_the_key_and_an_unrelated_one_is_not(
    ctx: Context, inputs: dict[str, Record]
) -> None:
    before = identity(ctx, inputs, model=PYTHON)
    (ctx.root / "src" / "other.py").write_text("x = 1\n")
    assert identity(ctx, inputs, model=PYTHON) == before
    (ctx.root / "src" / "layers.py").write_text("def net(width):\n    return 2 * width\n")
    assert identity(ctx, inputs, model=PYTHON) != before


def test_equal_ways_of_writing_are_one(ctx: Context, inputs: dict[str, Record]) -> None:
    data = {**VALUES["data"], "split": {"by": "time", "test": 0.15}}
    assert identity(ctx, inputs, data=data, checkpoint={"every": "50 step", "keep": 2}) == identity(ctx, inputs)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"precision": "int8"}, "'fp32', 'bf16' or 'fp16'"),
        ({"checkpoint": {"every": "often"}}, "write `50 steps`"),
        ({"checkpoint": {"every": "0 steps"}}, "write `50 steps`"),
        ({"strategy": {"type": "ddp"}}, "processes"),
        ({"strategy": {"type": "ddp", "processes": 0}}, "greater than or equal to 1"),
        ({"optimizer": {"type": "adamw", "lr": 0}}, "greater than 0"),
        ({"model": {"type": "python", "entrypoint": "src/model.py"}}, "write the file and the function"),
        ({"model": {"type": "mlp", "hidden": [0]}}, "greater than or equal to 1"),
        ({"model": {"type": "mlp", "hidden": [4], "dropout": 1}}, "less than 1"),
        ({"data": {**VALUES["data"], "split": {"test": "100%"}}}, "less than 1"),
        ({"epoch": 3}, "not permitted"),
    ],
)
def test_a_bad_value_is_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        TrainingSpec.model_validate({**VALUES, **changed})


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"data": {**VALUES["data"], "columns": ["a"]}}, "training.columns-unused"),
        ({"data": {**VALUES["data"], "service": "offer"}}, "training.features-unused"),
        (
            {"data": {"labels": "labels", "service": "offer", "target": "y", "columns": ["a"]}},
            "training.columns-unused",
        ),
        ({"data": {"labels": "labels", "target": "y", "columns": ["y"]}}, "training.target-leak"),
        ({"data": {"labels": "labels", "target": "y", "columns": ["a", "a"]}}, "training.duplicate"),
        ({"batch_size": 1}, "training.batch-too-small"),
        ({"model": {"type": "python", "entrypoint": "src/modle.py:build"}}, "training.entrypoint-missing"),
        ({"model": {"type": "python", "entrypoint": "src/model.py:biuld"}}, "training.entrypoint-missing"),
        ({"model": {"type": "python", "entrypoint": "../model.py:build"}}, "spec.path-outside"),
        ({"model": {**PYTHON, "params": {"widht": 3}}}, "training.entrypoint-signature"),
    ],
)
def test_a_bad_combination_is_refused(ctx: Context, changed: dict[str, Any], code: str) -> None:
    found = Training().check(TrainingSpec.model_validate({**VALUES, **changed}), ctx)
    assert [item.code for item in found] == [code]


def test_the_entry_point_is_looked_at_and_never_run(ctx: Context) -> None:
    (ctx.root / "src" / "model.py").write_text("raise SystemExit(3)\n\ndef build(features, *, depth):\n    pass\n")
    spec = TrainingSpec.model_validate({**VALUES, "model": PYTHON})
    (found,) = Training().check(spec, ctx)
    assert "needs a value for `depth`" in found.summary
    (ctx.root / "src" / "model.py").write_text("def build(features:\n")
    assert [item.code for item in Training().check(spec, ctx)] == ["training.entrypoint-unreadable"]


def test_the_job_says_all_that_the_worker_needs(ctx: Context, inputs: dict[str, Record]) -> None:
    desired = make_desired(Training(), "training.m", {**VALUES, "owner": "me", "model": PYTHON}, ctx, inputs)
    params = train_job(desired, ctx)
    assert (params.tracking.uri, params.tracking.experiment) == ("sqlite:///.mlctl/mlflow.db", "shop")
    assert params.tracking.labels == {"owner": "me"}
    assert params.recipe.model.type == "python"
    assert params.recipe.model.closure == ["src/layers.py", "src/model.py"]
    assert params.data.view_digests == {"shopping": "v"}


def test_views_of_two_entities_are_used_together(ctx: Context, inputs: dict[str, Record]) -> None:
    both = {**inputs, "feature_views.shopping": view("shopping"), "feature_views.goods": view("goods", "product_id")}
    data = {**VALUES["data"], "features": ["shopping", "goods"]}
    desired = make_desired(Training(), "training.m", {**VALUES, "data": data}, ctx, both)
    serving = train_job(desired, ctx).data.serving(["amount"], [])
    assert [key["name"] for key in serving["keys"]] == ["household_id", "product_id"]


def test_columns_that_stand_in_names_of_folders_go_to_the_worker(ctx: Context, inputs: dict[str, Record]) -> None:
    labels = inputs["datasets.labels"]
    outputs = {**labels.outputs, "columns": {"shops": "bigint", "year": "bigint"}, "partitions": {"year": "bigint"}}
    known = {**inputs, "datasets.labels": replace(labels, outputs=outputs)}
    job = train_job(make_desired(Training(), "training.m", VALUES, ctx, known), ctx)
    assert job.data.labels.source.partitions == {"year": "bigint"}


def test_lineage_names_the_features_the_target_and_what_a_request_brings(
    ctx: Context, inputs: dict[str, Record]
) -> None:
    desired = make_desired(Training(), "training.m", VALUES, ctx, inputs)
    made = with_lineage({"serving": {"columns": ["amount"], "transformations": []}}, desired)["lineage"]["score"]
    assert made["from"] == [["feature_views.shopping", "amount"], ["datasets.labels", "shops"]]

    data = {"labels": "labels", "service": "offer", "target": "shops"}
    offer = service(ctx)
    known = {"datasets.labels": inputs["datasets.labels"], "feature_services.offer": offer}
    desired = make_desired(Training(), "training.m", {**VALUES, "data": data}, ctx, known)
    serving = {**offer.outputs["serving"], "transformations": offer.outputs["transformations"]}
    made = with_lineage({"serving": serving}, desired)["lineage"]["score"]
    assert made["from"][2:] == [["datasets.labels", "basket"], ["datasets.labels", "shops"]]
    assert made["from"][:2] == [["feature_services.offer", "share"], ["feature_services.offer", "amount"]]


def service(ctx: Context) -> Record:
    """A feature service of one view and one function."""
    made = Transformation(
        view="ratios", root="code", file="src/f.py", function="f", closure=["src/f.py"], code_digest="c", request={"basket": "float64"},
        inputs=["amount"], features={"share": "float64"},
    )  # fmt: skip
    source = ViewSource.from_outputs(view("shopping").outputs)
    outputs = {
        "views": [source.model_dump(mode="json")], "view_digests": {"shopping": "v"}, "transformations": [made.model_dump(mode="json")],
        "store": {"project": "p"}, "serving": {"columns": ["share", "amount"]}, "digest": "s",
    }  # fmt: skip
    return Record(ObjectKey.parse("feature_services.offer#"), "offer", outputs=outputs)


def test_a_service_says_what_is_joined_what_is_computed_and_in_which_order(
    ctx: Context, inputs: dict[str, Record]
) -> None:
    data = {"labels": "labels", "service": "offer", "target": "shops"}
    known = {"datasets.labels": inputs["datasets.labels"], "feature_services.offer": service(ctx)}
    job = train_job(make_desired(Training(), "training.m", {**VALUES, "data": data}, ctx, known), ctx)
    data = job.data
    assert (data.columns, [item.view for item in data.views]) == (["share", "amount"], ["shopping"])
    assert [item.view for item in data.transformations] == ["ratios"]
    assert (data.view_digests, data.store) == ({"shopping": "v"}, {"project": "p"})


def test_another_service_digest_is_another_model(ctx: Context, inputs: dict[str, Record]) -> None:
    data = {"labels": "labels", "service": "offer", "target": "shops"}
    offer = service(ctx)
    other = replace(offer, outputs={**offer.outputs, "digest": "t"})
    found = {
        make_desired(
            Training(),
            "training.m",
            {**VALUES, "data": data},
            ctx,
            {"datasets.labels": inputs["datasets.labels"], "feature_services.offer": item},
        ).key.identity
        for item in (offer, other)
    }
    assert len(found) == 2


def test_a_dead_training_is_resumable_only_from_a_checkpoint(ctx: Context, inputs: dict[str, Record]) -> None:
    desired = make_desired(Training(), "training.m", VALUES, ctx, inputs)
    pending = Record(desired.key, None, dict(desired.values), pending=Pending.APPLY)
    folder = ctx.folder(desired.key)
    assert Training().read(pending, ctx) is None
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "job.json").write_text("{}")
    assert Training().read(pending, ctx) is None
    (folder / "checkpoints" / "step-0000000450.json").write_text(
        '{"step": 450, "total": 1200, "epoch": 3, "digest": ""}'
    )
    seen = Training().read(pending, ctx)
    assert seen is not None
    assert (seen.condition, seen.detail) == (Condition.RESUMABLE, "step 450 of 1200")


def test_a_checkpoint_of_another_layout_is_refused_before_anything_starts(
    ctx: Context, inputs: dict[str, Record]
) -> None:
    desired = make_desired(Training(), "training.m", VALUES, ctx, inputs)
    pending = Record(desired.key, None, dict(desired.values), pending=Pending.APPLY)
    folder = ctx.folder(desired.key)
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "job.json").write_text("{}")
    position = {"step": 450, "total": 1200, "epoch": 3, "files": {}}

    def seen(layout: dict[str, Any]) -> None:
        (folder / "checkpoints" / "step-0000000450.json").write_text(json.dumps({**position, "layout": layout}))
        Training().diff(desired, pending, Training().read(pending, ctx))

    ddp = {"engine": "torch", "strategy": "ddp", "data": 4, "tensor": 1, "pipeline": 1}
    seen(ddp)  # a data-parallel training goes on with another number of processes
    with pytest.raises(MlctlError, match="zero2"):
        seen({**ddp, "engine": "hf", "strategy": "zero2"})


def test_how_far_a_training_is_tells_the_checkpoint_and_the_step_that_was_reached(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "curve.bin").write_bytes(b"".join(struct.pack("<qidddd", step, 1, 0, 0, 0, 0) for step in range(1, 31)))
    assert position(tmp_path) == ""
    (tmp_path / "checkpoints" / "step-0000000020.json").write_text(json.dumps({"step": 20, "total": 60}))
    assert position(tmp_path) == "step 20 of 60 is saved, 30 was reached"
    with (tmp_path / "curve.bin").open("ab") as file:
        file.write(b"cut")
    assert position(tmp_path) == "step 20 of 60 is saved, 30 was reached"
    (tmp_path / "checkpoints" / "step-0000000030.json").write_text(json.dumps({"step": 30, "total": 60}))
    assert position(tmp_path) == "step 30 of 60"


@pytest.mark.parametrize(
    ("outputs", "data", "words"),
    [
        ({"task": "causal_lm"}, {"dataset": "d"}, "62 packed sequences"),
        ({"task": "causal_lm"}, {"dataset": "d", "packing": False}, "62 documents"),
        ({"task": "binary"}, {"labels": "d"}, "62 rows"),
    ],
)
def test_what_was_learnt_from_is_called_by_its_name(outputs: dict[str, Any], data: dict[str, Any], words: str) -> None:
    made = Record(ObjectKey.parse("training.m#1"), "r", {"data": data}, outputs={**outputs, "rows": 62})
    assert words in Training().describe(made)
