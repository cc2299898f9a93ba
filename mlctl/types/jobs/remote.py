"""Executors on machines that share no disk with this one, as parameters of the `train` program. All goes through a bucket."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from mlctl.types.jobs.recipe import Storage


class JobRecovery(BaseModel):
    """What SkyPilot does when a job's machines are taken away, and how often it starts a job again that failed by itself."""

    strategy: Literal["failover", "eager_next_region"] = "eager_next_region"
    max_restarts_on_errors: int = 3


class SkyPilotExecutor(BaseModel):
    """Machines that SkyPilot rents, or finds in clusters it knows: a managed job, which survives the loss of its machines."""

    type: Literal["skypilot"] = "skypilot"
    storage: Storage
    infra: str | None = None  # aws, aws/us-east-1, k8s/CONTEXT, ssh/POOL
    gpu: str | None = None
    gpus: int = 0  # of each node
    cpus: str | None = None
    memory: str | None = None
    disk: int | None = None  # GB
    nodes: int = 1
    spot: bool = False
    max_hourly_cost: float | None = None
    image: str | None = None
    setup: str | None = None
    env: dict[str, str] = {}
    secrets: list[str] = []  # environment variables of whoever applies that are handed on
    job_recovery: JobRecovery = JobRecovery()
    options: dict[str, object] = {}  # more of SkyPilot's own `resources`, as they are
    python: str | None = None  # the interpreter of SkyPilot's environment


class SecretKey(BaseModel):
    """One value of a Secret that the cluster holds."""

    secret: str
    key: str


class Toleration(BaseModel):
    """Lets pods onto nodes with a taint."""

    key: str
    operator: Literal["Exists", "Equal"] = "Exists"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None


class KubernetesExecutor(BaseModel):
    """Pods of a cluster: an Indexed Job of Kubernetes itself, or a TrainJob of Kubeflow Trainer."""

    type: Literal["kubernetes"] = "kubernetes"
    kind: Literal["job", "trainjob"] = "job"
    storage: Storage
    image: str
    namespace: str = "default"
    context: str | None = None
    nodes: int = 1
    gpus: int = 0  # of each node
    gpu_resource: str = "nvidia.com/gpu"
    cpus: str
    memory: str
    shared_memory: str | None = None
    service_account: str | None = None
    user: int = 1000
    env: dict[str, str] = {}
    secrets: dict[str, SecretKey] = {}  # by the variable that gets it
    tolerations: list[Toleration] = []
    node_selector: dict[str, str] = {}
    runtime: str = "torch-distributed"  # of a TrainJob
    restarts: int = 3
    keep_seconds: int = 3600  # how long the cluster keeps a job that is over
