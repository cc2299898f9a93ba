"""Checks of the engine `hf` that need torch but train nothing; run in a process of its own by test_hf.py."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import torch

from mlctl.runtime.trainer.plan import PreparedText, Steps
from mlctl.types.jobs.recipe import Recipe
from tests.integration.training import language


def micro_batches() -> None:
    """All ranks have as many micro-batches in each step, and together take each row once, in the order of the epoch."""
    from mlctl.runtime.trainer.hf_engine.rows import MicroBatches
    from mlctl.runtime.trainer.order import epoch_order

    for rows, batch, world, micro in itertools.product((1, 7, 30, 33), (1, 4, 7, 8, 64), (1, 2, 3), (None, 1, 3)):
        if batch < world:
            continue
        steps = Steps(rows, batch, 2, world)
        ranks = [MicroBatches(steps, rank, micro, 5) for rank in range(world)]
        for item in ranks:
            item.set_epoch(1)
        found = [list(item) for item in ranks]
        assert [len(parts) for parts in found] == [len(item) for item in ranks]
        assert len({len(parts) for parts in found}) == 1
        most = ranks[0].most
        assert all(len(part) <= most <= (micro or most) for parts in found for part in parts)
        taken: list[int] = []
        for step in range(steps.per_epoch):
            first = step * ranks[0].accumulation
            last = min(first + ranks[0].accumulation, len(found[0]))
            own = [row for parts in found for part in parts[first:last] for row in part]
            assert own == ranks[0].rows(steps.per_epoch + step).tolist()
            taken += own
        assert taken == epoch_order(5, 1, rows).tolist()[: len(taken)]


def batches() -> None:
    """Rows of one document go without positions; packed ones restart them; none at all give a row whose loss is 0."""
    from mlctl.runtime.trainer.hf_engine.rows import TokenRows
    from mlctl.runtime.trainer.hf_engine.trainer import token_loss

    documents = language.documents(6)
    with tempfile.TemporaryDirectory() as name:
        language.write_rows(Path(name), [documents[:2], [documents[2]], [documents[3]], documents[4:]])
        data = PreparedText(
            folder=name,
            base="",
            train=2,
            validation=2,
            train_tokens=0,
            max_length=64,
            pad_token=language.VOCABULARY - 1,
        )
        rows = TokenRows(data)
        assert rows.highest() == language.VOCABULARY - 1
        plain, packed = rows.batch([1, 2]), rows.batch([0, 1])
        assert "position_ids" not in plain
        assert (packed["position_ids"][0] == 0).sum() >= 2
        assert not any("attention_mask" in batch for batch in (plain, packed))
        lengths = [len(documents[0][0]) + len(documents[1][0]), len(documents[2][0])]
        assert packed["input_ids"].shape == (2, max(lengths))
        assert rows.tokens(torch.tensor([0, 1])) == sum(lengths)
        counted = (packed["labels"][:, 1:] != -100).sum()
        assert rows.weight(torch.tensor([0, 1])) == counted
        nothing = rows.batch([])
        logits = torch.randn(*nothing["input_ids"].shape, 9, requires_grad=True)
        loss = token_loss({"logits": logits}, nothing["labels"], num_items_in_batch=torch.tensor(3.0))
        loss.backward()
        assert loss.item() == 0
        assert logits.grad is not None
        assert not logits.grad.any()


def losses() -> None:
    """The loss is that of Transformers, whether few tokens count or all."""
    from transformers.loss.loss_utils import ForCausalLMLoss

    from mlctl.runtime.trainer.hf_engine.trainer import token_loss

    torch.manual_seed(1)
    logits, labels = torch.randn(3, 11, 17), torch.randint(0, 17, (3, 11))
    for share in (0.0, 0.3, 0.9):
        marks = labels.masked_fill(torch.rand(3, 11) < share, -100)
        wanted = ForCausalLMLoss(logits, marks, 17, num_items_in_batch=torch.tensor(5.0))
        found = token_loss({"logits": logits}, marks, num_items_in_batch=torch.tensor(5.0))
        assert torch.allclose(found, wanted, rtol=1e-6), share


def snapshots() -> None:
    """What is written in the background does not change with the next steps, the projectors of GaLore neither."""
    from galore_torch.galore_projector import GaLoreProjector

    from mlctl.runtime.trainer.torch_engine.whole import copied

    projector = GaLoreProjector(rank=2, update_proj_gap=1)
    projector.project(torch.randn(6, 4), 0)
    state = {"state": {0: {"step": 1, "projector": projector, "exp_avg": torch.zeros(2)}}}
    taken, before = copied(state), projector.ortho_matrix.clone()
    projector.project(torch.randn(6, 4), 1)
    assert not torch.equal(projector.ortho_matrix, before)
    assert torch.equal(taken["state"][0]["projector"].ortho_matrix, before)


def recipe(**changes: Any) -> Recipe:
    """A recipe for a language model."""
    return Recipe.model_validate(
        {
            "model": {"type": "causal_lm", "base": "b", "digest": None},
            "engine": "hf",
            "layout": {"strategy": "single"},
            "precision": "bf16",
            "epochs": 1,
            "batch_size": 8,
            "optimizer": {"type": "adamw", "lr": 1e-3},
            "checkpoint": {"every": "1 epochs", "keep": 1},
            "seed": 0,
            **changes,
        }
    )


def capabilities() -> None:
    """What cannot be done is refused before anything is loaded, each with a way out; what can is not."""
    from mlctl.runtime.trainer.hf_engine.capabilities import capabilities as found

    gpu, cpu = torch.device("cuda", 0), torch.device("cpu")
    torch.cuda.is_bf16_supported = lambda *_: True  # type: ignore[assignment]
    zero3 = {"strategy": "zero3", "data": 4}
    lora = {"type": "lora", "r": 4, "alpha": 8, "dropout": 0, "target": "all-linear"}
    galore = {"type": "galore", "rank": 4, "update_every": 9, "scale": 1, "target": ["attn"]}
    refused: list[tuple[torch.device, dict[str, Any]]] = [
        (cpu, {"precision": "fp16"}),
        (cpu, {"layout": zero3, "memory": {"offload": ["optimizer"]}}),
        (gpu, {"layout": {"strategy": "fsdp", "data": 2}}),
        (gpu, {"memory": {"offload": ["optimizer"]}}),
        (gpu, {"layout": {"strategy": "zero2", "data": 2}, "memory": {"offload": ["parameters"]}}),
        (gpu, {"layout": zero3, "method": galore}),
        (gpu, {"layout": zero3, "optimizer": {"type": "adafactor", "lr": 1}}),
        (gpu, {"layout": zero3, "optimizer": {"type": "adamw_8bit", "lr": 1}}),
        (gpu, {"layout": zero3, "method": {**lora, "type": "qlora", "quantization": "nf4"}}),
        (gpu, {"layout": zero3, "checkpoint": {"every": "1 epochs", "keep": 1, "background": True}}),
        (gpu, {"layout": zero3, "memory": {"compile": True}}),
        (gpu, {"optimizer": {"type": "adafactor", "lr": 1, "fused": True}}),
        (gpu, {"method": galore, "optimizer": {"type": "sgd", "lr": 1}}),
        (gpu, {"model": {"type": "mlp", "hidden": [4]}}),
    ]
    for device, changes in refused:
        told = list(found(recipe(**changes), device))
        assert len(told) == 1, (changes, told)
        assert told[0].fix
    allowed: list[tuple[torch.device, dict[str, Any]]] = [
        (cpu, {}),
        (gpu, {"precision": "fp16", "memory": {"offload": ["activations"], "gradient_checkpointing": True}}),
        (gpu, {"layout": zero3, "method": lora, "memory": {"offload": ["optimizer", "parameters"]}}),
        (
            gpu,
            {"method": {**lora, "type": "qlora", "quantization": "nf4"}, "optimizer": {"type": "adamw_8bit", "lr": 1}},
        ),
    ]
    for device, changes in allowed:
        assert not list(found(recipe(**changes), device)), changes


def memory() -> None:
    """Who runs out of memory is told what to change, the largest saving first, and nothing that is set already."""
    from mlctl.runtime.trainer.hf_engine.run import _explained

    said = {}
    for name, changes in {
        "wasteful": {"precision": "fp32"},
        "thrifty": {
            "micro_batch_size": 1,
            "layout": {"strategy": "zero3", "data": 2},
            "method": {"type": "lora", "r": 4, "alpha": 8, "dropout": 0, "target": "all-linear"},
            "memory": {"gradient_checkpointing": True},
        },
    }.items():
        try:
            with _explained(recipe(**changes)):
                torch.empty(2**50)
        except MemoryError as error:
            said[name] = str(error)
    for word in ("lora", "micro_batch_size", "gradient_checkpointing", "bf16", "zero3", "max_length"):
        assert word in said["wasteful"], said
        assert (word in said["thrifty"]) == (word == "max_length"), said


def deepspeed() -> None:
    """What DeepSpeed is told for each stage, with and without offload; it takes each configuration."""
    from mlctl.runtime.trainer.hf_engine.zero import configuration

    assert configuration(recipe()) is None
    for stage in (1, 2, 3):
        offload = ["optimizer", "parameters"] if stage == 3 else ["optimizer"]
        layout = {"strategy": f"zero{stage}", "data": 2}
        for wanted in ([], offload):
            made = configuration(recipe(layout=layout, memory={"offload": wanted}))
            assert made is not None
            zero = made["zero_optimization"]
            assert zero["stage"] == stage
            assert ("offload_optimizer" in zero, "offload_param" in zero) == (
                "optimizer" in wanted,
                "parameters" in wanted,
            )
            assert "optimizer" not in made
            _deepspeed_takes(made)


def _deepspeed_takes(made: dict[str, Any]) -> None:
    import os

    os.environ["DS_ACCELERATOR"] = "cpu"
    from deepspeed.runtime.config import DeepSpeedConfig

    zero = {name: value for name, value in made["zero_optimization"].items() if value != "auto"}
    numbers = {"train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 2, "train_batch_size": 4}
    whole = {**made, **numbers, "gradient_clipping": 1.0, "bf16": {"enabled": True}, "fp16": {"enabled": False}}
    assert DeepSpeedConfig({**whole, "zero_optimization": zero}).zero_config.stage == zero["stage"]


if __name__ == "__main__":
    for part in (micro_batches, batches, losses, snapshots, capabilities, memory, deepspeed):
        part()
