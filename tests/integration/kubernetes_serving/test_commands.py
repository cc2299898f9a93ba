"""The command line about a deployment on a cluster: rendered for Git, checked with its place in the file, seen and moved on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from mlctl.cli.dispatch import dispatch
from mlctl.provider import Context
from mlctl.providers.serving.deployment import Deployment
from mlctl.providers.serving.kubernetes import kept, places
from mlctl.providers.serving.kubernetes.convergence import Time
from mlctl.testing.harness import make_desired, make_record
from mlctl.types.diagnostic import ExitCode
from mlctl.views.json.schema import events_schema
from mlctl.workspace import Workspace
from tests.integration.kubernetes_serving.api import Api
from tests.integration.kubernetes_serving.conftest import Clock, Deployed
from tests.integration.kubernetes_serving.direct import Direct
from tests.integration.kubernetes_serving.test_rollout import ROUTED, versions, weights
from tests.unit.providers.serving.kubernetes.blocks import CANARY, block, desired, evaluation
from tests.unit.providers.serving.test_rollout_guide import AROUND

GIVEN = block(ROUTED, rollout=CANARY)
ADDRESS = "deployments.churn_api"


class World:
    """A project whose models were made, without the hours that takes."""

    def __init__(self, root: Path, given: dict[str, Any]) -> None:
        self.root = root
        root.mkdir(exist_ok=True)
        for name in AROUND["datasets"]:
            (root / f"{name}.csv").touch()
        project = {**AROUND, "deployments": {"churn_api": given}}
        (root / "mlctl.yaml").write_text(yaml.safe_dump(project, sort_keys=False))

    def made(self, version: int = 3) -> Context:
        """The state knows a model that has passed."""
        (self.root / f"models/{version}").mkdir(parents=True, exist_ok=True)
        with Workspace(self.root).session("test") as (session, context):
            [record] = evaluation("champion", version).values()
            session.record(record)
        return context

    def deployed(self, version: int) -> None:
        """The state knows the deployment, as an apply would have left it."""
        context = self.made(version)
        prior = Workspace(self.root).records().get(ADDRESS)
        inputs = evaluation("champion", version)
        asked = make_desired(Deployment(), ADDRESS, GIVEN, context, inputs)
        outcome = kept.apply(asked, prior, desired(context, GIVEN, version)[1], context)
        with Workspace(self.root).session("test") as (session, _):
            session.record(make_record(asked, outcome))

    def mlctl(self, *arguments: str) -> int:
        name, *rest = arguments
        return dispatch(name, [*rest, "-C", str(self.root)])


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "shop", GIVEN)


def test_the_objects_are_rendered_without_a_cluster(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert world.mlctl("deploy", "render", "churn_api") == ExitCode.ERROR
    assert "`evaluations.champion` was never made" in capsys.readouterr().err
    world.made()
    assert world.mlctl("deploy", "render", ADDRESS) == ExitCode.OK
    printed = list(yaml.safe_load_all(capsys.readouterr().out))
    assert [item["kind"] for item in printed] == ["ConfigMap", "Deployment", "Service", "HTTPRoute"]
    out = world.root / "k8s"
    assert world.mlctl("deploy", "render", "churn_api", "--out", str(out)) == ExitCode.ERROR
    out.mkdir()
    assert world.mlctl("deploy", "render", "churn_api", "--out", str(out)) == ExitCode.OK
    assert [yaml.safe_load(path.read_text()) for path in sorted(out.iterdir())] == printed
    capsys.readouterr()
    assert world.mlctl("deploy", "render", "churn_api", "--json") == ExitCode.OK
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["manifest"] for event in events] == printed
    for event in events:
        jsonschema.validate(event, events_schema())


def test_what_a_cluster_does_not_carry_out_is_told_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = [{"weight": 10, "pause": "10m"}, {"weight": 50, "pause": "confirm"}]
    world = World(tmp_path / "shop", block(ROUTED, rollout={"canary": {"steps": steps}}))
    assert world.mlctl("validate") == ExitCode.ERROR
    said = capsys.readouterr().err
    assert "nothing ends this step on a cluster" in said
    assert "mlctl.yaml:" in said
    assert World(tmp_path / "shop", GIVEN).mlctl("validate") == ExitCode.OK


def test_a_rollout_on_a_cluster_is_seen_and_moved_on(
    world: World,
    api: Api,
    cluster: type[Direct],
    by_kubectl: Deployed,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    del cluster, by_kubectl
    time = Time(now=Clock(), poll_seconds=0.001)
    monkeypatch.setattr(places, "Time", lambda: time)
    world.deployed(3)
    world.deployed(4)
    assert world.mlctl("rollout", "status") == ExitCode.OK
    shown = capsys.readouterr().out
    assert "step 1 of 2: waits for `mlctl rollout promote`" in shown
    assert "10 %" in shown
    assert world.mlctl("rollout", "promote", "churn_api", "--json") == ExitCode.OK
    event = json.loads(capsys.readouterr().out)
    jsonschema.validate(event, events_schema())
    assert event["step"]["number"] == 2
    assert weights(api) == {"3": 1, "4": 1}
    assert world.mlctl("rollout", "abort", "--why", "customers complain") == ExitCode.OK
    assert versions(api) == ["3"]
    assert world.mlctl("rollout", "status") == ExitCode.GATE_FAILED
    assert world.mlctl("rollout", "abort", "--why", "again") == ExitCode.ERROR
    assert "no new version is on its way" in capsys.readouterr().err
    assert world.mlctl("rollout", "history", "--json") == ExitCode.OK
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"started", "promoted", "step", "held", "refused"} <= {line["what"] for line in lines}
    for line in lines:
        jsonschema.validate(line, events_schema())
    assert world.mlctl("deploy", "systemd") == ExitCode.ERROR
    assert "runs on a cluster" in capsys.readouterr().err
