"""`mlctl rollout` and `mlctl deploy` on a deployment whose controller runs."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mlctl.cli.dispatch import dispatch
from mlctl.providers.serving import gatewayed
from mlctl.rollout.state import Phase
from mlctl.types.address import ObjectKey
from mlctl.types.diagnostic import ExitCode
from mlctl.types.jobs.rollout import Step
from mlctl.types.state import Record
from mlctl.views.json.schema import events_schema
from mlctl.workspace import Workspace
from tests.rollouts.world import World, canary, revision

pytestmark = pytest.mark.tools

STEPS = canary(Step(weight=10, confirm=True, name="a tenth"), Step(weight=50, pause_seconds=0.2))


def deployed(world: World) -> None:
    """A project whose state knows the deployment."""
    (world.root / "mlctl.yaml").write_text("project: shop\n")
    with Workspace(world.root).session("test") as (session, _):
        session.record(Record(ObjectKey.parse("deployments.api#"), gatewayed.ID, outputs={"url": "http://x"}))


def mlctl(world: World, *arguments: str) -> int:
    name, *rest = arguments
    return dispatch(name, [*rest, "-C", str(world.root)])


def test_a_rollout_is_seen_and_steered_from_the_command_line(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    deployed(world)
    assert mlctl(world, "rollout", "status") == ExitCode.ERROR
    assert "no deployment has a gateway" in capsys.readouterr().err
    world.apply(revision("1"), STEPS)
    world.apply(revision("2"), STEPS)
    assert mlctl(world, "rollout", "status") == ExitCode.OK
    shown = capsys.readouterr().out
    assert "deployments.api  rolling out" in shown
    assert "step 1 of 2: waits for `mlctl rollout promote`\na tenth; 10 % of the requests; " in shown
    assert "candidate  churn v2   10 %  ready" in shown

    assert mlctl(world, "rollout", "pause", "--why", "over the weekend", "--json") == ExitCode.OK
    event: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert event["paused"]["why"] == "over the weekend"
    validated(event)
    assert mlctl(world, "rollout", "resume", "api") == ExitCode.OK
    assert mlctl(world, "rollout", "resume") == ExitCode.ERROR
    assert "it is not paused" in capsys.readouterr().err

    assert mlctl(world, "rollout", "promote", "deployments.api") == ExitCode.OK
    assert mlctl(world, "rollout", "status", "--watch") == ExitCode.OK
    assert "churn v2 answers all requests" in capsys.readouterr().out
    world.wait(lambda found: found.state.phase is Phase.DONE and found.state.in_effect)
    assert mlctl(world, "rollout", "undo", "--why", "wrong prices") == ExitCode.OK
    capsys.readouterr()
    assert mlctl(world, "rollout", "status", "--watch", "--json") == ExitCode.GATE_FAILED
    for line in capsys.readouterr().out.splitlines():
        validated(json.loads(line))
    assert mlctl(world, "rollout", "retry", "another") == ExitCode.ERROR
    assert "there is no `deployments.another`" in capsys.readouterr().err
    assert mlctl(world, "rollout", "history", "--json") == ExitCode.OK
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"started", "promoted", "refused"} <= {line["what"] for line in lines}
    for line in lines:
        validated(line)
    assert mlctl(world, "rollout", "history", "-n", "1") == ExitCode.OK
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_an_order_starts_a_controller_that_is_gone(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    deployed(world)
    world.apply(revision("1"), STEPS)
    world.apply(revision("2"), STEPS)
    world.controller().kill()
    assert mlctl(world, "rollout", "abort", "--why", "customers complain") == ExitCode.OK
    assert "held churn v2" in capsys.readouterr().out
    assert world.controller().is_running()


def test_a_unit_of_systemd_starts_the_controller_under_its_lock(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed(world)
    world.apply(revision("1"), STEPS)
    assert mlctl(world, "deploy", "systemd", "--json") == ExitCode.OK
    event = json.loads(capsys.readouterr().out)
    validated(event)
    assert event["name"] == "mlctl-shop-api.service"
    units = tmp_path / "units"
    assert mlctl(world, "deploy", "systemd", "--into", str(units)) == ExitCode.ERROR
    units.mkdir()
    assert mlctl(world, "deploy", "systemd", "--into", str(units)) == ExitCode.OK
    text = (units / "mlctl-shop-api.service").read_text()
    assert text == event["text"]
    [command] = [line.removeprefix("ExecStart=") for line in text.splitlines() if line.startswith("ExecStart=")]
    first = world.controller()
    waiting = subprocess.Popen(shlex.split(command), cwd=world.root, start_new_session=True)  # as systemd would
    assert not waits_for_nothing(waiting)  # while there is one that apply has started
    first.kill()
    world.wait(lambda found: found.pid == waiting.pid)
    world.apply(revision("2"), STEPS)  # finds it running, and starts no other
    assert world.controller().pid == waiting.pid
    waiting.terminate()
    assert waiting.wait(10) == 0
    assert world.ask()[0] == 200  # the gateway and the servers go on


def waits_for_nothing(process: subprocess.Popen[bytes]) -> bool:
    """Whether a process ends by itself soon."""
    try:
        process.wait(0.7)
    except subprocess.TimeoutExpired:
        return False
    return True


def validated(event: dict[str, Any]) -> None:
    """Raise when a line is not what the schema of events says."""
    jsonschema.Draft202012Validator(events_schema(closed=True)).validate(event)
