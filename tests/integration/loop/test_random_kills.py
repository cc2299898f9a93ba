"""A first apply that is killed again and again at random moments ends like one that was left alone."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.loop.project import SERVER, TRAINING, Loop

pytestmark = [pytest.mark.soak, pytest.mark.tools]

SEED = int(os.environ.get("MLCTL_SEED", "1"))
KILLS = int(os.environ.get("MLCTL_KILLS", "4"))


@pytest.fixture
def shaken(tmp_path: Path) -> Iterator[Loop]:
    """A project that nothing was applied to."""
    loop = Loop.make(tmp_path / "project")
    try:
        yield loop
    finally:
        loop.close()


def test_an_apply_killed_at_random_moments_ends_as_if_it_had_not_been(
    shaken: Loop, first_digests: dict[str, str]
) -> None:
    draw, story = random.Random(SEED), []
    for _ in range(KILLS):
        seconds = draw.choice([draw.uniform(0.3, 4), draw.uniform(3, 25)])
        victims = draw.choice(["mlctl", "all", "workers"])
        story.append(f"{victims} after {seconds:.1f} s")
        process = shaken.start("apply", "--auto-approve", "--json")
        try:
            process.wait(seconds)
            break
        except subprocess.TimeoutExpired:
            pass
        if victims == "workers":  # mlctl sees them die, and dies while it makes something of it
            shaken.kill_workers()
            time.sleep(draw.uniform(0, 0.3))
        process.kill()
        process.wait()
        if victims == "all":
            shaken.kill_workers()
        assert shaken.run("status").exit_code in (0, 1), story
        shaken.plan()
    done = shaken.run("apply", "--auto-approve", "--json")
    assert done.exit_code == 0, f"{story} (seed {SEED})\n{done}"
    assert shaken.plan().exit_code == 0
    assert {line["condition"] for line in shaken.status().values()} == {"ready"}
    assert shaken.digests(first_digests) == first_digests, story
    assert (shaken.versions(), shaken.served_version()) == (["1"], "1")
    assert [status for _, status in shaken.runs(TRAINING)] == ["FINISHED"]
    assert shaken.workers() == []
    assert [SERVER in " ".join(process.cmdline()) for process in shaken.processes()] == [True]
