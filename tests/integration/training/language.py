"""A tiny language model on disk, token rows to learn from, and trainings of them by the ranks themselves.

Run under torchrun with folders of plans, it trains each in turn: to start ranks takes longer than to train a tiny model.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

from mlctl.runtime.trainer.plan import PLAN_FILE, RankPlan
from mlctl.types.jobs.train import CHECKPOINTS
from tests import nursery

SOURCE_FILE = "goes-on-from"  # names the job whose checkpoints a training goes on from
WIDTH, LAYERS, VOCABULARY = 64, 4, 256
SIZES = {
    "hidden_size": WIDTH,
    "intermediate_size": 96,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 128,
    "pad_token_id": 2,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def make_base(folder: Path, kind: str = "llama", **changes: Any) -> Path:
    """A random model of a kind, in the format of Transformers."""
    make_bases((folder, kind, changes))
    return folder


def make_bases(*wanted: tuple[Path, str, dict[str, Any]]) -> None:
    """Random models, each of a kind and with what is other than usual, in the format of Transformers."""
    models = [(str(folder), kind, {**SIZES, **changes}) for folder, kind, changes in wanted]
    run(1, "tests.integration.training.bases", json.dumps(models))


def documents(count: int, seed: int = 3) -> list[tuple[list[int], int]]:
    """Token sequences, and how many tokens of each are a prompt. What follows can be learnt: tokens go up by one."""
    draw = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        length, start = int(draw.integers(4, 24)), int(draw.integers(3, VOCABULARY - 30))
        tokens = [start + place for place in range(length)]
        found.append(([*tokens, 2], int(draw.integers(1, length))))
    return found


def write_rows(folder: Path, rows: list[list[tuple[list[int], int]]]) -> None:
    """Rows of one document or several, as a preparation leaves them."""
    folder.mkdir(parents=True, exist_ok=True)
    ids: list[int] = []
    labels: list[int] = []
    positions: list[int] = []
    offsets, weights = [0], []
    for row in rows:
        counted = 0
        for tokens, prompt in row:
            ids += tokens
            labels += [-100] * prompt + tokens[prompt:]
            positions += range(len(tokens))
            counted += len(tokens) - prompt
        offsets.append(len(ids))
        weights.append(counted)
    for name, values, kind in (
        ("input_ids", ids, np.int32),
        ("labels", labels, np.int32),
        ("position_ids", positions, np.int32),
        ("offsets", offsets, np.int64),
        ("weights", weights, np.int64),
    ):
        np.save(folder / f"{name}.npy", np.array(values, dtype=kind))


def packed(found: list[tuple[list[int], int]], each: int) -> list[list[tuple[list[int], int]]]:
    """Documents side by side, so many a row."""
    return [found[start : start + each] for start in range(0, len(found), each)]


def make_plan(
    folder: Path, data: Path, base: Path, train: int, validation: int, layout: dict[str, Any], **changes: Any
) -> Path:
    """What ranks are told, in a job's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe = {
        "model": {"type": "causal_lm", "base": str(base), "digest": None},
        "engine": "torch",
        "layout": layout,
        "precision": "fp32",
        "epochs": 2,
        "batch_size": 8,
        "optimizer": {"type": "adamw", "lr": 1e-3, "weight_decay": 0.01},
        "checkpoint": {"every": "100 epochs", "keep": 2},
        "seed": 5,
        **changes,
    }
    text = {
        "type": "text",
        "folder": str(data),
        "base": str(base),
        "train": train,
        "validation": validation,
        "train_tokens": 0,
        "max_length": 128,
        "pad_token": 2,
    }
    (folder / PLAN_FILE).write_text(json.dumps({"data": text, "model": {"type": "causal_lm"}, "recipe": recipe}))
    return folder


def environment() -> dict[str, str]:
    """What the executor gives to ranks."""
    return {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "HF_HUB_OFFLINE": "1",
    }


def run(processes: int, module: str, *arguments: str) -> None:
    """Run a module as one process or as several ranks, to its end."""
    born = nursery.shared().start(
        module, *arguments, environment=environment(), folder=Path.cwd(), ranks=processes, libraries=nursery.TRANSFORMERS
    )  # fmt: skip
    printed, _ = born.communicate(timeout=600)
    assert born.returncode == 0, printed[-6000:]


def command(processes: int, *program: str) -> list[str]:
    """A program as one process, or by torchrun as several, in interpreters of their own."""
    ranks = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return [sys.executable, *(ranks if processes > 1 else []), *program]


def train(processes: int, *folders: Path) -> None:
    """Train the plans in these folders, one after the other, by the same ranks."""
    run(processes, "tests.integration.training.language", *map(str, folders))


def rank(folders: list[str]) -> None:
    """One rank of `train`."""
    import torch
    import torch.distributed as dist

    from mlctl.runtime.trainer.engine import Place
    from mlctl.runtime.trainer.stop import StopSignal
    from mlctl.runtime.trainer.torch_engine.run import run

    own, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    stop = StopSignal()
    torch.use_deterministic_algorithms(True)
    if world > 1:
        dist.init_process_group("gloo")
    try:
        for folder in map(Path, folders):
            if own == 0 and (folder / SOURCE_FILE).exists():
                shutil.copytree((folder / SOURCE_FILE).read_text() + f"/{CHECKPOINTS}", folder / CHECKPOINTS)
            if world > 1:
                dist.barrier()
            try:
                ending = run(RankPlan.read(folder), Place(folder, own, world, own, torch.device("cpu")), stop)
                assert ending.status == "done"
            except ValueError as error:
                (folder / f"refused-{own}").write_text(str(error))
    finally:
        if world > 1:
            dist.destroy_process_group()


if __name__ == "__main__":
    rank(sys.argv[1:])
