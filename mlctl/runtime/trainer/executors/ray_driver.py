"""The program that hands a training to Ray Train: `python -m mlctl.runtime.trainer.executors.ray_driver FOLDER`.

It runs in a session of its own and goes on when the program that started it is killed; it is found again by the lock that it holds.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.runtime import process
from mlctl.runtime.trainer.executors.ray_worker import work

ORDER_FILE = "ray.json"  # what is asked for
LOCK_FILE = "ray.lock"  # held (flock) for as long as this program lives
PROCESS_FILE = "ray-process.json"
ENDED_FILE = "ray-ended.json"  # {"why": what Ray says | None}: this program's last act
_STORE_BYTES = 100_000_000  # nothing is kept in Ray's own store; the least it takes is 75 MB


def main(folder: Path) -> int:
    """Run all workers to their end, however often Ray starts them anew."""
    atomic.write_json(folder / PROCESS_FILE, {"pid": os.getpid()})
    order = json.loads((folder / ORDER_FILE).read_bytes())
    os.environ["RAY_TRAIN_V2_ENABLED"] = "1"  # before Ray Train is imported
    import ray

    why = None
    try:
        _connect(order)
        why = _fit(order, folder)
    except Exception as error:  # Ray raises many kinds; each is said in the words of its last line
        why = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        print(error, file=sys.stderr, flush=True)
    atomic.write_json(folder / ENDED_FILE, {"why": why})
    ray.shutdown()
    return 0 if why is None else 1


def _connect(order: dict[str, Any]) -> None:
    import ray

    if order["address"] is not None:
        ray.init(address=order["address"], log_to_driver=False)
        return
    cpus = max(os.cpu_count() or 1, int(order["workers"] * order["cpus"] + 0.999))
    ray.init(num_cpus=cpus, include_dashboard=False, object_store_memory=_STORE_BYTES, log_to_driver=False)


def _fit(order: dict[str, Any], folder: Path) -> str | None:
    """Why Ray gave up, or None when all workers came to their own end."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
    from ray.train.v2.api.exceptions import TrainingFailedError

    # the base of TorchTrainer: the ranks, which are processes of their own, make their process group themselves
    trainer = DataParallelTrainer(
        work,
        train_loop_config={**order, "folder": str(folder)},
        scaling_config=ScalingConfig(
            num_workers=order["workers"],
            use_gpu=order["gpus"] > 0,
            resources_per_worker={"CPU": order["cpus"], **({"GPU": order["gpus"]} if order["gpus"] else {})},
        ),
        run_config=RunConfig(
            name="training",
            storage_path=str(folder / "ray"),
            failure_config=FailureConfig(max_failures=order["max_failures"]),
        ),
    )
    try:
        trainer.fit()
    except TrainingFailedError as error:
        return str(error).strip().splitlines()[-1]
    return None


if __name__ == "__main__":
    process.begin()
    process.leave(main(Path(sys.argv[1])))
