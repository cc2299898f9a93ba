"""Where the ranks of a training run, as parameters of the `train` program."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from mlctl.types.jobs.remote import KubernetesExecutor, SkyPilotExecutor

# Inside the job's folder, for as long as ranks may run that outlive the program that started them: {"executor", "recipe"}.
PLACED_FILE = "placed.json"


class LocalExecutor(BaseModel):
    """Processes of this machine, under torchrun where there are several."""

    type: Literal["local"] = "local"
    restarts: int = 3  # after the death of a rank, without a newer checkpoint between; one that raised is not run again


class SshAccess(BaseModel):
    """How ssh logs in, where its own configuration does not say so."""

    user: str | None = None
    key: str | None = None  # a file
    port: int | None = None


class TorchrunExecutor(BaseModel):
    """One torchrun a host, through ssh where the host is not this machine. All see the project under the same path."""

    type: Literal["torchrun"] = "torchrun"
    hosts: list[str]
    min_nodes: int  # goes on with so many when others are lost
    port: int | None = None  # on the first host; None: a free one there is this machine, else 29500
    restarts: int = 3
    ssh: SshAccess = SshAccess()


class SlurmExecutor(BaseModel):
    """A batch job of Slurm, one torchrun a node. Nodes see the project under the same path."""

    type: Literal["slurm"] = "slurm"
    nodes: int = 1
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    time_seconds: float | None = None
    gpus_per_node: int | None = None
    cpus_per_task: int | None = None
    memory: str | None = None  # of a node, as Slurm writes it: `16G`
    constraint: str | None = None
    modules: list[str] = []
    restarts: int = 3


class RayExecutor(BaseModel):
    """Workers of a Ray cluster, each of which runs one rank. They see the project under the same path."""

    type: Literal["ray"] = "ray"
    address: str | None = None  # None: a cluster of this machine's own, for the time of the training
    cpus_per_worker: float = 1.0
    gpus_per_worker: float = 0.0
    max_failures: int = 3


Executor = Annotated[
    LocalExecutor | TorchrunExecutor | SlurmExecutor | RayExecutor | SkyPilotExecutor | KubernetesExecutor,
    Field(discriminator="type"),
]
