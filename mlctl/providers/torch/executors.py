"""Where a training runs: the blocks under `executor:`, one a type."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from mlctl.provider import Block
from mlctl.providers.torch.remote import Kubernetes, SkyPilot, remote_params
from mlctl.types.units import MOST, Duration

_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._:-]*[A-Za-z0-9])?|::1")
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.,+-]*[A-Za-z0-9_])?")
_CONSTRAINT = re.compile(r"[A-Za-z0-9_\[(][A-Za-z0-9_.&|*()\[\]!-]*")
_MODULE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+-]*")
_MEMORY = re.compile(r"[1-9][0-9]*[KMGT]?")


def _shaped(pattern: re.Pattern[str], what: str, example: str) -> Any:
    """A text of one shape: these values go into command lines and batch scripts."""

    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"{text!r} is not {what}; write for example `{example}`")
        return text

    return AfterValidator(check)


Host = Annotated[str, _shaped(_HOST, "a host", "node1.example.org")]
Name = Annotated[str, _shaped(_NAME, "a name that Slurm takes", "gpu")]
Module = Annotated[str, _shaped(_MODULE, "a module", "cuda/12.8")]
Restarts = Annotated[
    int,
    Field(
        ge=0,
        le=100,
        description="How often in a row ranks are started anew after a death, without a checkpoint between",
    ),
]


class Local(Block):
    """Processes of this machine."""

    type: Literal["local"]
    restarts: Restarts = 3


class Ssh(Block):
    """How ssh logs in, where its own configuration does not say so."""

    user: Annotated[str, _shaped(_NAME, "a user", "trainer")] | None = None
    key: Annotated[str | None, Field(min_length=1, description="A file with a private key, outside of the project")] = (
        None
    )
    port: Annotated[int | None, Field(ge=1, le=65535)] = None


class Torchrun(Block):
    """Processes of several machines, started by ssh: each has this Python and sees the project under the same path."""

    type: Literal["torchrun"]
    hosts: Annotated[
        list[Host],
        Field(min_length=1, description="Each gets an equal share of the processes; this machine may be one"),
    ]
    min_nodes: Annotated[
        int | None, Field(ge=1, description="Go on with so many hosts when others are lost; all when it is not given")
    ] = None
    port: Annotated[
        int | None,
        Field(ge=1024, le=65535, description="On the first host; a free one there is this machine, else 29500"),
    ] = None
    restarts: Restarts = 3
    ssh: Ssh = Ssh()


class Slurm(Block):
    """A batch job of Slurm. The nodes see the project, and this Python, under the same path."""

    type: Literal["slurm"]
    nodes: Annotated[int, Field(ge=1, lt=MOST)] = 1
    partition: Name | None = None
    account: Name | None = None
    qos: Name | None = None
    time: Annotated[
        Annotated[Duration, Field(ge=120)] | None,
        Field(description="The job's limit; a training that needs longer saves, and goes on in another job"),
    ] = None
    gpus_per_node: Annotated[int | None, Field(ge=1, lt=MOST)] = None
    cpus_per_task: Annotated[int | None, Field(ge=1, lt=MOST, description="Of a node")] = None
    memory: Annotated[str, _shaped(_MEMORY, "an amount of memory", "16G")] | None = None
    constraint: Annotated[str, _shaped(_CONSTRAINT, "a constraint on nodes", "a100&ib")] | None = None
    modules: Annotated[list[Module], Field(default_factory=list, description="Loaded before the training starts")]
    restarts: Restarts = 3


def _ray_address(text: object) -> object:
    if text is not None and not (isinstance(text, str) and re.fullmatch(r"auto|[A-Za-z0-9._-]+:[0-9]{1,5}", text)):
        hint = "; under Ray's client protocol nobody sees the project's files" if "://" in str(text) else ""
        raise ValueError(f"{text!r} is not the address of a Ray cluster; write `auto` or `host:6379`{hint}")
    return text


class Ray(Block):
    """Workers of a Ray cluster whose nodes see the project, and this Python, under the same path."""

    type: Literal["ray"]
    address: Annotated[
        str | None,
        BeforeValidator(_ray_address),
        Field(description="`auto`, or `host:port` of the head; a cluster of this machine alone when it is not given"),
    ] = None
    cpus_per_worker: Annotated[float, Field(gt=0)] = 1.0
    gpus_per_worker: Annotated[float, Field(ge=0)] = 0.0
    max_failures: Annotated[
        int, Field(ge=0, le=100, description="How often workers are started anew after one was lost")
    ] = 3


Executor = Annotated[Local | Torchrun | Slurm | Ray | SkyPilot | Kubernetes, Field(discriminator="type")]


def executor_params(executor: Executor) -> dict[str, Any]:
    """The parameters of the `train` program (`mlctl.types.jobs.executors`) for a block."""
    if isinstance(executor, SkyPilot | Kubernetes):
        return remote_params(executor)
    values = executor.model_dump(mode="python")
    if isinstance(executor, Torchrun):
        values["min_nodes"] = executor.min_nodes or len(executor.hosts)
    if isinstance(executor, Slurm):
        values["time_seconds"] = executor.time
        del values["time"]
    return values


def nodes_of(executor: Executor) -> int:
    """How many machines share the processes of a training; 1 where that is not the block's to say."""
    return len(executor.hosts) if isinstance(executor, Torchrun) else getattr(executor, "nodes", 1)
