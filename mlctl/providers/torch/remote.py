"""Executors on machines that share no disk with this one: SkyPilot and Kubernetes, blocks under `executor:`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from mlctl.launch.pods import (
    Cpus,
    Label,
    Quantity,
    Resource,
    SecretValue,
    Tolerate,
    of_number,
    place,
    secret_key,
    shaped,
    variable,
)
from mlctl.provider import Block
from mlctl.types.diagnostic import Diagnostic
from mlctl.types.units import MOST, Duration
from mlctl.types.value import Json

_STORAGE = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^\s?#]*)?")
_GPU = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Names in the environment of the ranks that mlctl or the cluster gives values to.
_TAKEN = re.compile(
    r"MLCTL_.*|PET_.*|SKYPILOT_.*|JOB_COMPLETION_INDEX|RANK|LOCAL_RANK|WORLD_SIZE|MASTER_ADDR|MASTER_PORT"
)
# Of SkyPilot's `resources`: those that are fields of the block, and those by which machines cost more or less.
_SKY_OWN = frozenset(
    {"infra", "accelerators", "cpus", "memory", "disk_size", "use_spot", "max_hourly_cost", "image_id", "job_recovery"}
)
_SKY_PRICED = frozenset({"accelerators", "cpus", "instance_type", "max_hourly_cost", "memory", "use_spot"})
Variable = Annotated[str, variable(_TAKEN)]


class RemoteStorage(Block):
    """A bucket and prefix through which a training and its machines speak. Machines and this one both reach it."""

    url: Annotated[str, shaped(_STORAGE, "a place in a bucket; write `s3://bucket/prefix`")]
    endpoint_url: Annotated[str | None, Field(description="Of a server that is not on AWS")] = None
    region: str | None = None


StoragePlace = Annotated[RemoteStorage, BeforeValidator(place)]


class Recovery(Block):
    """What SkyPilot does when machines are taken away, and how often it starts a job anew that ended by itself."""

    strategy: Literal["failover", "eager_next_region"] = "eager_next_region"
    max_restarts_on_errors: Annotated[int, Field(ge=0, le=100)] = 3


class SkyPilot(Block):
    """Machines that SkyPilot rents on a cloud, or finds in clusters it knows. Spot machines that are taken away are replaced."""

    type: Literal["skypilot"]
    storage: StoragePlace
    infra: Annotated[
        str | None,
        Field(min_length=1, description="`aws`, `aws/us-east-1`, `k8s/CONTEXT`; the cheapest when not given"),
    ] = None
    gpu: Annotated[str, shaped(_GPU, "the name of a GPU; write for example `H100`")] | None = None
    gpus: Annotated[int, Field(ge=1, lt=MOST, description="Of each node, with `gpu`")] = 1
    cpus: Annotated[
        str | None, BeforeValidator(of_number), Field(description="Of each node; `8`, or `8+` for at least 8")
    ] = None
    memory: Annotated[str | None, BeforeValidator(of_number), Field(description="GB of each node; `32`, or `32+`")] = (
        None
    )
    disk: Annotated[int | None, Field(ge=10, lt=MOST, description="GB of each node")] = None
    nodes: Annotated[int, Field(ge=1, lt=MOST)] = 1
    spot: Annotated[bool, Field(description="Cheaper machines that may be taken away at any time")] = False
    max_hourly_cost: Annotated[
        float | None, Field(gt=0, description="Dollars of each node; dearer machines are not taken")
    ] = None
    image: Annotated[str | None, Field(min_length=1, description="`docker:IMAGE`, or a machine image of the cloud")] = (
        None
    )
    setup: Annotated[
        str | None,
        Field(min_length=1, description="A shell script run once on each machine, such as one that installs mlctl"),
    ] = None
    env: Annotated[dict[Variable, str], Field(default_factory=dict)]
    secrets: Annotated[
        list[Variable], Field(default_factory=list, description="Variables of your environment that the machines get")
    ]
    job_recovery: Recovery = Recovery()
    options: Annotated[
        dict[str, Json], Field(default_factory=dict, description="More of SkyPilot's `resources`, as it names them")
    ]
    python: Annotated[
        str | None,
        Field(
            min_length=1,
            description="The Python of SkyPilot's environment; that of `mlctl engine install skypilot` when not given",
        ),
    ] = None


class Kubernetes(Block):
    """Pods of a cluster: an Indexed Job, or a TrainJob where Kubeflow Trainer is installed. `kubectl` is what is run."""

    type: Literal["kubernetes"]
    kind: Literal["job", "trainjob"] = "job"
    storage: StoragePlace
    image: Annotated[str, Field(min_length=1, description="With this version of mlctl and its `train` extra")]
    namespace: Label = "default"
    context: Annotated[str | None, Field(min_length=1, description="Of kubectl; its current one when not given")] = None
    nodes: Annotated[int, Field(ge=1, lt=MOST)] = 1
    gpus: Annotated[int, Field(ge=0, lt=MOST, description="Of each node")] = 0
    gpu_resource: Resource | None = None
    cpus: Annotated[Cpus, Field(description="Of each node")]
    memory: Annotated[Quantity, Field(description="Of each node, `64Gi`")]
    shared_memory: Annotated[
        Quantity | None, Field(description="Of /dev/shm, a part of `memory`; for NCCL and data loaders")
    ] = None
    service_account: Annotated[str | None, Field(min_length=1)] = None
    user: Annotated[
        int | None, Field(ge=1, description="The user id of the processes; 1000 when not given, never root")
    ] = None
    env: Annotated[dict[Variable, str], Field(default_factory=dict)]
    secrets: Annotated[
        dict[Variable, Annotated[SecretValue, BeforeValidator(secret_key)]],
        Field(default_factory=dict, description="Variables from Secrets of the namespace, `SECRET/KEY`"),
    ]
    tolerations: Annotated[list[Tolerate], Field(default_factory=list)]
    node_selector: Annotated[dict[str, str], Field(default_factory=dict)]
    runtime: Annotated[
        str | None,
        Field(min_length=1, description="Of a TrainJob: a ClusterTrainingRuntime; `torch-distributed` when not given"),
    ] = None
    restarts: Annotated[int | None, Field(ge=0, le=100, description="Of a Job; 3 when not given")] = None
    keep: Annotated[
        Duration | None, Field(description="How long the cluster keeps a Job that is over; an hour when not given")
    ] = None


def remote_params(executor: SkyPilot | Kubernetes) -> dict[str, Any]:
    """The parameters of the `train` program (`mlctl.types.jobs.remote`) for a block."""
    values = executor.model_dump(mode="python", exclude_none=True)
    if isinstance(executor, SkyPilot):
        values["gpus"] = _gpus(executor)
    elif executor.keep is not None:
        del values["keep"]
        values["keep_seconds"] = int(executor.keep)
    return values


def check_remote(executor: SkyPilot | Kubernetes, processes: int | None, copies: str | None) -> list[Diagnostic]:
    """What can be told without asking a cluster. `processes`: of the strategy, None where it is still to be chosen; `copies`: where
    checkpoints are copied besides."""
    found = []
    if processes is not None and processes % executor.nodes:
        found.append(
            Diagnostic(
                "executor.uneven",
                f"{processes} processes cannot be shared evenly by {executor.nodes} nodes",
                "each node runs as many as the others",
                "change `executor.nodes`, or the processes of `strategy`",
                path=("executor", "nodes"),
            )
        )
    elif processes is not None and (gpus := _gpus(executor)) and processes // executor.nodes > gpus:
        found.append(
            Diagnostic(
                "executor.too-few-gpus",
                f"{processes // executor.nodes} processes a node want as many GPUs, and a node has {gpus}",
                "each process works on a GPU of its own",
                f"set `executor.gpus` to {processes // executor.nodes}, use more nodes, or fewer processes",
                path=("executor", "gpus"),
            )
        )
    if copies is not None:
        found.append(
            Diagnostic(
                "executor.two-storages",
                "`checkpoint.storage` has no effect beside `executor.storage`",
                "checkpoints of such machines are kept in the bucket that all goes through",
                "remove `checkpoint.storage` and `checkpoint.s3`",
                path=("checkpoint", "storage"),
            )
        )
    return [*found, *(_check_sky(executor) if isinstance(executor, SkyPilot) else _check_kubernetes(executor))]


def _gpus(executor: SkyPilot | Kubernetes) -> int:
    if isinstance(executor, SkyPilot):
        return executor.gpus if executor.gpu is not None else 0
    return executor.gpus


def _check_sky(executor: SkyPilot) -> list[Diagnostic]:
    found = []
    if "gpus" in executor.model_fields_set and executor.gpu is None:
        found.append(
            Diagnostic(
                "executor.unused", "`gpus` has no effect without `gpu`", "SkyPilot chooses machines by the name of their GPU",
                "add for example `gpu: H100`", path=("executor", "gpus"),
            )
        )  # fmt: skip
    found += [
        Diagnostic(
            "executor.twice", f"`options.{name}` is a field of its own", "mlctl writes it itself",
            "use `infra`, `gpu` and `gpus`, `cpus`, `memory`, `disk`, `spot`, `max_hourly_cost`, `image` or `job_recovery`",
            path=("executor", "options", name),
        )
        for name in sorted(_SKY_OWN & executor.options.keys())
    ]  # fmt: skip
    return [*found, *_other_machines(executor), *_twice(executor.env, executor.secrets)]


def _other_machines(executor: SkyPilot) -> Iterator[Diagnostic]:
    """Alternatives may differ in where they are, and not in what they are: estimates and the budget know one kind of machine."""
    fixed = _SKY_PRICED if executor.infra is None else _SKY_PRICED | {"infra"}
    where = "`infra`" if executor.infra is None else "where they are, such as `region`"
    for name in ("any_of", "ordered"):
        listed = executor.options.get(name)
        for number, item in enumerate(listed if isinstance(listed, list) else []):
            for field in sorted(fixed & item.keys() if isinstance(item, dict) else ()):
                yield Diagnostic(
                    "executor.other-machines",
                    f"`options.{name}` would take machines by another `{field}`",
                    "what they cost is in no estimate, and no budget holds for them",
                    f"write the machines under `executor`; alternatives may differ in {where}",
                    path=("executor", "options", name, number, field),
                )


def _check_kubernetes(executor: Kubernetes) -> list[Diagnostic]:
    """Fields that the kind of object cannot hold: a TrainJob leaves to its runtime how pods are made."""
    job_only = ("tolerations", "node_selector", "service_account", "shared_memory", "user", "restarts", "keep")
    given = [name for name in job_only if getattr(executor, name) not in (None, [], {})]
    found = [
        Diagnostic(
            "executor.unused", f"`{name}` has no effect on a TrainJob", "its ClusterTrainingRuntime says how pods are made",
            "set it in the runtime and name that under `runtime`, or use `kind: job`", path=("executor", name),
        )
        for name in (given if executor.kind == "trainjob" else [])
    ]  # fmt: skip
    if executor.kind == "job" and executor.runtime is not None:
        found.append(
            Diagnostic(
                "executor.unused", "`runtime` has no effect on a Job", "only a TrainJob has one", "remove it, or use `kind: trainjob`",
                path=("executor", "runtime"),
            )
        )  # fmt: skip
    if executor.gpu_resource is not None and not executor.gpus:
        found.append(
            Diagnostic(
                "executor.unused", "`gpu_resource` has no effect without `gpus`", "", "set `gpus`, or remove it",
                path=("executor", "gpu_resource"),
            )
        )  # fmt: skip
    return [*found, *_twice(executor.env, list(executor.secrets))]


def _twice(env: dict[str, str], secrets: list[str]) -> list[Diagnostic]:
    return [
        Diagnostic(
            "executor.twice", f"`{name}` stands under `env` and under `secrets`", "a variable has one value", "remove one of them",
            path=("executor", "env", name),
        )
        for name in sorted(env.keys() & set(secrets))
    ]  # fmt: skip
