from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.loop.project import Loop


@pytest.fixture(scope="session")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """A project that was applied once."""
    loop = Loop.make(tmp_path_factory.mktemp("loop") / "project")
    try:
        loop.apply()
        yield loop
    finally:
        loop.close()


@pytest.fixture
def loop(applied: Loop) -> Loop:
    """The project as its files were kept last, applied, and nothing at work in it."""
    applied.restore()
    assert applied.workers() == []
    return applied
