"""On what a training will run, as far as its executor says so: for estimates, which ask nobody."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from mlctl.estimate.devices import DEVICE_VARIABLE, Device, here, named
from mlctl.estimate.prices import Tier
from mlctl.providers.torch.spec import TrainingSpec
from mlctl.types.diagnostic import MlctlError

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGTkmgt]?)(i?)[bB]?\+?")
_CORES = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m?)\+?")
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_SOME_GPU = Device("gpu", 1, 0.0)
# Labels of nodes that say which GPU they have.
_PRODUCT = ("nvidia.com/gpu.product", "cloud.google.com/gke-accelerator", "k8s.amazonaws.com/accelerator")


@dataclass(frozen=True, slots=True)
class Place:
    """Devices, over how many machines, and at which price. `known` is False for devices of which only the number is."""

    device: Device
    hosts: int = 1
    known: bool = True
    tier: Tier | None = None
    note: str = ""


def place_of(spec: TrainingSpec) -> Place:
    """Where a training runs. Raises MlctlError when the environment names a machine that nobody knows."""
    executor: Any = spec.executor
    if executor.type == "skypilot":
        return _rented(executor)
    if executor.type == "kubernetes":
        return _pods(executor)
    if executor.type == "slurm":
        return _slurm(executor)
    if executor.type == "ray" and executor.address is not None:
        note = "which devices the Ray cluster has is known once it runs"
        return Place(_SOME_GPU if executor.gpus_per_worker else _cpu(0, 0.0), known=False, note=note)
    try:
        device = here()
    except ValueError as error:
        raise MlctlError.of(
            "training.unknown-device", str(error), "estimates are made for that machine", f"unset {DEVICE_VARIABLE}"
        ) from None
    if executor.type == "torchrun":
        hosts = len(executor.hosts)
        count = device.count * hosts
        return Place(replace(device, count=count), hosts, note="each host is taken to be like this machine")
    return Place(device)


def _rented(executor: Any) -> Place:
    nodes, tier = int(executor.nodes), "spot" if executor.spot else "on_demand"
    owned = str(executor.infra or "").startswith(("k8s", "kubernetes", "ssh", "slurm"))
    if not executor.gpu:
        return _host(executor, nodes)
    device = named(executor.gpu)
    count = max(1, int(executor.gpus)) * nodes
    if device is None:
        note = f"`{executor.gpu}` is not among the devices that mlctl knows"
        return Place(replace(_SOME_GPU, count=count), nodes, known=False, note=note)
    return Place(replace(device, count=count), nodes, tier=None if owned else tier)  # type: ignore[arg-type]


def _pods(executor: Any) -> Place:
    nodes = int(executor.nodes)
    if not executor.gpus:
        return _host(executor, nodes)
    texts = [executor.node_selector[label] for label in _PRODUCT if label in executor.node_selector]
    device = next((found for text in texts if (found := named(_short(text))) is not None), None)
    count = int(executor.gpus) * nodes
    if device is None:
        note = "which GPUs the pods get is the cluster's affair"
        return Place(replace(_SOME_GPU, count=count), nodes, known=False, note=note)
    return Place(replace(device, count=count), nodes)


def _short(product: str) -> str:
    """`NVIDIA-A100-SXM4-80GB` and `nvidia-tesla-t4` without the maker."""
    return re.sub(r"^nvidia-", "", product.strip(), flags=re.IGNORECASE)


def _slurm(executor: Any) -> Place:
    nodes = int(executor.nodes)
    if executor.gpus_per_node:
        parts = re.split(r"[&|,()\[\]]", executor.constraint or "")
        device = next((found for part in parts if (found := named(part)) is not None), None)
        count = int(executor.gpus_per_node) * nodes
        if device is not None:
            return Place(replace(device, count=count), nodes)
        note = "which GPUs the nodes have is known to Slurm alone"
        return Place(replace(_SOME_GPU, count=count), nodes, known=False, note=note)
    return _host(executor, nodes)


def _host(executor: Any, nodes: int) -> Place:
    """Machines without GPUs that get so many cores and so much memory."""
    memory = size(getattr(executor, "memory", None), mebi=executor.type == "slurm", gibi=executor.type == "skypilot")
    asked = getattr(executor, "cpus", None) or getattr(executor, "cpus_per_task", None) or 1
    device = _cpu(_cores(asked) * nodes, memory or 0.0)
    return Place(device, nodes, known=memory is not None, note="" if memory else "how much memory there is is not said")


def _cores(text: object) -> int:
    """Whole cores of `8`, `8+` and `1500m`, one at least."""
    match = _CORES.fullmatch(str(text).strip())
    return 1 if match is None else max(1, int(float(match[1]) / (1000 if match[2] == "m" else 1)))


def _cpu(cores: int, memory: float) -> Device:
    return Device("cpu", max(1, cores), memory, host=True)


def size(text: object, *, mebi: bool = False, gibi: bool = False) -> float | None:
    """Bytes of `16Gi`, `16G`, `16+`; a number without a unit is MiB for Slurm and GiB for SkyPilot. None for anything else."""
    match = _SIZE.fullmatch(str(text).strip()) if text is not None else None
    if match is None:
        return None
    unit = match[2].lower() or ("m" if mebi else "g" if gibi else "")
    decimal = bool(match[2]) and not match[3] and not mebi and not gibi
    factor: float = (1000.0 if decimal else 1024.0) ** _POWERS[unit]
    return float(match[1]) * factor
