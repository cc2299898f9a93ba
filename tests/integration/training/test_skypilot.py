"""Tasks read by SkyPilot itself, in an environment of its own. No cloud is asked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from mlctl.runtime.trainer.executors import skypilot_task
from mlctl.runtime.trainer.executors.away import Order
from mlctl.runtime.trainer.executors.skypilot import SkyPilotCluster
from mlctl.types.diagnostic import MlctlError
from mlctl.types.environments import environment_ready
from mlctl.types.jobs.recipe import Storage
from mlctl.types.jobs.remote import SkyPilotExecutor

PLACE = Storage(url="s3://bucket/here")
ASKED = SkyPilotExecutor(
    storage=PLACE, infra="aws/us-east-1", gpu="H100", gpus=8, cpus="32+", memory="64+", disk=500, nodes=2, spot=True,
    max_hourly_cost=40.0, image="docker:example.org/mlctl:1", setup="pip install mlctl\n", env={"A": "1"},
    secrets=["AWS_SECRET_ACCESS_KEY"], options={"disk_tier": "best"},
)  # fmt: skip


def order(folder: Path) -> Order:
    labels = {"lineage": "0b1c", "address": "training.churn", "attempt": "9a8b7c6d"}
    return Order("mlctl-churn-1f0c2d3e-9a8b7c6d", PLACE, "9a8b7c6d", 2, 8, labels, folder)


@pytest.fixture(scope="module")
def cluster() -> SkyPilotCluster:
    if not environment_ready("skypilot"):
        if not os.environ.get("MLCTL_TEST_SLOW_INSTALLS"):
            pytest.skip("SkyPilot is not there: run `mlctl engine install skypilot`, or set MLCTL_TEST_SLOW_INSTALLS=1")
        from mlctl.launch.environments import install

        install("skypilot", print)
    return SkyPilotCluster(ASKED)


@pytest.mark.soak
@pytest.mark.tools
def test_skypilot_reads_what_is_written_for_it(cluster: SkyPilotCluster, tmp_path: Path) -> None:
    cluster.check(skypilot_task.text(order(tmp_path), ASKED))


@pytest.mark.soak
@pytest.mark.tools
@pytest.mark.parametrize(
    ("changed", "word"),
    [({"options": {"disk_tierr": "best"}}, "did you mean 'disk_tier'"), ({"infra": "awss"}, "does not match")],
)
def test_a_slip_is_told_in_skypilots_own_words(
    cluster: SkyPilotCluster, tmp_path: Path, changed: dict[str, Any], word: str
) -> None:
    with pytest.raises(MlctlError) as caught:
        cluster.check(skypilot_task.text(order(tmp_path), ASKED.model_copy(update=changed)))
    assert caught.value.diagnostics[0].code == "executor.skypilot-task"
    assert word in caught.value.diagnostics[0].why


def test_a_secret_that_is_not_set_is_told_before_anything_is_launched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    with pytest.raises(MlctlError) as caught:
        SkyPilotCluster(ASKED).submit(order(tmp_path))
    assert caught.value.diagnostics[0].code == "executor.secret-missing"


def test_a_python_without_skypilot_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    python = tmp_path / "python"
    python.symlink_to("/bin/true")
    with pytest.raises(MlctlError) as caught:
        SkyPilotCluster(ASKED.model_copy(update={"python": str(python)})).submit(order(tmp_path))
    assert caught.value.diagnostics[0].code == "executor.skypilot-missing"


CLIENT = """#!{python}
import json, sys
state = {state!r}
if sys.argv[1:3] == ["jobs", "queue"]:
    print("A note of the client [1] that is not JSON")
    print(json.dumps([{{"job_name": "other", "status": "RUNNING"}}, {{"job_name": "mine", "status": state, "failure_reason": "no H100"}}]))
elif sys.argv[1:3] == ["jobs", "cancel"]:
    open({log!r}, "a").write(" ".join(sys.argv[3:]) + "\\n")
"""


@pytest.mark.parametrize(("state", "over"), [("RECOVERING", False), ("FAILED_NO_RESOURCE", True)])
def test_the_clients_list_says_how_a_job_is_doing(tmp_path: Path, state: str, over: bool) -> None:
    """The form of the list is that of SkyPilot's ManagedJobRecord; a job in it needs a cloud, which is why this client is not its own."""
    import sys

    python, log = tmp_path / "python", tmp_path / "cancelled"
    python.symlink_to(sys.executable)
    (tmp_path / "sky").write_text(CLIENT.format(python=sys.executable, state=state, log=str(log)))
    (tmp_path / "sky").chmod(0o755)
    made = SkyPilotCluster(ASKED.model_copy(update={"python": str(python)}))
    seen = made.find("mine")
    assert seen is not None
    assert (seen.over, seen.words) == (over, f"{state} no H100")
    assert made.find("unknown") is None
    made.cancel("mine")
    assert log.exists() is not over
