"""Kill trainings for real, many times over: `python scripts/soak_training.py drill 20` or `python scripts/soak_training.py elastic 20`.

`drill`: one training of two ranks gets so many SIGKILLs at random steps, and ends with the same losses and weights.
`elastic`: so often, one of two agents is killed and reached no more; the other goes on alone, and both when it is back.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.test_training_kills import drill
from tests.integration.training.executors.clusters import SshServer
from tests.integration.training.executors.conftest import SLOW
from tests.integration.training.executors.test_torchrun import agents, saved, told
from tests.integration.training.project import Project, in_background, wait_for

MINUTES = 10 * 60.0


def run_drill(count: int) -> bool:
    with tempfile.TemporaryDirectory() as name:
        report = drill(Project(Path(name)), kills=count, seed=int(time.time()), steps=20 * count)
    for kill in report.kills:
        print(f"{kill.signal} to {kill.what} at step {kill.step}: went on from {kill.resumed}")
    print(
        f"{len(report.kills)} of {count} kills; losses {report.losses_identical}, weights {report.weights_identical}, {report.problems}"
    )
    return report.passed


def run_elastic(count: int) -> bool:
    """A lost host, so many times, each in a training of its own."""
    passed = 0
    for index in range(count):
        with tempfile.TemporaryDirectory() as name:
            place = Path(name) / "sshd"
            place.mkdir()
            server = SshServer(place)
            path = os.environ["PATH"]
            os.environ["PATH"] = f"{server.bin}:{path}"
            try:
                passed += _lose_and_regain(Project(_made(Path(name) / "project")), server)
            finally:
                os.environ["PATH"] = path
                server.stop()
        print(f"{passed} of {index + 1}", flush=True)
    return passed == count


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _lose_and_regain(project: Project, server: SshServer) -> bool:
    executor = {"type": "torchrun", "hosts": ["127.0.0.1", server.host], "min_nodes": 1, "ssh": server.access}
    values = {**SLOW, "epochs": 30, "executor": executor}
    folder = project.folder("training.elastic", **values)
    thread, errors = in_background(lambda: project.train("training.elastic", **values))
    wait_for(lambda: bool(saved(folder)), MINUTES)
    far = agents(folder)[1]
    server.stop()
    try:
        os.kill(far, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it noticed first
    wait_for(lambda: "starting the ranks again" in told(folder), MINUTES)
    server.start()
    wait_for(lambda: len(agents(folder)) == 2 or not thread.is_alive(), MINUTES)
    thread.join()
    return not errors


if __name__ == "__main__":
    what, number = sys.argv[1], int(sys.argv[2])
    sys.exit(0 if {"drill": run_drill, "elastic": run_elastic}[what](number) else 1)
