"""On what a training will run, as far as its executor says so: for estimates, which ask nobody."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from mlctl.estimate.devices import DEVICE_VARIABLE, NAMED, Device, here, named
from mlctl.estimate.nodes import constrained, own_cluster, selected, size, tier_of
from mlctl.estimate.prices import Tier
from mlctl.providers.torch.layout import fixed_layout
from mlctl.providers.torch.spec import TrainingSpec
from mlctl.types.diagnostic import MlctlError

_CORES = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m?)\+?")
_SLIP = 0.8  # of a device's name is the same: SkyPilot knows more of them than are known here
_SOME_GPU = Device("gpu", 1, 0.0)


@dataclass(frozen=True, slots=True)
class TrainingPlace:
    """Devices, over how many machines, and at which price. `known` is False for devices of which only the number is."""

    device: Device
    hosts: int = 1
    known: bool = True
    tier: Tier | None = None
    note: str = ""


def place_of(spec: TrainingSpec) -> TrainingPlace:
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
        return TrainingPlace(_SOME_GPU if executor.gpus_per_worker else _cpu(0, 0.0), known=False, note=note)
    try:
        device = here()
    except ValueError as error:
        raise MlctlError.of(
            "training.unknown-device", str(error), "estimates are made for that machine", f"unset {DEVICE_VARIABLE}"
        ) from None
    if executor.type == "torchrun":
        hosts = len(executor.hosts)
        count = device.count * hosts
        return TrainingPlace(replace(device, count=count), hosts, note="each host is taken to be like this machine")
    if executor.type == "ray" and device.host:
        layout = fixed_layout(spec)
        cores = max(1, int(executor.cpus_per_worker)) * (1 if layout is None else layout.processes)
        return TrainingPlace(replace(device, count=min(device.count, cores)))
    return TrainingPlace(device)


def _rented(executor: Any) -> TrainingPlace:
    nodes, tier = int(executor.nodes), "spot" if executor.spot else "on_demand"
    paid: Any = None if own_cluster(executor.infra) else tier
    if not executor.gpu:
        return replace(_host(executor, nodes), tier=paid)
    device = named(executor.gpu)
    count = max(1, int(executor.gpus)) * nodes
    if device is None:
        close = get_close_matches(str(executor.gpu), NAMED, n=1, cutoff=_SLIP)
        meant = f"; did you mean `{close[0]}`?" if close else ""
        note = f"`{executor.gpu}` is not among the devices that mlctl knows{meant}"
        return TrainingPlace(replace(_SOME_GPU, count=count), nodes, known=False, tier=paid, note=note)
    return TrainingPlace(replace(device, count=count), nodes, tier=paid)


def _pods(executor: Any) -> TrainingPlace:
    nodes = int(executor.nodes)
    if not executor.gpus:
        return _host(executor, nodes)
    device, sold = selected(executor.node_selector), tier_of(executor.node_selector)
    tier = None if sold == "owned" else sold
    count = int(executor.gpus) * nodes
    if device is None:
        note = "which GPUs the pods get is the cluster's affair"
        return TrainingPlace(replace(_SOME_GPU, count=count), nodes, known=False, tier=tier, note=note)
    return TrainingPlace(replace(device, count=count), nodes, tier=tier)


def _slurm(executor: Any) -> TrainingPlace:
    nodes = int(executor.nodes)
    if executor.gpus_per_node:
        device = constrained(executor.constraint)
        count = int(executor.gpus_per_node) * nodes
        if device is not None:
            return TrainingPlace(replace(device, count=count), nodes)
        note = "which GPUs the nodes have is known to Slurm alone"
        return TrainingPlace(replace(_SOME_GPU, count=count), nodes, known=False, note=note)
    return _host(executor, nodes)


def _host(executor: Any, nodes: int) -> TrainingPlace:
    """Machines without GPUs that get so many cores and so much memory."""
    memory = size(getattr(executor, "memory", None), mebi=executor.type == "slurm", gibi=executor.type == "skypilot")
    asked = getattr(executor, "cpus", None) or getattr(executor, "cpus_per_task", None) or 1
    device = _cpu(_cores(asked) * nodes, memory or 0.0)
    return TrainingPlace(
        device, nodes, known=memory is not None, note="" if memory else "how much memory there is is not said"
    )


def _cores(text: object) -> int:
    """Whole cores of `8`, `8+` and `1500m`, one at least."""
    match = _CORES.fullmatch(str(text).strip())
    return 1 if match is None else max(1, int(float(match[1]) / (1000 if match[2] == "m" else 1)))


def _cpu(cores: int, memory: float) -> Device:
    return Device("cpu", max(1, cores), memory, host=True)
