"""Trainings on several hosts: two agents on this machine, one of them through a real sshd."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from mlctl.runtime.trainer.executors.local import AGENT
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Record
from tests.integration.training.executors.clusters import SshServer
from tests.integration.training.executors.conftest import SLOW, TWO
from tests.integration.training.project import Project, in_background, kill_session, processes_of, wait_for

pytestmark = pytest.mark.tools


def told(folder: Path) -> str:
    path = folder / "events.jsonl"
    return path.read_text() if path.exists() else ""


def agents(folder: Path) -> list[int]:
    """The torchrun of each host, in the order of hosts."""
    found = {}
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if "mlctl.runtime.trainer.executors.agent" in line and str(folder.resolve()) in line:
            found[int(line[line.index("--node-rank") + 1])] = process.pid
    return [found[node] for node in sorted(found)]


def saved(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").glob("step-*.json"))


def test_two_agents_train_what_one_machine_does(project: Project, here: Record) -> None:
    executor = {"type": "torchrun", "hosts": ["127.0.0.1", "localhost"]}
    made = project.train("training.agents", **TWO, executor=executor)
    assert made.outputs["digest"] == here.outputs["digest"]
    logs = project.ctx.folder(made.key).glob("ranks/attempt-1/node-*/*/attempt_0/*/stderr.log")
    assert {(path.parts[-5], path.parts[-2]) for path in logs} == {("node-0", "0"), ("node-1", "1")}


def test_ranks_of_an_agent_start_no_more_threads_than_their_machine_gives_them(tmp_path: Path) -> None:
    script = tmp_path / "threads.py"
    script.write_text(
        "import os, pathlib\npathlib.Path(__file__).with_name('told').write_text(os.environ['OMP_NUM_THREADS'])\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    command = [sys.executable, "-m", AGENT, str(tmp_path), "0", "--standalone", "--nproc-per-node", "1", str(script)]
    allotted = {"SLURM_CPUS_ON_NODE": "1"}  # of the cores that this machine has
    subprocess.run(command, env={**environment, **allotted}, check=True, timeout=60, stdin=subprocess.DEVNULL)
    assert (tmp_path / "told").read_text() == "1"


@pytest.mark.soak
def test_the_machine_of_the_rendezvous_may_be_lost(project: Project, slow_here: Record) -> None:
    values = {**SLOW, "executor": {"type": "torchrun", "hosts": ["127.0.0.1", "localhost"]}}
    folder = project.folder("training.store", **values)
    thread, errors = in_background(lambda: project.train("training.store", **values))
    wait_for(lambda: bool(saved(folder)))
    os.kill(agents(folder)[0], signal.SIGKILL)
    thread.join()
    assert not errors
    assert "the agent of host 1 was ended by SIGKILL; starting the ranks again" in told(folder)
    assert project.inputs["training.store"].outputs["digest"] == slow_here.outputs["digest"]


@pytest.mark.soak
def test_a_host_is_reached_through_ssh_and_may_come_and_go(
    project: Project, slow_here: Record, sshd: SshServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = {"type": "torchrun", "hosts": ["127.0.0.1", sshd.host], "min_nodes": 1, "ssh": sshd.access}
    values = {**SLOW, "epochs": 14, "executor": executor}
    folder = project.folder("training.elastic", **values)
    thread, errors = in_background(lambda: project.train("training.elastic", **values))
    wait_for(lambda: bool(saved(folder)))
    far = agents(folder)[1]
    argv = " ".join(psutil.Process(far).cmdline()) + " ".join(psutil.Process(psutil.Process(far).ppid()).cmdline())
    assert "MLFLOW" not in argv  # what the agent is told comes through its input

    before = len(saved(folder)) and saved(folder)[-1]
    sshd.stop()
    wait_for(lambda: not psutil.pid_exists(far))  # no orphan on the host that was cut off
    wait_for(lambda: "starting the ranks again" in told(folder))
    wait_for(lambda: len(agents(folder)) == 1 and saved(folder)[-1] > str(before))
    layout = json.loads((folder / "checkpoints" / saved(folder)[-1]).read_bytes())["layout"]
    assert layout["world"] == 1

    sshd.start()
    wait_for(lambda: len(agents(folder)) == 2)
    assert "they were asked to stop; starting the ranks again" in told(folder)
    thread.join()
    assert not errors
    one = project.train("training.in_one_go", **{**SLOW, "epochs": 14, "strategy": {"type": "single"}})
    losses = [record.outputs["metrics"]["val_loss"] for record in (project.inputs["training.elastic"], one)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)


def test_hosts_that_do_not_answer_are_named_before_anything_starts(project: Project, sshd: SshServer) -> None:
    sshd.stop()
    executor = {"type": "torchrun", "hosts": ["127.0.0.1", sshd.host], "ssh": sshd.access}
    with pytest.raises(MlctlError) as raised:
        project.train("training.nobody", **TWO, executor=executor)
    sshd.start()
    (found,) = raised.value.diagnostics
    assert found.code == "executor.hosts-lost"
    assert f"{sshd.host}: " in found.why
    assert "refused" in found.why


def test_no_process_outlives_the_program(project: Project, sshd: SshServer) -> None:
    executor = {"type": "torchrun", "hosts": ["127.0.0.1", sshd.host], "ssh": sshd.access}
    values = {**SLOW, "seed": 8, "executor": executor}
    folder = project.folder("training.left", **values)
    thread, errors = in_background(lambda: project.train("training.left", **values))
    wait_for(lambda: bool(saved(folder)))
    kill_session(folder)
    thread.join()
    wait_for(lambda: not agents(folder) and not processes_of(folder), seconds=5)
    assert [item.code for error in errors for item in error.diagnostics] == ["job.died"]
