"""What Kubernetes is given: strictly valid by its own schemas, whatever the executor asks for, and always the same bytes."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate.utils
import pytest
import yaml

from mlctl.runtime.trainer.executors import manifests, skypilot_task
from mlctl.runtime.trainer.executors.away import Order, job_name
from mlctl.types.jobs.recipe import Storage
from mlctl.types.jobs.remote import KubernetesExecutor, SecretKey, SkyPilotExecutor, Toleration
from mlctl.types.jobs.train import JobLimit

VERSION = "1.31"
kubernetes_validate.utils.schema_contents = cache(
    kubernetes_validate.utils.schema_contents
)  # megabytes, read each time
TRAIN_JOB = json.loads(Path(__file__).with_name("trainjob.v1alpha1.json").read_text())
OWNER = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "name": "x",
    "uid": "1f0c",
    "blockOwnerDeletion": False,
    "controller": False,
}
FREE = ("labels", "annotations", "nodeSelector", "limits", "requests", "selector")  # maps whose keys are anybody's
PLACE = Storage(url="s3://bucket/here", endpoint_url="http://127.0.0.1:9000", region="eu-west-1")
SMALL = KubernetesExecutor(storage=PLACE, image="example.org/mlctl:1", cpus="1", memory="1Gi")
LARGE = SMALL.model_copy(
    update={
        "namespace": "ml", "nodes": 2, "gpus": 4, "shared_memory": "16Gi", "service_account": "trainer", "env": {"B": "2", "A": "1"},
        "secrets": {"KEY": SecretKey(secret="bucket-keys", key="id")}, "node_selector": {"pool": "gpu"}, "user": 2000,
        "tolerations": [Toleration(key="gpu", operator="Equal", value="h100", effect="NoSchedule"), Toleration(key="spot")],
    }
)  # fmt: skip


LIMIT = JobLimit(seconds=7200, by="max_usd_per_run", node_usd_per_hour=44.0)


def order(nodes: int = 1, processes: int = 1) -> Order:
    address = 'training.churn["eu/west"]'
    name = job_name(address, f"{address}#1f0c2d3e4a5b6c7d", "9a8b7c6d")
    labels = {"lineage": "0b1c", "address": address, "attempt": "9a8b7c6d"}
    return Order(name, PLACE, "9a8b7c6d", nodes, processes, labels, Path("/nowhere"))


def valid(manifest: dict[str, Any]) -> None:
    if manifest.get("kind") == "TrainJob" or manifest.get("apiVersion") == "trainer.kubeflow.org/v1alpha1":
        jsonschema.validate(manifest, TRAIN_JOB)
    else:
        kubernetes_validate.validate(manifest, VERSION, strict=True)


MADE = {
    "small job": manifests.job(order(), SMALL),
    "large job": manifests.job(order(2, 4), LARGE),
    "limited job": manifests.job(replace(order(2, 4), limit=LIMIT), LARGE),
    "limited train job": manifests.train_job(
        replace(order(2, 4), limit=LIMIT), LARGE.model_copy(update={"kind": "trainjob"})
    ),
    "service": manifests.service(order(2, 4), LARGE, OWNER),
    "train job": manifests.train_job(order(2, 4), LARGE.model_copy(update={"kind": "trainjob"})),
}


@pytest.mark.parametrize("name", MADE)
def test_every_manifest_is_strictly_valid(name: str) -> None:
    valid(MADE[name])
    assert json.dumps(MADE[name]) == json.dumps(copy.deepcopy(MADE[name]))


def test_the_same_order_gives_the_same_bytes() -> None:
    shuffled = LARGE.model_copy(update={"env": dict(reversed(LARGE.env.items()))})
    assert json.dumps(manifests.job(order(2, 4), shuffled)) == json.dumps(MADE["large job"])


def spots(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a tree but the values of free maps."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        if not (isinstance(key, str) and key in FREE):
            yield from spots(item, (*path, key))


def renamed(holder: Any, key: Any) -> None:
    holder[f"{key}s"] = holder.pop(key)


def turned(holder: Any, key: Any) -> None:
    """A value of another type."""
    holder[key] = [{"x": 1}] if not isinstance(holder[key], list) else "text"


def mutations() -> Iterator[tuple[str, tuple[Any, ...], Callable[[Any, Any], None]]]:
    for name, manifest in MADE.items():
        for path in spots(manifest):
            if isinstance(path[-1], str):
                yield name, path, renamed
            yield name, path, turned


def test_a_wrong_name_or_type_anywhere_is_caught() -> None:
    tried, missed = 0, []
    for name, path, spoil in mutations():
        manifest = copy.deepcopy(MADE[name])
        holder = manifest
        for key in path[:-1]:
            holder = holder[key]
        spoil(holder, path[-1])
        tried += 1
        try:
            valid(manifest)
        except (
            jsonschema.ValidationError,
            kubernetes_validate.ValidationError,
            kubernetes_validate.SchemaNotFoundError,
            KeyError,
        ):
            continue
        except (AttributeError, TypeError):
            continue  # `kind` and `apiVersion` themselves, by which the schema is found
        missed.append((name, path, spoil.__name__))
    assert not missed
    assert tried > 200


def test_pods_are_not_root_and_ask_for_what_they_may_use() -> None:
    pod = MADE["large job"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] == 2000
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert container["resources"]["requests"] == container["resources"]["limits"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "4"
    assert pod["restartPolicy"] == "Never"
    assert MADE["large job"]["spec"]["backoffLimit"] == 6


def test_nodes_find_the_first_by_its_name() -> None:
    made = MADE["large job"]
    name, pod = made["metadata"]["name"], made["spec"]["template"]["spec"]
    arguments = pod["containers"][0]["args"]
    assert pod["subdomain"] == name
    assert arguments[arguments.index("--master-addr") + 1] == f"{name}-0.{name}"
    assert arguments[arguments.index("--nnodes") + 1] == "2"
    selector = MADE["service"]["spec"]["selector"]
    assert selector.items() <= made["spec"]["template"]["metadata"]["labels"].items()


def test_names_are_those_that_clusters_take() -> None:
    name = job_name(f"training.{'x' * 80}", f"training.{'x' * 80}#ABCDEF0123456789", "9a8b7c6d")
    assert name == f"mlctl-{'x' * 24}-abcdef01-9a8b7c6d"
    assert order().name == "mlctl-churn--eu-west-1f0c2d3e-9a8b7c6d"


def test_skypilot_is_given_a_task_of_which_every_field_is_asked_for() -> None:
    asked = SkyPilotExecutor(
        storage=PLACE, infra="aws/us-east-1", gpu="H100", gpus=8, cpus="32+", disk=500, nodes=2, spot=True, max_hourly_cost=40.0,
        image="docker:example.org/mlctl:1", setup="pip install mlctl[train]\n", env={"B": "2", "A": "1"}, secrets=["AWS_SECRET_ACCESS_KEY"],
        options={"ports": 8080},
    )  # fmt: skip
    text = skypilot_task.text(order(2, 8), asked)
    assert text == skypilot_task.text(order(2, 8), asked)
    head, _, rest = text.partition("\n")
    assert head.startswith('# training.churn["eu/west"]: ')
    task = yaml.safe_load(rest)
    assert task["resources"] == {
        "infra": "aws/us-east-1", "accelerators": {"H100": 8}, "cpus": "32+", "disk_size": 500, "image_id": "docker:example.org/mlctl:1",
        "max_hourly_cost": 40.0, "use_spot": True, "job_recovery": {"strategy": "EAGER_NEXT_REGION", "max_restarts_on_errors": 3},
        "ports": 8080,
    }  # fmt: skip
    assert (task["num_nodes"], task["envs"], task["secrets"]) == (
        2,
        {"A": "1", "B": "2"},
        {"AWS_SECRET_ACCESS_KEY": None},
    )
    assert task["run"] == (
        "exec python -m mlctl.runtime.trainer.executors.remote s3://bucket/here --attempt 9a8b7c6d --nodes 2 --endpoint-url "
        'http://127.0.0.1:9000 --region eu-west-1 --node-rank "$SKYPILOT_NODE_RANK" --scratch "$HOME/mlctl-scratch/9a8b7c6d" -- '
        '--nnodes 2 --nproc-per-node 8 --node-rank "$SKYPILOT_NODE_RANK" --master-addr "$(echo "$SKYPILOT_NODE_IPS" | head -n 1)" '
        "--master-port 29500\n"
    )


def test_a_job_of_a_budget_ends_whoever_watches() -> None:
    """The program ends itself at its limit; the cluster gives it time to save, and ends what does not."""
    job, train_job = MADE["limited job"]["spec"], MADE["limited train job"]["spec"]
    assert (job["activeDeadlineSeconds"], train_job["activeDeadlineSeconds"]) == (7920, 7920)
    for command in (job["template"]["spec"]["containers"][0]["command"], train_job["trainer"]["command"]):
        assert command[command.index("--max-seconds") + 1] == "7200"
    assert "activeDeadlineSeconds" not in json.dumps(MADE["large job"])
    assert "--max-seconds" not in json.dumps(MADE["large job"])


@pytest.mark.parametrize(("seconds", "deadline"), [(60, 240), (3600, 3960), (86_400, 87_600)])
def test_what_saves_and_sends_gets_a_tenth_more_within_bounds(seconds: int, deadline: int) -> None:
    assert replace(order(), limit=JobLimit(seconds=seconds, by="max_hours")).deadline == deadline


def test_skypilot_takes_no_dearer_machine_and_ends_what_does_not_end_itself() -> None:
    asked = SkyPilotExecutor(storage=PLACE, gpu="H100", gpus=8)
    limited = replace(order(), limit=LIMIT)
    task = skypilot_task.task(limited, asked)
    assert task["resources"]["max_hourly_cost"] == 44.0
    assert task["run"].startswith("exec timeout --signal=TERM --kill-after=60 7920 python -m ")
    assert " --max-seconds 7200 " in task["run"]
    own = skypilot_task.task(limited, asked.model_copy(update={"max_hourly_cost": 20.0}))
    assert own["resources"]["max_hourly_cost"] == 20.0
    hours_alone = replace(order(), limit=JobLimit(seconds=7200, by="max_hours"))
    assert "max_hourly_cost" not in skypilot_task.task(hours_alone, asked)["resources"]
