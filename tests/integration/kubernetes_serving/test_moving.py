"""A deployment that moves between this machine and a cluster: the one side ends once the other answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlctl.provider import Condition
from mlctl.providers.serving.kubernetes import models
from tests.integration.kubernetes_serving.api import Api
from tests.integration.kubernetes_serving.direct import Direct
from tests.integration.serving.project import Project, ended, run_script, wait_until
from tests.unit.providers.serving.kubernetes.blocks import ROUTE, TARGET

pytestmark = pytest.mark.soak


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    run_script("make_models.py", tmp_path, "made")
    yield from ended(Project(tmp_path / "shop", tmp_path / "made"))


def test_each_side_ends_when_the_other_answers(
    project: Project, api: Api, cluster: type[Direct], monkeypatch: pytest.MonkeyPatch
) -> None:
    del cluster
    monkeypatch.setattr(models, "publish", lambda *_: None)
    target = {**TARGET, "route": ROUTE}
    project.apply("1", "one")
    assert len(project.servers()) == 1
    record = project.apply("1", "one", target=target)
    assert record.outputs["url"] == "http://churn.example.com"
    assert [item["kind"] for item in api.objects.values()].count("Deployment") == 1
    wait_until(lambda: project.servers() == [])
    seen = project.read()
    assert seen is not None
    assert seen.condition is Condition.READY
    project.apply("1", "one")
    assert api.objects == {}
    assert len(project.servers()) == 1
