"""Apply what is wanted in a process of its own, to be killed: `python -m tests.rollouts.apply ROOT WANTED`."""

from __future__ import annotations

import sys
from pathlib import Path

from mlctl.providers.serving import gatewayed
from mlctl.types.jobs.rollout import Wanted
from tests.rollouts.world import World

if __name__ == "__main__":
    world = World(Path(sys.argv[1]))
    gatewayed.converge(Wanted.model_validate_json(sys.argv[2]), world.folder, world.ctx)
