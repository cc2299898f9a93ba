"""From trained weights to a model: merged without a change of its loss, in the formats others read, once on the disk."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from mlctl.runtime.report import Report
from mlctl.runtime.trainer.plan import PreparedText, RankPlan
from mlctl.runtime.trainer.stages import Finished
from mlctl.runtime.trainer.text import stages
from mlctl.types.jobs.recipe import Adapter, CausalLmModel, FullMethod, LoraMethod, Recipe
from mlctl.types.jobs.train import TrainJob
from tests.integration.text.jobs import dataset, recipe, refused, text_data, train_job
from tests.integration.text.tiny import conversation, make_model, write_chats

ENDED = {
    "history": [{"train_loss": 3.0, "val_loss": 2.0}, {"train_loss": 1.0, "val_loss": 2.5}],
    "trainable": 10,
    "parameters": 100,
}
LORA: dict[str, Any] = {"r": 4, "alpha": 8.0, "dropout": 0.0, "target": "all-linear"}
pytestmark = pytest.mark.filterwarnings("default")  # of the libraries under test


def trained(place: Path, made: Recipe, folder: str = "job", steps: int = 30) -> tuple[TrainJob, RankPlan]:
    """Prepare, learn a little in this process, and leave the weights as the ranks do."""
    import torch

    from mlctl.runtime.trainer.engine import WEIGHTS, Place
    from mlctl.runtime.trainer.hf_engine import methods
    from mlctl.runtime.trainer.hf_engine.rows import TokenRows

    path = place / "chats.jsonl"
    if not path.exists():
        write_chats(path, [conversation(number) for number in range(80)])
    work = place / folder
    work.mkdir(exist_ok=True)
    job = train_job(text_data(dataset(path)), made)
    plan = stages.prepare(job, work, Report(work))
    assert isinstance(plan.data, PreparedText)
    at = Place(work, 0, 1, 0, torch.device("cpu"))
    module, rows = methods.load(plan, at), TokenRows(plan.data)
    module.train()
    optimizer = torch.optim.AdamW([item for item in module.parameters() if item.requires_grad], lr=1e-2)
    for step in range(steps):
        batch = rows.batch([(8 * step + row) % plan.data.train for row in range(8)])
        module(**batch, use_cache=False).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    state = methods.trained_state(module, at)
    assert state is not None
    methods.write(work / WEIGHTS, module, state, "base")
    return job, plan


def finish(place: Path, job: TrainJob, plan: RankPlan, folder: str = "job", **ended: Any) -> Finished:
    return stages.finish(job, plan, place / folder, {**ENDED, **ended}, Report(place / folder))


@pytest.mark.parametrize(
    ("method", "precision", "into"),
    [
        (LoraMethod(type="lora", **LORA), "fp32", "the base"),
        (LoraMethod(type="dora", **LORA), "bf16", "the base"),
        (LoraMethod(type="qlora", quantization="nf4", **LORA), "fp32", "rounded to nf4"),
        (LoraMethod(type="qlora", quantization="int8", **LORA), "bf16", "rounded to int8"),
    ],
    ids=["lora", "dora", "qlora-nf4", "qlora-int8"],
)
def test_an_adapter_is_merged_without_a_change_of_its_loss(
    base: Path, place: Path, method: LoraMethod, precision: str, into: str
) -> None:
    job, plan = trained(place, recipe(base, method=method, precision=precision))
    outputs = finish(place, job, plan).outputs
    metrics = outputs["metrics"]
    assert metrics["merge_loss"] == pytest.approx(metrics["adapter_loss"], rel=2e-3)
    assert (
        metrics["adapter_loss"] < metrics["base_val_loss"] - 0.1
    )  # the adapter says something, and the merged model says it too
    assert into in outputs["merged_into"]
    assert sorted(os.listdir(outputs["adapter"])) == ["adapter_config.json", "adapter_model.safetensors"]
    settings = json.loads((Path(outputs["adapter"]) / "adapter_config.json").read_bytes())
    assert settings["base_model_name_or_path"] == str(base)
    assert not (place / "job" / "weights").exists()
    assert outputs["task"] == "causal_lm"
    assert outputs["text"] == {"messages": "messages", "max_length": 64, "loss_on": "completions"}


def test_the_folder_is_a_model_of_transformers_and_of_mlflow_with_one_copy_of_the_weights(
    base: Path, place: Path
) -> None:
    import mlflow.pyfunc
    from transformers import AutoModelForCausalLM

    job, plan = trained(place, recipe(base), steps=60)
    outputs = finish(place, job, plan).outputs
    folder = Path(outputs["model"])
    assert [path.name for path in folder.rglob("*.safetensors")] == ["model.safetensors"]
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (folder / name).read_bytes() == (base / name).read_bytes()
    assert AutoModelForCausalLM.from_pretrained(folder).config.use_cache
    served = mlflow.pyfunc.load_model(str(folder))
    asked = conversation(5)[:1]
    as_chat, as_text = served.predict([asked, asked[0]["content"]], params={"max_new_tokens": 30})
    assert as_chat == as_text
    assert as_chat.startswith("the ")
    (short,) = served.predict([asked], params={"max_new_tokens": 2})
    assert as_chat.startswith(short)
    assert len(short) < len(as_chat)
    assert {"train_loss", "val_loss", "perplexity", "base_val_loss"} <= outputs["metrics"].keys()


def test_a_repeat_after_a_kill_gives_the_same_and_makes_nothing_anew(base: Path, place: Path) -> None:
    job, plan = trained(place, recipe(base, method=LoraMethod(type="lora", **LORA)))
    first = finish(place, job, plan)
    made = (place / "job" / "model" / "model.safetensors").stat().st_mtime_ns
    again = finish(place, job, plan)
    assert again.outputs == first.outputs
    assert (place / "job" / "model" / "model.safetensors").stat().st_mtime_ns == made


@pytest.mark.parametrize("method", [FullMethod(), LoraMethod(type="lora", **LORA)], ids=["full", "lora"])
@pytest.mark.parametrize("damaged", [False, True], ids=["gone", "damaged"])
def test_without_whole_weights_the_ranks_are_to_run_again(
    base: Path, place: Path, method: FullMethod | LoraMethod, damaged: bool
) -> None:
    job, plan = trained(place, recipe(base, method=method), steps=1)
    (file,) = (place / "job" / "weights").glob("*.safetensors")
    if damaged:
        file.write_bytes(file.read_bytes()[:-5])
    else:
        shutil.rmtree(file.parent)
    (place / "job" / "ranks-ended.json").write_text("{}")
    with refused("training.weights-gone", "run `mlctl apply` again"):
        finish(place, job, plan)
    assert not any((place / "job" / name).exists() for name in ("ranks-ended.json", "model", "adapter"))


def test_a_merge_that_changes_the_loss_is_noticed(base: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlctl.runtime.trainer.text.merge import merged

    job, plan = trained(place, recipe(base, method=LoraMethod(type="lora", **LORA)))
    monkeypatch.setattr(
        "mlctl.runtime.trainer.text.finish.merged", lambda module, folder: merged(module, folder, weight=0.1)
    )
    with refused("training.merge-failed", "please report this"):
        finish(place, job, plan)
    assert not (place / "job" / "model").exists()
    assert (place / "job" / "weights").is_dir()
    monkeypatch.undo()
    assert finish(place, job, plan).outputs["model"]


def test_the_figures_are_those_of_the_epoch_whose_weights_were_kept(base: Path, place: Path) -> None:
    from mlctl.types.jobs.recipe import EarlyStopping

    job, plan = trained(place, recipe(base, early_stopping=EarlyStopping(patience=1)), steps=1)
    metrics = finish(place, job, plan).outputs["metrics"]
    assert (metrics["train_loss"], metrics["val_loss"]) == (3.0, 2.0)


def test_adapters_add_up_by_their_weights_before_anything_is_learnt(base: Path, place: Path) -> None:
    import torch

    from mlctl.runtime.trainer.text.base import load_folder, resolve

    method = LoraMethod(type="lora", **LORA)
    paths = []
    for seed in (1, 2):
        job, plan = trained(place, recipe(base, method=method, seed=seed), folder=f"job{seed}")
        paths.append(finish(place, job, plan, folder=f"job{seed}").outputs["adapter"])
    both = CausalLmModel(
        base=str(base), digest=None, adapters=[Adapter(path=paths[0], weight=0.5), Adapter(path=paths[1], weight=2.0)]
    )
    composed = load_folder(resolve(both, place / "job"), torch.float32).state_dict()
    plain = load_folder(base, torch.float32).state_dict()
    merged = [load_folder(place / f"job{seed}" / "model", torch.float32).state_dict() for seed in (1, 2)]
    for name, value in plain.items():
        wanted = value + 0.5 * (merged[0][name] - value) + 2.0 * (merged[1][name] - value)
        assert torch.allclose(composed[name], wanted, atol=1e-5), name
    # and a training begins with it, while its plan tells the ranks of no adapter
    job, plan = trained(place, recipe(base, model=both, method=method))
    assert isinstance(plan.data, PreparedText)
    assert plan.data.base == str(place / "job" / "base")
    assert isinstance(plan.recipe.model, CausalLmModel)
    assert plan.recipe.model.adapters == []
    outputs = finish(place, job, plan).outputs
    assert outputs["base"] == os.path.join("job", "base")
    settings = json.loads((Path(outputs["adapter"]) / "adapter_config.json").read_bytes())
    assert settings["base_model_name_or_path"] == outputs["base"]


def test_an_adapter_that_cannot_be_added_is_refused(base: Path, place: Path) -> None:
    from mlctl.runtime.trainer.text.base import resolve

    job, plan = trained(place, recipe(base, method=LoraMethod(type="dora", **LORA)), steps=1)
    adapter = finish(place, job, plan).outputs["adapter"]

    def use(*items: Adapter, of: Path = base) -> None:
        resolve(CausalLmModel(base=str(of), digest=None, adapters=list(items)), place / "job")

    with refused("training.dora-mixed", "neither weighted nor added"):
        use(Adapter(path=adapter, weight=0.5))
    with refused("training.bad-adapter", "holds no LoRA adapter"):
        use(Adapter(path=str(base)))
    with refused("training.bad-adapter", "does not fit the base"):
        use(Adapter(path=adapter), of=make_model(place / "smaller", hidden=16))
    with refused("training.bad-adapter", "which the base does not have"):
        use(Adapter(path=adapter), of=make_model(place / "lower", layers=1))
