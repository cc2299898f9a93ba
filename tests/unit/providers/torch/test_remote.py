from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from mlctl.providers.torch.executors import Executor, executor_params
from mlctl.providers.torch.remote import Kubernetes, SkyPilot, check_remote
from mlctl.providers.torch.rules import check_training
from mlctl.providers.torch.spec import TrainingSpec
from mlctl.testing.harness import make_context
from mlctl.types.jobs.executors import Executor as Params

SKY = {"type": "skypilot", "storage": "s3://bucket/here/"}
JOB = {"type": "kubernetes", "storage": "s3://bucket/here", "image": "a/b:1", "cpus": 8, "memory": "64Gi"}


def block(values: dict[str, Any]) -> Any:
    return TypeAdapter(Executor).validate_python(values)


def params(values: dict[str, Any]) -> Any:
    return TypeAdapter(Params).validate_python(executor_params(block(values)))


def codes(values: dict[str, Any], processes: int | None = 4, copies: str | None = None) -> list[str]:
    return [f"{item.code} {item.path[-1]}" for item in check_remote(block(values), processes, copies)]


def test_a_bucket_may_be_written_short() -> None:
    assert params(SKY).storage.url == "s3://bucket/here"
    whole = {**SKY, "storage": {"url": "s3://bucket/here", "endpoint_url": "http://x", "region": "eu"}}
    assert params(whole).storage.model_dump() == whole["storage"]


def test_defaults_reach_the_program() -> None:
    sky, job = params(SKY), params(JOB)
    assert (sky.gpus, sky.nodes, sky.job_recovery.strategy) == (0, 1, "eager_next_region")
    assert params({**SKY, "gpu": "H100"}).gpus == 1
    assert (job.gpu_resource, job.user, job.restarts, job.keep_seconds) == ("nvidia.com/gpu", 1000, 3, 3600)
    assert params({**JOB, "keep": "2h", "restarts": 0}).keep_seconds == 7200
    secret = params({**JOB, "secrets": {"KEY": "bucket-keys/id"}}).secrets["KEY"]
    assert (secret.secret, secret.key) == ("bucket-keys", "id")


@pytest.mark.parametrize(
    "wrong",
    [
        {**SKY, "storage": "gs://bucket/x"},
        {**SKY, "gpu": "H100 8"},
        {**SKY, "secrets": ["WORLD_SIZE"]},
        {**SKY, "env": {"9A": "x"}},
        {**SKY, "max_hourly_cost": 0},
        {**SKY, "job_recovery": {"strategy": "hope"}},
        {**SKY, "nods": 2},
        {**JOB, "memory": "64 GB"},
        {**JOB, "namespace": "Not_A_Label"},
        {**JOB, "user": 0},
        {**JOB, "secrets": {"KEY": "no-key"}},
        {**JOB, "tolerations": [{"key": "gpu", "value": "x"}]},
        {**JOB, "tolerations": [{"key": "gpu", "operator": "Equal"}]},
        {**JOB, "gpu_resource": "gpu"},
        {key: value for key, value in JOB.items() if key != "storage"},
        {key: value for key, value in SKY.items() if key != "storage"},
    ],
)
def test_what_no_cluster_would_take_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        block(wrong)


def test_processes_are_shared_evenly_by_nodes_and_each_has_a_gpu() -> None:
    assert codes({**JOB, "nodes": 3}) == ["executor.uneven nodes"]
    assert codes({**JOB, "nodes": 2, "gpus": 1}) == ["executor.too-few-gpus gpus"]
    assert codes({**SKY, "nodes": 2, "gpu": "H100"}) == ["executor.too-few-gpus gpus"]
    assert codes({**SKY, "nodes": 2, "gpu": "H100", "gpus": 2}) == []
    assert codes({**JOB, "nodes": 3}, processes=None) == []


def test_fields_without_effect_are_refused() -> None:
    assert codes({**SKY, "gpus": 2}) == ["executor.unused gpus"]
    assert codes({**SKY, "options": {"cpus": 2, "ports": 80}}) == ["executor.twice cpus"]
    assert codes({**SKY, "env": {"A": "1"}, "secrets": ["A"]}) == ["executor.twice A"]


def test_alternatives_are_machines_of_the_same_price_list() -> None:
    sky = {name: value for name, value in SKY.items() if name != "infra"}
    assert codes({**sky, "options": {"any_of": [{"infra": "aws"}, {"infra": "gcp", "region": "us-east1"}]}}) == []
    dearer = {"any_of": [{"accelerators": "B200:8", "max_hourly_cost": 1000}], "ordered": [{"use_spot": False}, "x"]}
    assert codes({**sky, "options": dearer}) == [
        "executor.other-machines accelerators",
        "executor.other-machines max_hourly_cost",
        "executor.other-machines use_spot",
    ]
    rented = {**sky, "infra": "k8s/ours", "options": {"any_of": [{"infra": "aws"}]}}
    assert codes(rented) == ["executor.other-machines infra"]
    assert codes({**JOB, "runtime": "mine"}) == ["executor.unused runtime"]
    assert codes({**JOB, "gpu_resource": "amd.com/gpu"}) == ["executor.unused gpu_resource"]
    pods = {
        "tolerations": [{"key": "gpu"}], "node_selector": {"a": "b"}, "service_account": "me", "shared_memory": "1Gi", "user": 7,
        "restarts": 1, "keep": "1h",
    }  # fmt: skip
    assert codes({**JOB, "kind": "trainjob", **pods}) == [f"executor.unused {name}" for name in pods]
    assert codes({**JOB, **pods}) == []
    assert codes(JOB, copies="s3://elsewhere/x") == ["executor.two-storages storage"]


def test_blocks_are_told_apart_by_their_type() -> None:
    assert isinstance(block(SKY), SkyPilot)
    assert isinstance(block(JOB), Kubernetes)


def test_a_training_is_checked_with_its_executor(tmp_path: Path) -> None:
    values = {
        "data": {"labels": "labels", "target": "y"}, "model": {"type": "mlp", "hidden": [4]}, "epochs": 1, "optimizer": {"lr": 0.1},
        "strategy": {"type": "ddp", "processes": 4}, "executor": {**JOB, "nodes": 3}, "checkpoint": {"storage": "s3://bucket/x"},
    }  # fmt: skip
    found = check_training(TrainingSpec.model_validate(values), make_context(tmp_path))
    assert [item.code for item in found] == ["executor.uneven", "executor.two-storages"]
