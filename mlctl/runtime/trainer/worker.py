"""One rank: `python -m mlctl.runtime.trainer.worker FOLDER`, started alone or by torchrun."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.runtime import process, secrets
from mlctl.runtime.trainer.lifeline import PARENT_VARIABLE, die_with_parent
from mlctl.runtime.trainer.stop import StopSignal

_MEGABYTE_PER_KIB = 1024 / 1e6
_POLL_SECONDS = 0.02


def main(folder: Path) -> int:
    """Join the other ranks, train, and leave word of how it ended."""
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    stop = StopSignal()  # before the slow imports, so that a SIGTERM during start-up is not lost
    import torch
    import torch.distributed as dist

    from mlctl.runtime.trainer.loop import Loop
    from mlctl.runtime.trainer.plan import ENDED_FILE, PLAN_FILE, RankPlan

    try:
        device = _device(int(os.environ.get("LOCAL_RANK", "0")))
        torch.use_deterministic_algorithms(True)
        if world > 1:
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
            import torch._dynamo  # DDP does so, for a second, which is better spent while waiting
        _await(folder / PLAN_FILE)
        loop = Loop(RankPlan.read(folder), folder, rank, world, device, stop)
        status = loop.run()
        used = _resources(device)
        everyone: list[Any] = [used]
        if world > 1:
            everyone = [None] * world
            dist.all_gather_object(everyone, used)
        if rank == 0:
            atomic.write_json(
                folder / ENDED_FILE,
                {
                    "status": status,
                    "step": loop.position.step,
                    "total": loop.steps.total,
                    "history": loop.position.history,
                    "ranks": everyone,
                },
            )
        return 0
    except Exception as error:
        _note_error(folder, rank, error)
        raise
    finally:
        if world > 1 and dist.is_initialized():
            dist.destroy_process_group()  # else gloo's threads abort the process, and a wrong exit code hides the cause


def _await(file: Path) -> None:
    """Wait for a file. Leave when the process that is to write it is gone, where the kernel does not see to that."""
    parent = os.getppid()
    while not file.exists():
        if os.getppid() != parent:
            os._exit(1)
        time.sleep(_POLL_SECONDS)


def _device(local_rank: int) -> Any:
    """The GPU of this rank where there are GPUs, else the CPU."""
    import torch

    if not torch.cuda.is_available():
        return torch.device("cpu")
    if local_rank >= torch.cuda.device_count():
        raise ValueError(
            f"`strategy.processes` asks for more processes than this machine has GPUs ({torch.cuda.device_count()})"
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


def _resources(device: Any) -> dict[str, Any]:
    """What this rank used of the machine."""
    import torch

    usage = resource.getrusage(resource.RUSAGE_SELF)
    gpu = torch.cuda.max_memory_allocated(device) / 1e6 if device.type == "cuda" else 0.0
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {
        "device": name,
        "peak_rss_megabytes": usage.ru_maxrss * _MEGABYTE_PER_KIB,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "gpu_megabytes": gpu,
    }


def _note_error(folder: Path, rank: int, error: Exception) -> None:
    """Say what went wrong and when: the first to fail is the cause, the others only lost their connection to it."""
    from mlctl.runtime.trainer.plan import ERRORS_FOLDER

    frames = traceback.extract_tb(error.__traceback__)
    at = next((frame for frame in reversed(frames) if "site-packages" not in frame.filename), frames[-1])
    (folder / ERRORS_FOLDER).mkdir(exist_ok=True)
    path = folder / ERRORS_FOLDER / f"rank-{rank}.json"
    path.write_text(
        json.dumps(
            {
                "rank": rank,
                "time": time.time(),
                "type": type(error).__name__,
                "message": secrets.known().hidden(str(error)),
                "at": f"{at.filename}:{at.lineno}",
            }
        )
    )


if __name__ == "__main__":
    parent = os.environ.pop(PARENT_VARIABLE, None)
    die_with_parent(int(parent) if parent is not None else None)
    process.begin()
    process.leave(main(Path(sys.argv[1])))
