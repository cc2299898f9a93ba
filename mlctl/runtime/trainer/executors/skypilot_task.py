"""The task that SkyPilot is given for a training: a pure function, the same bytes for the same order."""

from __future__ import annotations

import shlex
from typing import Any

import yaml

from mlctl.runtime.trainer.executors.away import Order
from mlctl.types.jobs.remote import SkyPilotExecutor

_PORT = 29500


def task(order: Order, executor: SkyPilotExecutor) -> dict[str, Any]:
    """The fields of SkyPilot's task YAML. Secrets are named, and get their values from the environment of the launch."""
    found: dict[str, Any] = {"name": order.name, "num_nodes": order.nodes, "resources": _resources(order, executor)}
    if executor.env:
        found["envs"] = dict(sorted(executor.env.items()))
    if executor.secrets:
        found["secrets"] = dict.fromkeys(sorted(executor.secrets))
    if executor.setup is not None:
        found["setup"] = executor.setup
    return {**found, "run": _script(order)}


def text(order: Order, executor: SkyPilotExecutor) -> str:
    """The file, with a comment on where it comes from."""
    head = f"# {order.labels['address']}: written by `mlctl apply`, which writes it anew for every attempt.\n"
    return head + yaml.safe_dump(task(order, executor), sort_keys=False, allow_unicode=True, width=120)


def _resources(order: Order, executor: SkyPilotExecutor) -> dict[str, Any]:
    most = executor.max_hourly_cost
    if most is None and order.limit is not None:
        most = order.limit.node_usd_per_hour
    own: dict[str, Any] = {
        "infra": executor.infra,
        "accelerators": None if executor.gpu is None else {executor.gpu: executor.gpus},
        "cpus": executor.cpus,
        "memory": executor.memory,
        "disk_size": executor.disk,
        "image_id": executor.image,
        "max_hourly_cost": most,
    }
    return {
        **{name: value for name, value in own.items() if value is not None},
        "use_spot": executor.spot,
        "job_recovery": {
            "strategy": executor.job_recovery.strategy.upper(),
            "max_restarts_on_errors": executor.job_recovery.max_restarts_on_errors,
        },
        **dict(sorted(executor.options.items())),
    }


def _script(order: Order) -> str:
    """What each node runs: its part of the training, in a folder of its own. SkyPilot knows no time limit of a job, so that the
    program keeps it, and `timeout` ends a program that does not."""
    each = ["--nproc-per-node", str(order.processes)]
    if order.nodes == 1:
        torchrun = shlex.join(["--standalone", *each])
    else:
        torchrun = (
            f'{shlex.join(["--nnodes", str(order.nodes), *each])} --node-rank "$SKYPILOT_NODE_RANK" '
            f'--master-addr "$(echo "$SKYPILOT_NODE_IPS" | head -n 1)" --master-port {_PORT}'
        )
    program = shlex.join(["python", *order.command])
    by = "" if order.deadline is None else f"timeout --signal=TERM --kill-after=60 {order.deadline} "
    return f'exec {by}{program} --node-rank "$SKYPILOT_NODE_RANK" --scratch "$HOME/mlctl-scratch/{order.attempt}" -- {torchrun}\n'
