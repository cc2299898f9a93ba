"""Executors: what is refused before anything starts, and what reaches the worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from mlctl.provider import Context
from mlctl.providers.torch.executors import Executor, executor_params
from mlctl.providers.torch.spec import TrainingSpec
from mlctl.providers.torch.training import Training
from mlctl.testing.harness import make_context
from mlctl.types.jobs.executors import Executor as Params

ROWS: dict[str, Any] = {
    "data": {"labels": "labels", "target": "y"}, "model": {"type": "mlp", "hidden": [4]}, "epochs": 4, "batch_size": 8,
    "optimizer": {"lr": 0.01}, "strategy": {"type": "ddp", "processes": 4},
}  # fmt: skip


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return make_context(tmp_path)


def found(ctx: Context, executor: dict[str, Any], **changed: Any) -> list[tuple[str, str]]:
    spec = TrainingSpec.model_validate({**ROWS, **changed, "executor": executor})
    return [(item.code, ".".join(map(str, item.path))) for item in Training().check(spec, ctx)]


@pytest.mark.parametrize(
    "executor",
    [
        {"type": "local", "restarts": 0},
        {"type": "torchrun", "hosts": ["a.example.org", "10.0.0.7"], "min_nodes": 1, "ssh": {"user": "me", "port": 2222}},
        {"type": "slurm", "nodes": 2, "gpus_per_node": 2, "time": "2h", "modules": ["cuda/12.8"], "constraint": "a100&ib"},
        {"type": "ray", "address": "head:6379", "gpus_per_worker": 1},
    ],
)  # fmt: skip
def test_what_can_run_is_not_refused_and_reaches_the_worker(ctx: Context, executor: dict[str, Any]) -> None:
    assert found(ctx, executor) == []
    typed = TypeAdapter(Executor).validate_python(executor)
    made = TypeAdapter(Params).validate_python(executor_params(typed))
    assert made.type == executor["type"]
    for name, value in executor.items():
        if name not in ("time", "ssh"):
            assert getattr(made, name) == value


def test_words_for_people_become_numbers_for_the_worker() -> None:
    slurm = TypeAdapter(Executor).validate_python({"type": "slurm", "time": "90m"})
    assert executor_params(slurm)["time_seconds"] == 5400
    hosts = TypeAdapter(Executor).validate_python({"type": "torchrun", "hosts": ["a", "b"]})
    assert executor_params(hosts)["min_nodes"] == 2


@pytest.mark.parametrize(
    ("executor", "changed", "expected"),
    [
        ({"type": "torchrun", "hosts": ["a", "b", "c"]}, {}, ("executor.uneven-nodes", "executor.hosts")),
        ({"type": "slurm", "nodes": 3}, {}, ("executor.uneven-nodes", "executor.nodes")),
        ({"type": "slurm", "nodes": 2, "gpus_per_node": 1}, {}, ("executor.gpus-per-node", "executor.gpus_per_node")),
        ({"type": "torchrun", "hosts": ["a", "a"]}, {}, ("executor.duplicate-host", "executor.hosts")),
        ({"type": "torchrun", "hosts": ["a", "b"], "min_nodes": 3}, {}, ("executor.min-nodes", "executor.min_nodes")),
        ({"type": "torchrun", "hosts": ["localhost"], "ssh": {"user": "me"}}, {}, ("executor.ssh-unused", "executor.ssh")),
    ],
)  # fmt: skip
def test_what_cannot_run_is_refused(
    ctx: Context, executor: dict[str, Any], changed: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert found(ctx, executor, **changed) == [expected]


def test_a_strategy_that_cannot_change_its_size_cannot_lose_hosts(ctx: Context) -> None:
    executor = {"type": "torchrun", "hosts": ["a", "b"], "min_nodes": 1}
    for kind in ("ddp", "fsdp"):
        assert found(ctx, executor, strategy={"type": kind, "processes": 2}) == []
    codes = [code for code, _ in found(ctx, executor, strategy={"type": "zero2", "processes": 2})]
    assert "executor.not-elastic" in codes


@pytest.mark.parametrize(
    "executor",
    [
        {"type": "torchrun", "hosts": ["-oProxyCommand=id"]},
        {"type": "torchrun", "hosts": ["a; id"]},
        {"type": "torchrun", "hosts": []},
        {"type": "torchrun", "hosts": ["a"], "ssh": {"user": "-x"}},
        {"type": "slurm", "partition": "gpu\n#SBATCH --wrap=id"},
        {"type": "slurm", "modules": ["cuda; id"]},
        {"type": "slurm", "memory": "lots"},
        {"type": "slurm", "time": "30s"},
        {"type": "ray", "address": "ray://head:10001"},
        {"type": "ray", "address": "head"},
        {"type": "local", "hosts": ["a"]},
    ],
)
def test_values_that_go_into_commands_have_a_shape(executor: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Executor).validate_python(executor)


def test_the_message_about_rays_client_protocol_says_why() -> None:
    with pytest.raises(ValueError, match=r"`host:6379`; under Ray's client protocol nobody sees"):
        TypeAdapter(Executor).validate_python({"type": "ray", "address": "ray://head:10001"})
