"""Where a deployment runs: the field `target`. Without it, on this machine."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, model_validator

from mlctl.launch.pods import (
    Cpus,
    Label,
    Quantity,
    Resource,
    SecretValue,
    Tolerate,
    place,
    secret_key,
    shaped,
    variable,
)
from mlctl.provider import Block
from mlctl.types.units import MOST, Duration

_MODELS = re.compile(
    r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^\s?#]*)?|pvc://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(/[^\s?#]*)?"
)
_GATEWAY = re.compile(r"(?:([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)/)?([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)")
_HOST = re.compile(r"(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


def _gateway(value: object) -> object:
    """`NAMESPACE/NAME`, or `NAME` in the deployment's own namespace."""
    if isinstance(value, str):
        match = _GATEWAY.fullmatch(value)
        if match is None:
            raise ValueError(f"{value!r} names no Gateway; write `NAME` or `NAMESPACE/NAME`")
        return {"name": match[3], "namespace": match[1]}
    return value


Variable = Annotated[str, variable(re.compile(r"MLCTL_.*"))]


class ModelStore(Block):
    """Where pods get models from. What is in a bucket is put there by mlctl, what is in a volume by you."""

    url: Annotated[str, shaped(_MODELS, "a place for models; write `s3://bucket/prefix` or `pvc://CLAIM/folder`")]
    endpoint_url: Annotated[
        str | None, Field(description="Of a bucket that is not on AWS; this machine and the pods both reach it")
    ] = None
    region: Annotated[str | None, Field(min_length=1)] = None
    fetch_image: Annotated[
        str | None,
        Field(min_length=1, description="What copies a model from the bucket into a pod; KServe's own if not given"),
    ] = None

    @model_validator(mode="after")
    def _of_a_bucket(self) -> ModelStore:
        if self.url.startswith("pvc://"):
            for name in ("endpoint_url", "region", "fetch_image"):
                if getattr(self, name) is not None:
                    raise ValueError(f"`{name}` has no effect with a volume: it is mounted as it is")
        return self


class Autoscale(Block):
    """As many pods as are needed. `cpu` alone needs nothing else; the others ask Prometheus, through KEDA."""

    min: Annotated[int, Field(ge=1, le=10_000)] = 1
    max: Annotated[int, Field(ge=1, le=10_000)]
    cpu: Annotated[float | None, Field(gt=0, le=100, description="Percent of the CPU asked for, on average")] = None
    qps: Annotated[float | None, Field(gt=0, description="Requests per second of each pod")] = None
    queue: Annotated[float | None, Field(gt=0, description="Waiting requests of each pod")] = None
    gpu: Annotated[
        float | None, Field(gt=0, le=100, description="Percent of its GPUs that each pod uses, as DCGM tells it")
    ] = None
    prometheus: Annotated[str | None, Field(pattern=r"^https?://\S+$", description="Whom KEDA asks")] = None

    @model_validator(mode="after")
    def _whole(self) -> Autoscale:
        if self.max < self.min:
            raise ValueError(f"`max` is {self.max}, less than `min`, which is {self.min}")
        asks = [name for name in ("qps", "queue", "gpu") if getattr(self, name) is not None]
        if self.cpu is None and not asks:
            raise ValueError("nothing tells how many pods are needed: give `cpu`, `qps`, `queue` or `gpu`")
        if asks and self.prometheus is None:
            raise ValueError(f"`{asks[0]}` is asked of Prometheus: give its address in `prometheus`")
        if self.prometheus is not None and not asks:
            raise ValueError("`prometheus` has no effect without `qps`, `queue` or `gpu`")
        return self


class GatewayName(Block):
    """A Gateway of the cluster."""

    name: str
    namespace: Label | None = None


class RouteSpec(Block):
    """How requests come in: an HTTPRoute at a Gateway. Without it, a Service inside of the cluster."""

    gateway: Annotated[GatewayName, BeforeValidator(_gateway), Field(description="`NAME` or `NAMESPACE/NAME`")]
    hostnames: Annotated[
        list[Annotated[str, shaped(_HOST, "the name of a host")]],
        Field(default_factory=list, description="Of the requests; all that the Gateway has if not given"),
    ]
    path: Annotated[str, Field(pattern=r"^/\S*$", description="What paths of requests begin with")] = "/"
    bucketed: Annotated[
        bool,
        Field(
            description="Says that a filter in front puts each unit's place (0 to 9999) into the header `x-mlctl-bucket`"
        ),
    ] = False


