from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.loop.project import GATE, TRAINING, Loop

COMPARED = ("datasets.purchases", "datasets.labels", "feature_views.shopping", TRAINING, GATE)


@pytest.fixture(scope="session")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """A project that was applied once."""
    loop = Loop.make(tmp_path_factory.mktemp("loop") / "project")
    try:
        loop.apply()
        loop.first_digests = loop.digests(COMPARED)
        yield loop
    finally:
        loop.close()


@pytest.fixture
def loop(applied: Loop) -> Loop:
    """The project as its files were kept last, applied, and nothing at work in it."""
    applied.restore()
    assert applied.workers() == []
    return applied


@pytest.fixture
def first_digests(applied: Loop) -> dict[str, str]:
    """What an apply that nobody disturbed puts out."""
    return applied.first_digests
