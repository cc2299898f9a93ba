"""From a choice of devices to the fields of a project that say so, where its executor can carry them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mlctl.cli.patching import Edit, edits_of
from mlctl.estimate.devices import HOST, Device
from mlctl.estimate.nodes import constrained, own_cluster, selected, tier_of
from mlctl.estimate.spot import save_every
from mlctl.types.address import Address
from mlctl.types.spoken import spoken_dollars

if TYPE_CHECKING:
    from mlctl.cli.costing.workloads import Found
    from mlctl.estimate.sizing import Judged

_OWN = {
    "slurm": "Slurm gives the nodes that it has",
    "kubernetes": "the cluster gives the nodes that it has",
    "ray": "the Ray cluster gives the nodes that it has",
    "torchrun": "its hosts are what they are",
    "local": "this machine is what it is",
}


def moved(found: Found, judged: Judged) -> tuple[list[Edit], str]:
    """The edits that put a resource on the devices of an option; none, and why, where the project cannot say so by itself."""
    address = Address.parse(found.address)
    if address.section == "training":
        return _training(address, found.desired.spec, judged)
    if address.section == "deployments":
        return _deployment(address, found.desired.spec, judged)
    return [], f"how {address.section} say where they run is not known to mlctl: put it on {judged.option.name} by hand"


def _training(address: Address, spec: Any, judged: Judged) -> tuple[list[Edit], str]:
    executor, option = spec.executor, judged.option
    own = own_cluster(getattr(executor, "infra", None))
    changes = list(edits_of(address, judged.outlook.changes))
    if option.tier == "owned" and (name_of := _nodes(executor, option.device)) is not None:
        nodes, each = _shared(judged)
        found = [Edit(address, ("executor", name), value) for name, value in (("nodes", nodes), (name_of, each))
                 if getattr(executor, name) != value]  # fmt: skip
        return [*found, *changes], ""
    if option.tier not in ("on_demand", "spot"):
        return [], f"the project cannot say how devices are paid ({option.tier}): take them there, and plan on them"
    if executor.type != "skypilot" or own:
        why = "its `infra` is a cluster of your own" if own else _OWN[executor.type]
        return [], f"{why}; to rent, write `executor: {{{_rented(judged)}, storage: s3://BUCKET/PREFIX}}`"
    asked = option.hourly.mid / option.nodes
    if executor.max_hourly_cost is not None and asked > executor.max_hourly_cost:
        most = spoken_dollars(executor.max_hourly_cost)
        return [], f"a machine costs {spoken_dollars(asked)} an hour, and `executor.max_hourly_cost` allows {most}"
    return [*_executor(address, executor, judged), *changes, *_saving(address, spec, judged)], ""


def _nodes(executor: Any, device: Device) -> str | None:
    """The field by which more or fewer of the devices are asked for that a cluster's nodes have; None where they have others."""
    if executor.type == "kubernetes":
        there, name = selected(executor.node_selector), "gpus"
    elif executor.type == "slurm":
        there, name = constrained(executor.constraint), "gpus_per_node"
    else:
        return None
    return name if there is not None and there.name == device.name else None


def _rented(judged: Judged) -> str:
    """The executor that would carry it."""
    nodes, gpus = _shared(judged)
    parts = ["type: skypilot", f"gpu: {judged.option.device.name}"]
    parts += [f"gpus: {gpus}"] if gpus > 1 else []
    parts += [f"nodes: {nodes}"] if nodes > 1 else []
    parts += ["spot: true"] if judged.option.tier == "spot" else []
    return ", ".join(parts)


def _shared(judged: Judged) -> tuple[int, int]:
    """Over how many machines, with how many devices each: no more than are paid for."""
    option = judged.option
    count = option.device.count if option.device.count <= HOST else option.paid
    nodes = next(number for number in range(-(-count // HOST), count + 1) if count % number == 0)
    return nodes, count // nodes


def _executor(address: Address, executor: Any, judged: Judged) -> Iterator[Edit]:
    """What is not so yet."""
    nodes, gpus = _shared(judged)
    wanted = {
        "gpu": judged.option.device.name,
        "gpus": gpus,
        "nodes": nodes,
        "spot": judged.option.tier == "spot",
    }
    for name, value in wanted.items():
        if getattr(executor, name) != value:
            yield Edit(address, ("executor", name), value)


def _saving(address: Address, spec: Any, judged: Judged) -> Iterator[Edit]:
    """Checkpoints as often as loses least, where devices may be taken away and the project saves more seldom."""
    if judged.option.tier == "spot" and judged.interval is not None:
        every = save_every(spec.checkpoint.every, judged.interval)
        if every is not None:
            yield Edit(address, ("checkpoint", "every"), every)


def _deployment(address: Address, spec: Any, judged: Judged) -> tuple[list[Edit], str]:
    target, option = spec.target, judged.option
    if target.type != "kubernetes":
        return [], f"this machine is what it is: deploy on one with {option.name}"
    there = selected(target.node_selector)
    if there is None or there.name != option.device.name or tier_of(target.node_selector) != option.tier:
        return (
            [],
            f"which nodes the pods get is the cluster's affair: choose those with {option.device.name} by `target.node_selector`",
        )
    edits = list(edits_of(address, judged.outlook.changes))
    told = {edit.path: edit.value for edit in edits}
    each = int(str(told.get(("serve", "engine", "tensor_parallel"), getattr(spec.serve.engine, "tensor_parallel", 1))))
    replicas = max(1, option.device.count // each)
    wanted: list[tuple[tuple[str, ...], int, int]] = [(("target", "gpus"), each, target.gpus)]
    if target.autoscale is None:
        wanted.append((("target", "replicas"), replicas, target.replicas or 1))
    else:
        wanted.append((("target", "autoscale", "min"), replicas, target.autoscale.min))
    return [
        *edits,
        *(Edit(address, path, value) for path, value, now in wanted if value != now and path not in told),
    ], ""
