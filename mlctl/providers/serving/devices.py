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
class ServingPlace:
    """The devices of one replica, how many replicas there are at least and (`most`) at most, and how they are paid for. `known` is
    False for GPUs of which only the number is."""

    device: Device
    replicas: int = 1
    most: int = 1
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


def place_of(spec: DeploymentSpec) -> ServingPlace:
    """Where a deployment runs. Raises MlctlError when the environment names a machine that nobody knows."""
    if isinstance(spec.target, KubernetesTarget):
        return _pods(spec.target)
    try:
        device = here()
        if isinstance(spec.serve.engine, TorchEngine | XllamacppEngine) and not device.host:
            return ServingPlace(processors())  # they have no use for the GPUs beside it
        return ServingPlace(device)
    except ValueError as error:
        raise MlctlError.of(
            "deploy.unknown-device", str(error), "estimates are made for that machine", f"unset {DEVICE_VARIABLE}"
        ) from None


def _pods(target: KubernetesTarget) -> ServingPlace:
    replicas = target.autoscale.min if target.autoscale is not None else target.replicas or 1
    most = target.autoscale.max if target.autoscale is not None else replicas
    tier = tier_of(target.node_selector)
    note = f"per replica, of {target.autoscale.min} to {target.autoscale.max}" if target.autoscale is not None else ""
    if not target.gpus:
        device = Device("cpu", max(1, int(cores(target.cpus))), size(target.memory) or 0.0, host=True)
        return ServingPlace(device, replicas, most, tier=tier, cluster=True, note=note)
    gpu = selected(target.node_selector)
    if gpu is None:
        unknown = "which GPUs the pods get is the cluster's affair"
        return ServingPlace(
            replace(_SOME_GPU, count=target.gpus), replicas, most, known=False, tier=tier, cluster=True, note=unknown
        )
    return ServingPlace(replace(gpu, count=target.gpus), replicas, most, tier=tier, cluster=True, note=note)


def rent_of(place: ServingPlace, tensor: int, ctx: Context) -> Rent:
    """What a place costs where each layer is spread over so many devices: between the least and the most replicas. Nothing says how
    many requests come, so that the least are likely. A pod without GPUs shares its node with others, and has no price of its own."""
    if place.device.host and place.cluster:
        return Rent()
    name = sheet_name(place.device)
    least, most = (place.used(tensor) * replicas for replicas in (place.replicas, max(place.replicas, place.most)))
    price = ctx.prices.price(name, place.tier, devices=least) if place.known else None
    if price is None:
        if place.tier == "owned":
            return Rent()
        return Rent(place.tier, note=f"no price is known for {name} ({place.tier})")
    found, told = money.hourly(least, price), money.beyond(money.paid(least, price), least, name)
    if most > least:
        dearest = money.hourly(most, ctx.prices.price(name, place.tier, devices=most) or price)
        found = Range(found.low, found.mid, max(found.high, dearest.high), found.basis)
        scaled = f"it costs as {place.replicas} of {place.most} replicas while little is asked of it, and never less"
        told = f"{scaled}; {told}" if told else scaled
    return Rent(place.tier, found, told)
