"""What the processes of a training find in their environment, on every executor."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from mlctl.estimate.host import seen_cores, usable_cores

THREADS_VARIABLE = "OMP_NUM_THREADS"
# Names that mean the same on another machine; all others are that machine's own business.
_TRAVELS = (
    "MLCTL_", "OMP_", "TORCH", "HF_", "TOKENIZERS_", "DS_", "NCCL_", "GLOO_", "CUBLAS_", "CUDA_DEVICE_MAX", "PYTHON", "MLFLOW_",
    "AWS_", "DO_NOT_TRACK", "TZ", "TQDM_", "PATH", "VIRTUAL_ENV",
)  # fmt: skip


def rank_environment(recipe_base: str | None = None) -> dict[str, str]:
    """The variables that ranks need beside those of this process, on any machine. `recipe_base` is the base model of a language
    model."""
    own = str(Path(sys.executable).parent)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlctl" / "torch-extensions"
    found = {
        "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin take the cores from those that work
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",  # a store that is shared over attempts hands out addresses of the dead
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # deterministic matrix products on a GPU
        "TORCH_EXTENSIONS_DIR": os.environ.get("TORCH_EXTENSIONS_DIR", str(cache)),  # compiled once, kept
        "TOKENIZERS_PARALLELISM": "false",
        # DeepSpeed compiles by the `ninja` beside this Python
        "PATH": os.pathsep.join([own, os.environ.get("PATH", os.defpath)]),
    }
    if not _has_gpu():
        found["DS_ACCELERATOR"] = "cpu"  # else DeepSpeed says on stdout that it found none
    if recipe_base is not None and Path(recipe_base).exists():
        found["HF_HUB_OFFLINE"] = "1"  # everything is there, so nobody is to be asked
    return found


def rank_threads(ranks: int) -> dict[str, str]:
    """The variable that gives each of so many ranks on this machine its part of the cores; nothing where somebody has set it, or
    where a rank finds all of them by itself. More threads than cores are slower than one thread by an order of magnitude."""
    cores = usable_cores()
    if os.environ.get(THREADS_VARIABLE) or (ranks == 1 and cores == seen_cores()):
        return {}
    return {THREADS_VARIABLE: str(max(1, cores // ranks))}


def travelling(environment: Mapping[str, str]) -> dict[str, str]:
    """What of an environment is handed to processes on another machine."""
    return {name: value for name, value in environment.items() if name.startswith(_TRAVELS)}


def _has_gpu() -> bool:
    return any(Path(path).exists() for path in ("/dev/nvidiactl", "/dev/kfd"))
