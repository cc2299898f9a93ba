"""Both gateways, each in front of the same two upstreams."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.gateway.parts import Running, Upstream, running, upstreams


@pytest.fixture(scope="package")
def pair() -> Iterator[tuple[Upstream, Upstream]]:
    """Two upstreams for all tests. Who kills one starts it again."""
    with upstreams() as both:
        yield both


@pytest.fixture(scope="package", params=["envoy", "python"])
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, pair: tuple[Upstream, Upstream]
) -> Iterator[Running]:
    """A gateway for all tests."""
    with running(request.param, tmp_path_factory.mktemp(request.param), *pair) as started:
        yield started


@pytest.fixture
def front(shared: Running) -> Iterator[Running]:
    """A gateway that is running already; each test configures it as it needs."""
    yield shared
    shared.hang_up()


@pytest.fixture(params=["envoy", "python"])
def own(request: pytest.FixtureRequest, tmp_path: Path, pair: tuple[Upstream, Upstream]) -> Iterator[Running]:
    """A gateway for a test that kills or stops it."""
    with running(request.param, tmp_path / "gateway", *pair) as started:
        yield started
