"""A strategy is added to a deployment that serves, and taken away again; the port, the address and the log stay."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlctl.provider import Condition
from mlctl.providers.serving import controllers
from mlctl.providers.serving.client import health
from mlctl.types.diagnostic import MlctlError
from tests.integration.serving.project import Project, free_port
from tests.rollouts.world import Load, World, living

pytestmark = pytest.mark.tools

BLOCK = {"rollout": {"canary": {"steps": [{"weight": 10, "pause": "confirm"}]}}}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """The kind itself; the small server stands in for the model's."""
    for name in ("one", "two"):
        (tmp_path / "models" / name).mkdir(parents=True)
    with living(World(tmp_path)):
        yield Project(tmp_path, None)


def test_a_strategy_comes_and_goes_and_the_address_stays(project: Project) -> None:
    world = World(project.root)
    world.port = project.port
    direct = project.apply("1", "one")
    assert direct.id == "1"
    with Load(world, clients=2) as load:
        first = project.apply("1", "one", **BLOCK)
        refused = len(load.lost)  # while the gateway takes the port
        assert first.id == "gateway"
        assert (first.outputs["url"], first.outputs["digest"]) == (direct.outputs["url"], direct.outputs["digest"])
        assert len(project.servers()) == 2  # a controller and a release: the server from before has left
        second = project.apply("2", "two", **BLOCK)
        assert second.outputs["version"] == "2"
        seen = project.read()
        assert seen is not None
        assert (seen.condition, seen.note) == (Condition.RUNNING, "canary: step 1 of 1, 10 %, shops v2")
        back = project.apply("2", "two")
    # who connects while the server comes up waits, and is not refused; what the gateway had not taken yet may be reset
    assert len(load.lost[refused:]) <= 4
    assert back.id == "2"
    assert len(project.servers()) == 1
    assert not (project.folder / controllers.FOLDER).exists()
    assert not (project.folder / "releases" / "hold").exists()
    project.kind.delete(back, project.ctx)
    assert project.servers() == []
    assert threading.active_count() < 10


def test_a_gateway_whose_state_was_lost_is_taken_over(project: Project) -> None:
    made = project.apply("1", "one", **BLOCK)
    url = str(made.outputs["url"])
    taken = project.kind.adopt(project.desired("1", "one", **BLOCK), url, project.ctx)
    assert (taken.id, taken.outputs) == ("gateway", made.outputs)
    for desired, id in (
        (project.desired("2", "two", **BLOCK), url),
        (project.desired("1", "one", **BLOCK), "http://127.0.0.1:1"),
    ):
        with pytest.raises(MlctlError, match=r"import\."):
            project.kind.adopt(desired, id, project.ctx)
    old_port, project.port = project.port, free_port()
    moved = project.apply("1", "one", **BLOCK)  # the port is the gateway's: no release is started for it
    assert (moved.outputs["port"], len(project.servers())) == (project.port, 2)
    assert health(url, 1.0) is None
    assert health(str(moved.outputs["url"]), 1.0) is not None
    assert old_port != project.port
    project.kind.delete(moved, project.ctx)
    with pytest.raises(MlctlError, match=r"import\."):
        project.kind.adopt(project.desired("1", "one", **BLOCK), url, project.ctx)
    assert project.servers() == []
