"""What is wrong with where a training is to run: processes that machines cannot share, and fields that would have no effect."""

from __future__ import annotations

from collections.abc import Iterator

from mlctl.provider import Context
from mlctl.providers.torch.executors import Executor, Slurm, Torchrun, nodes_of
from mlctl.providers.torch.layout import layout_of
from mlctl.providers.torch.remote import Kubernetes, SkyPilot, check_remote
from mlctl.providers.torch.spec import TrainingSpec
from mlctl.providers.torch.strategies import Auto
from mlctl.types.diagnostic import Diagnostic

_RESIZABLE = ("ddp", "fsdp")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def check_executor(spec: TrainingSpec, ctx: Context) -> Iterator[Diagnostic]:
    """Everything that can be told without asking a machine."""
    executor = spec.executor
    if isinstance(executor, Torchrun):
        yield from _check_hosts(executor)
        yield from _check_elastic(spec, executor)
    # what `auto` chooses is known when inputs are; the executor itself refuses what it cannot share
    processes = None if isinstance(spec.strategy, Auto) else layout_of(spec, ctx).processes
    if isinstance(executor, SkyPilot | Kubernetes):
        yield from check_remote(executor, processes, spec.checkpoint.storage)
    elif processes is not None:
        yield from _check_shares(executor, processes)


def _check_hosts(executor: Torchrun) -> Iterator[Diagnostic]:
    for host in sorted({host for host in executor.hosts if executor.hosts.count(host) > 1}):
        yield _problem("duplicate-host", f"`{host}` stands twice in `hosts`", "", "name it once", "hosts")
    if "ssh" in executor.model_fields_set and all(host in _LOOPBACK for host in executor.hosts):
        yield _problem(
            "ssh-unused",
            "`ssh` has no effect here",
            "all hosts are this machine, where processes are started without it",
            "remove `ssh`",
            "ssh",
        )


def _check_elastic(spec: TrainingSpec, executor: Torchrun) -> Iterator[Diagnostic]:
    if executor.min_nodes is None:
        return
    if executor.min_nodes > len(executor.hosts):
        yield _problem(
            "min-nodes",
            f"`min_nodes` is {executor.min_nodes}, and there are {len(executor.hosts)} hosts",
            "it is how many hosts are enough to go on",
            f"write at most {len(executor.hosts)}",
            "min_nodes",
        )
    elif (
        executor.min_nodes < len(executor.hosts)
        and spec.strategy.type not in _RESIZABLE
        and not isinstance(spec.strategy, Auto)
    ):
        yield _problem(
            "not-elastic",
            f"a training with strategy `{spec.strategy.type}` cannot go on with fewer hosts",
            "its checkpoints hold the parts of so many processes",
            "remove `min_nodes`, or use strategy `ddp` or `fsdp`",
            "min_nodes",
        )


def _check_shares(executor: Executor, processes: int) -> Iterator[Diagnostic]:
    nodes, name = nodes_of(executor), "hosts" if isinstance(executor, Torchrun) else "nodes"
    if processes % nodes:
        yield _problem(
            "uneven-nodes",
            f"{processes} processes cannot be shared by {nodes} {name} evenly",
            "each machine runs the same number of them",
            f"give `strategy` a multiple of {nodes} processes, or change `{name}`",
            name,
        )
    elif isinstance(executor, Slurm) and executor.gpus_per_node not in (None, processes // nodes):
        yield _problem(
            "gpus-per-node",
            f"a node runs {processes // nodes} processes and is given {executor.gpus_per_node} GPUs",
            "each process works on one GPU",
            f"write `gpus_per_node: {processes // nodes}`",
            "gpus_per_node",
        )


def _problem(code: str, summary: str, why: str, fix: str, field: str) -> Diagnostic:
    return Diagnostic(f"executor.{code}", summary, why, fix, path=("executor", field))
