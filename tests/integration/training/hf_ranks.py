"""Ranks of language models that train one plan after another: `python -m tests.integration.training.hf_ranks FOLDER...`.

Each folder says in the end how it went, `told-RANK.json`. A file `stop-RANK` in it has that rank asked to stop after so many steps.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np


class Asked:
    """Looked at once a step: whether this rank is asked to stop. It is asked once."""

    def __init__(self, path: Path) -> None:
        self.path, self.steps = path, 0

    @property
    def set(self) -> bool:
        self.steps += 1
        if not self.path.exists() or self.steps < int(self.path.read_text()):
            return False
        self.path.unlink()
        return True


def main(folders: list[Path]) -> None:
    import torch
    import torch.distributed as dist

    from mlctl.runtime.trainer.engine import Place
    from mlctl.runtime.trainer.hf_engine.run import run as hf
    from mlctl.runtime.trainer.plan import RankPlan
    from mlctl.runtime.trainer.torch_engine.run import run as own

    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if world > 1:
        dist.init_process_group("gloo")
    for folder in folders:
        plan = RankPlan.read(folder)
        torch.use_deterministic_algorithms(plan.recipe.deterministic)
        os.environ.pop("ACCELERATE_USE_DEEPSPEED", None)  # accelerate leaves it behind
        place = Place(folder, rank, world, rank, torch.device("cpu"))
        told: dict[str, Any]
        try:
            ending = (hf if plan.recipe.engine == "hf" else own)(plan, place, Asked(folder / f"stop-{rank}"))
            told = asdict(ending)
        except Exception as error:
            told = {"status": "failed", "type": type(error).__name__, "message": str(error)}
        (folder / f"told-{rank}.json").write_text(json.dumps(told))
        if (folder / "reload").exists() and rank == 0:
            (folder / "reload").write_text(str(reloaded_loss(plan, folder)))
    if world > 1:
        dist.destroy_process_group()


def reloaded_loss(plan: Any, folder: Path) -> float:
    """The validation loss of what a training left, by Transformers and PEFT alone, one document at a time."""
    import torch
    from peft import PeftModel
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(plan.data.base, dtype=torch.float32)
    weights = folder / "weights"
    if (weights / "adapter_model.safetensors").exists():
        model = PeftModel.from_pretrained(model, str(weights))
    else:
        model.load_state_dict(load_file(weights / "model.safetensors"), strict=False)
    data = {name: np.load(Path(plan.data.folder) / f"{name}.npy") for name in ("input_ids", "labels", "position_ids")}
    start = int(np.load(Path(plan.data.folder) / "offsets.npy")[plan.data.train])
    begins = [place for place in range(start, len(data["input_ids"])) if data["position_ids"][place] == 0]
    total, count = 0.0, 0
    for first, last in zip(begins, [*begins[1:], len(data["input_ids"])], strict=True):
        ids = torch.tensor(data["input_ids"][first:last].astype(np.int64))[None]
        labels = torch.tensor(data["labels"][first:last].astype(np.int64))[None]
        counted = int((labels[:, 1:] != -100).sum())
        if counted:
            with torch.no_grad():
                total += float(model.eval()(input_ids=ids, labels=labels).loss) * counted
            count += counted
    return total / count


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
