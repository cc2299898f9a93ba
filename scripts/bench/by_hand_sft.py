"""LoRA fine-tuning as one writes it by hand: `by_hand_sft.py trainer|trl FOLDER`, with FOLDER/settings.json. Prints its tokens a second.

Both get the documents as tokens already, so that only training is compared: the Trainer in packed rows, TRL packs them itself.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainerCallback, TrainingArguments


class Clock(TrainerCallback):
    """Seconds from the end of the first step, which pays for all that is done once, to the end of the last."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.ends.append(time.perf_counter())


def main(front: str, folder: Path) -> None:
    told = json.loads((folder / "settings.json").read_text())
    model = AutoModelForCausalLM.from_pretrained(told["base"], dtype=torch.bfloat16)
    config = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    common = {
        "output_dir": str(folder / front),
        "per_device_train_batch_size": told["micro"],
        "gradient_accumulation_steps": told["accumulation"],
        "max_steps": told["steps"],
        "learning_rate": 2e-4,
        "lr_scheduler_type": "constant",
        "max_grad_norm": 1.0,
        "bf16": True,
        "use_cpu": True,
        "gradient_checkpointing": False,
        "save_strategy": "no",
        "logging_steps": 1,
        "report_to": "none",
        "disable_tqdm": True,
        "seed": 0,
    }
    clock = Clock()
    if front == "trl":
        from trl import SFTConfig, SFTTrainer

        trainer: Any = SFTTrainer(
            model=model,
            args=SFTConfig(**common, packing=True, max_length=told["length"]),
            train_dataset=Dataset.from_json(str(folder / "documents.jsonl")),
            processing_class=AutoTokenizer.from_pretrained(told["base"]),
            peft_config=config,
            callbacks=[clock],
        )
    else:
        from peft import get_peft_model

        trainer = Trainer(
            model=get_peft_model(model, config),
            args=TrainingArguments(**common, remove_unused_columns=False),
            train_dataset=Dataset.from_json(str(folder / "rows.jsonl")),
            data_collator=Padded(told["pad"]),
            callbacks=[clock],
        )
    counted: list[int] = []
    step = trainer.training_step

    def counting(model: Any, inputs: Any, *rest: Any) -> Any:
        counted.append(int(inputs["labels"].ne(-100).sum()))  # packed rows: all but padding is learnt from
        return step(model, inputs, *rest)

    trainer.training_step = counting
    trainer.train()
    tokens = sum(counted[told["accumulation"] :])
    print(json.dumps({"tokens_per_second": tokens / (clock.ends[-1] - clock.ends[0])}))


class Padded:
    """Rows of one length: tokens, labels, and positions that begin anew with each document."""

    def __init__(self, pad: int) -> None:
        self.pads = {"input_ids": pad, "labels": -100, "position_ids": 0}

    def __call__(self, rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        longest = max(len(row["input_ids"]) for row in rows)
        return {
            name: torch.tensor([row[name] + [pad] * (longest - len(row[name])) for row in rows])
            for name, pad in self.pads.items()
        }


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