class NetworkSpec(Block):
    """Who may reach the pods; nobody else can."""

    allow_from: Annotated[
        list[Label], Field(min_length=1, description="Namespaces, such as those of the Gateway and of Prometheus")
    ]


class MonitorSpec(Block):
    """A ServiceMonitor, for the Prometheus operator."""

    labels: Annotated[
        dict[str, str], Field(default_factory=dict, description="By which your Prometheus selects its monitors")
    ]
    interval: Annotated[Duration, Field(ge=1, le=3600)] = 30.0


class KServeSpec(Block):
    """KServe makes the pods and the routes. `knative` moves shares of the requests, `standard` takes a new version at once."""

    mode: Literal["standard", "knative", "llm"] = "standard"


def _kserve(value: object) -> object:
    """`kserve: knative` is short for `{mode: knative}`."""
    return {"mode": value} if isinstance(value, str) else value


class _ShortKServe:
    def __get_pydantic_json_schema__(self, core: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"enum": ["standard", "knative", "llm"]}, handler(core)]}


class _ShortText:
    def __get_pydantic_json_schema__(self, core: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "string"}, handler(core)]}


class Machine(Block):
    """This machine."""

    type: Literal["machine"] = "machine"


class KubernetesTarget(Block):
    """A namespace of a cluster that `kubectl` reaches, with the credentials of whoever applies."""

    type: Literal["kubernetes"]
    context: Annotated[str | None, Field(min_length=1, description="Of kubectl; its current one if not given")] = None
    namespace: Annotated[Label, Field(description="It has to be there already")] = "default"
    image: Annotated[
        str,
        Field(min_length=1, description="With this version of mlctl and its `serve` extra, or the engine's own image"),
    ]
    models: Annotated[ModelStore, BeforeValidator(place), _ShortText(), Field(description="Where pods get models from")]
    kserve: Annotated[KServeSpec | None, BeforeValidator(_kserve), _ShortKServe()] = None
    replicas: Annotated[int | None, Field(ge=1, le=10_000, description="1 if not given")] = None
    autoscale: Autoscale | None = None
    cpus: Annotated[Cpus, Field(description="Of each pod")]
    memory: Annotated[Quantity, Field(description="Of each pod, `8Gi`")]
    gpus: Annotated[int, Field(ge=0, le=64, description="Of each pod")] = 0
    gpu_resource: Resource | None = None
    shared_memory: Annotated[Quantity | None, Field(description="Of /dev/shm, a part of `memory`")] = None
    service_account: Annotated[str | None, Field(min_length=1)] = None
    user: Annotated[int, Field(ge=1, lt=MOST, description="The user id of the processes, never root")] = 1000
    env: Annotated[dict[Variable, str], Field(default_factory=dict)]
    secrets: Annotated[
        dict[Variable, Annotated[SecretValue, BeforeValidator(secret_key), _ShortText()]],
        Field(
            default_factory=dict,
            description="Variables from Secrets of the namespace, `SECRET/KEY`; also where a secret of this block is kept in the cluster",
        ),
    ]
    tolerations: Annotated[list[Tolerate], Field(default_factory=list)]
    node_selector: Annotated[dict[str, str], Field(default_factory=dict)]
    start_timeout: Annotated[
        Duration, Field(ge=10, le=86_400, description="How long new pods may take, images and models included")
    ] = 600.0
    route: RouteSpec | None = None
    network: NetworkSpec | None = None
    monitor: MonitorSpec | None = None

    @model_validator(mode="after")
    def _whole(self) -> KubernetesTarget:
        if self.replicas is not None and self.autoscale is not None:
            raise ValueError("`replicas` has no effect with `autoscale`: set `autoscale.min`")
        if self.gpu_resource is not None and not self.gpus:
            raise ValueError("`gpu_resource` has no effect without `gpus`")
        if self.autoscale is not None and self.autoscale.gpu is not None and not self.gpus:
            raise ValueError("`autoscale.gpu` has no effect without `gpus`")
        if both := sorted(self.env.keys() & self.secrets.keys()):
            raise ValueError(f"`{both[0]}` stands in `env` and in `secrets`")
        return self


Target = Annotated[Machine | KubernetesTarget, Field(discriminator="type")]
