"""On what the servers of a deployment will run, and how that is paid for: for estimates, which ask nobody."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mlctl.estimate import money
from mlctl.estimate.devices import DEVICE_VARIABLE, Device, here, processors, sheet_name
from mlctl.estimate.nodes import selected, size, tier_of
from mlctl.estimate.prices import Tier
from mlctl.provider import Context
from mlctl.providers.serving.kubernetes.pods import cores
from mlctl.providers.serving.spec.deployment import DeploymentSpec
from mlctl.providers.serving.spec.engines import TorchEngine, XllamacppEngine
from mlctl.providers.serving.spec.target import KubernetesTarget
from mlctl.types.diagnostic import MlctlError
from mlctl.types.estimate import Range

_SOME_GPU = Device("gpu", 1, 0.0)


@dataclass(frozen=True, slots=True)
class Place:
    """The devices of one replica, how many replicas there are at least, and how they are paid for. `known` is False for GPUs of
    which only the number is."""

    device: Device
    replicas: int = 1
    known: bool = True
    tier: Tier = "owned"
    cluster: bool = False
    note: str = ""

    def used(self, tensor: int) -> int:
        """Devices of one replica that are its own: all that a pod gets, and here those that its layers are spread over."""
        if self.device.host:
            return 1
        return self.device.count if self.cluster else min(tensor, self.device.count)


@dataclass(frozen=True, slots=True)
class Rent:
    """Dollars an hour for all replicas. What is owned and has no price costs nothing that is known, and has no tier."""

    tier: Tier | None = None
    hourly: Range | None = None
    note: str = ""


def place_of(spec: DeploymentSpec) -> Place:
    """Where a deployment runs. Raises MlctlError when the environment names a machine that nobody knows."""
    if isinstance(spec.target, KubernetesTarget):
        return _pods(spec.target)
    try:
        device = here()
        if isinstance(spec.serve.engine, TorchEngine | XllamacppEngine) and not device.host:
            return Place(processors())  # they have no use for the GPUs beside it
        return Place(device)
    except ValueError as error:
        raise MlctlError.of(
            "deploy.unknown-device", str(error), "estimates are made for that machine", f"unset {DEVICE_VARIABLE}"
        ) from None


def _pods(target: KubernetesTarget) -> Place:
    replicas = target.autoscale.min if target.autoscale is not None else target.replicas or 1
    tier = tier_of(target.node_selector)
    note = f"per replica, of {target.autoscale.min} to {target.autoscale.max}" if target.autoscale is not None else ""
    if not target.gpus:
        device = Device("cpu", max(1, int(cores(target.cpus))), size(target.memory) or 0.0, host=True)
        return Place(device, replicas, tier=tier, cluster=True, note=note)
    gpu = selected(target.node_selector)
    if gpu is None:
        unknown = "which GPUs the pods get is the cluster's affair"
        return Place(
            replace(_SOME_GPU, count=target.gpus), replicas, known=False, tier=tier, cluster=True, note=unknown
        )
    return Place(replace(gpu, count=target.gpus), replicas, tier=tier, cluster=True, note=note)


def rent_of(place: Place, tensor: int, ctx: Context) -> Rent:
    """What a place costs where each layer is spread over so many devices. A pod without GPUs shares its node with others, and has
    no price of its own."""
    if place.device.host and place.cluster:
        return Rent()
    name = sheet_name(place.device)
    price = ctx.prices.price(name, place.tier) if place.known else None
    if price is None:
        if place.tier == "owned":
            return Rent()
        return Rent(place.tier, note=f"no price is known for {name} ({place.tier})")
    return Rent(place.tier, money.hourly(place.used(tensor) * place.replicas, price))
