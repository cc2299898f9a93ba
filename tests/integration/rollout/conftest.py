from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rollouts.world import World, living


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with living(World(tmp_path)) as found:
        yield found
