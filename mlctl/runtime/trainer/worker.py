"""One rank: `python -m mlctl.runtime.trainer.worker FOLDER`, started alone or by torchrun."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlctl.files import atomic
from mlctl.runtime import process
from mlctl.runtime.trainer.executors.lifeline import PARENT_VARIABLE, die_with_parent
from mlctl.runtime.trainer.stop import Stop, StopSignal

if TYPE_CHECKING:
    from mlctl.runtime.trainer.engine import Ending, Place
    from mlctl.runtime.trainer.plan import RankPlan

_MEGABYTE_PER_KIB = 1024 / 1e6
_POLL_SECONDS = 0.02
_BEGAN = time.monotonic()
_ALONE = ("single", "ddp")  # strategies that one process does without a process group
_RESIZABLE = ("ddp", "fsdp")  # strategies that take any number of processes


def main(folder: Path) -> int:
    """Join the other ranks, train, and leave word of how it ended."""
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    stop = StopSignal()  # before the slow imports, so that a SIGTERM during start-up is not lost
    import torch
    import torch.distributed as dist

    from mlctl.runtime.trainer import errors
    from mlctl.runtime.trainer.engine import Place
    from mlctl.runtime.trainer.plan import PLAN_FILE, RankPlan
    from mlctl.runtime.trainer.torch_engine.run import run as _while_waiting  # noqa: F401

    own = os.getpid()
    errors.began(folder, rank)
    try:
        local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        device = _device(local_rank)
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        if world > 1:
            dist.init_process_group(backend)
            import torch._dynamo  # DDP does so, for a second, which is better spent while waiting
        _await(folder / PLAN_FILE)
        plan = _fitted(RankPlan.read(folder), world)
        if world == 1 and plan.recipe.layout.strategy not in _ALONE:
            dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
        torch.use_deterministic_algorithms(plan.recipe.deterministic)
        place = Place(folder, rank, world, local_rank, device)
        _clear(plan, place)
        started = time.monotonic() - _BEGAN
        ending = _engine(plan)(plan, place, stop)
        errors.check_copy(own)
        _note_ending(ending, place, started)
        errors.ended(folder, rank)
        return 0
    except (Exception, SystemExit) as error:
        cause = _explained(error)
        errors.failed(folder, rank, cause)
        if os.getpid() != own:  # a copy that the project's code made, and that came back here
            os.kill(own, signal.SIGKILL)
            os._exit(1)
        if cause is error:
            raise
        raise cause from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()  # else gloo's threads abort the process, and a wrong exit code hides the cause


def _engine(plan: RankPlan) -> Callable[[RankPlan, Place, Stop], Ending]:
    if plan.recipe.engine == "hf":
        from mlctl.runtime.trainer.hf_engine.run import run as hf

        return hf
    from mlctl.runtime.trainer.torch_engine.run import run

    return run


def _fitted(plan: RankPlan, world: int) -> RankPlan:
    """The plan for as many processes as there are: an elastic executor goes on with fewer than were asked for."""
    recipe = plan.recipe
    if world == recipe.layout.processes:
        return plan
    if recipe.layout.strategy not in _RESIZABLE:
        raise ValueError(
            f"strategy `{recipe.layout.strategy}` was planned for {recipe.layout.processes} processes, and there are {world}"
        )
    layout = recipe.layout.model_copy(update={"data": world})
    return plan.model_copy(update={"recipe": recipe.model_copy(update={"layout": layout})})


def _clear(plan: RankPlan, place: Place) -> None:
    """Remove the half-written checkpoints of an earlier try, before any rank writes new ones."""
    from mlctl.runtime.trainer.checkpoint import Checkpoints
    from mlctl.types.jobs.train import CHECKPOINTS

    if place.rank == 0:
        Checkpoints(place.folder / CHECKPOINTS, plan.recipe.checkpoint.keep).clear()
    if place.world > 1:
        import torch.distributed as dist

        dist.barrier()


def _note_ending(ending: Ending, place: Place, started: float) -> None:
    """Rank 0's last act: how all of them ended, what they used, and for how long they had their devices."""
    from mlctl.runtime.trainer.plan import ENDED_FILE

    own = (_resources(place.device), asdict(ending.held))
    everyone: list[Any] = [own]
    if place.world > 1:
        import torch.distributed as dist

        everyone = [None] * place.world
        dist.all_gather_object(everyone, own)
    if place.rank == 0:
        facts = {
            "status": ending.status,
            "step": ending.step,
            "total": ending.total,
            "history": ending.history,
            "trainable": ending.trainable,
            "parameters": ending.parameters,
            "facts": ending.facts,
            "started_seconds": round(started, 1),
            "lived_seconds": round(time.monotonic() - _BEGAN, 1),
            "ranks": [used for used, _ in everyone],
            "held": [held for _, held in everyone],
        }
        atomic.write_json(place.folder / ENDED_FILE, facts)


def _explained(error: BaseException) -> Exception:
    """What is told about a failure: code that asks the process to end is not a training that ended."""
    if isinstance(error, Exception):
        return error
    cause = RuntimeError(f"the project's code asked this process to end (exit code {getattr(error, 'code', None)})")
    return cause.with_traceback(error.__traceback__)


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
            f"`strategy` asks for more processes on this machine than it has GPUs ({torch.cuda.device_count()})"
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


if __name__ == "__main__":
    parent = os.environ.pop(PARENT_VARIABLE, None)
    die_with_parent(int(parent) if parent is not None else None)
    os.register_at_fork(after_in_child=die_with_parent)  # what the project's code starts must not outlive the rank
    process.begin()
    process.leave(main(Path(sys.argv[1])))
