"""Whatever is killed during a canary under load, and when: it heals, answers are right, nobody is left, and it ends as it should."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from mlctl.rollout.state import Phase
from mlctl.types.jobs.rollout import Revision, Step, Wanted
from tests.rollouts.world import Load, World, canary, errors_gate, living, revision

pytestmark = pytest.mark.tools

REPOSITORY = Path(__file__).parents[2]
STEPS = canary(Step(weight=20, pause_seconds=1.0), Step(weight=50, gate="guard"), keep_old=0.0)
# A version whose server dies under requests is blamed for those, as it should be. Here it is not its fault: only one that
# fails nearly always is bad.
GATES = {"guard": errors_gate(margin=0.6, min_requests=150)}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with living(World(tmp_path, "envoy")) as found:
        yield found


def end(process: psutil.Process) -> None:
    try:
        process.kill()
        process.wait(5)
    except psutil.Error:
        pass


def kill_controller(world: World) -> None:
    """What is left alone goes on; the next apply, or the unit of systemd, starts it again."""
    end(world.controller())


def kill_gateway(world: World) -> None:
    for process in world.gateways():
        end(process)


def kill_stable(world: World) -> None:
    end(world.release(1))


def kill_candidate(world: World) -> None:
    if (world.folder / "releases/2/process.json").exists():
        end(world.release(2))


def kill_all(world: World) -> None:
    for process in world.processes():
        end(process)


KILLS: dict[str, Callable[[World], None]] = {
    "controller": kill_controller,
    "gateway": kill_gateway,
    "stable": kill_stable,
    "candidate": kill_candidate,
    "all": kill_all,
}


def apply_elsewhere(world: World, item: Revision) -> subprocess.Popen[bytes]:
    """An apply as a process of its own, so that it can be killed."""
    wanted: Wanted = world.wanted(item, STEPS, gates=GATES)
    command = [
        sys.executable,
        "-m",
        "tests.rollouts.apply",
        str(world.root),
        json.dumps(wanted.model_dump(mode="json")),
    ]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def heal(world: World, item: Revision) -> None:
    world.apply(item, STEPS, gates=GATES)


def drill(world: World, kills: list[str], seed: int, *, good: bool) -> None:
    """A canary with kills at moments drawn by chance, each followed by an apply, as the next one of a person would come."""
    chance = random.Random(seed)
    heal(world, revision("1", fail=0.02))
    new = revision("2", fail=0.02 if good else 0.95)
    with Load(world, clients=3, pause=0.004) as load:
        applying = apply_elsewhere(world, new)
        time.sleep(chance.uniform(0.0, 0.8))
        applying.kill()  # mlctl itself, at any moment of its work
        applying.communicate()
        for name in kills:
            time.sleep(chance.uniform(0.0, 0.7))
            with suppress(psutil.Error):  # it is being started again just now
                KILLS[name](world)
            heal(world, new)
        world.wait(lambda found: found.state.phase in (Phase.DONE, Phase.HELD) and found.state.in_effect, 60)
        at = time.time()
        time.sleep(0.5)
    found = world.standing()
    assert found.named(found.state.stable) == ("churn v2" if good else "churn v1"), world.history()
    assert (found.held is not None) is not good
    # requests were refused while nobody listened, and none was answered wrongly or by somebody else
    assert [text for text in load.lost if "Error" not in text and "gateway." not in text and "Remote" not in text] == []
    assert [text for text in load.lost if float(text.split()[0]) > at] == []
    right = "2" if good else "1"
    assert {world.ask()[1]["version"] for _ in range(20)} == {right}
    world.wait(lambda found: len(found.state.releases) == 1, 20)
    world.destroy()
    assert world.processes() == []


def test_a_rollout_ends_as_it_should_whatever_is_killed_on_its_way(world: World) -> None:
    drill(world, ["controller", "gateway", "candidate", "stable"], 1, good=True)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(12))
def test_many_rollouts_end_as_they_should(world: World, seed: int) -> None:
    chance = random.Random(seed)
    drill(world, chance.choices(list(KILLS), k=6), seed, good=seed % 2 == 0)


def test_the_gateway_and_the_servers_answer_while_there_is_no_controller(world: World) -> None:
    heal(world, revision("1"))
    end(world.controller())
    with Load(world, clients=2) as load:
        time.sleep(0.5)
    assert load.lost == []
    assert load.answers["1"] > 20
    os.kill(world.gateways()[0].pid, signal.SIGTERM)
    world.wait(lambda found: True)
    heal(world, revision("1"))
    assert world.ask()[0] == 200
    assert len(world.gateways()) == 1
