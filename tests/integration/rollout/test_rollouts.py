"""Versions take over from each other behind a gateway, by a real controller, and clients notice nothing but the version."""

from __future__ import annotations

import http.client
import json
import socket
from collections import Counter
from dataclasses import replace

import psutil
import pytest

from mlctl.provider import Condition
from mlctl.providers.serving import controllers, gatewayed
from mlctl.providers.serving.rollout_report import report
from mlctl.providers.serving.spec.rollout import BlueGreen
from mlctl.providers.serving.wanted import blue_green_steps
from mlctl.rollout.state import Phase
from mlctl.stats.assignment import bucket
from mlctl.types.address import ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.rollout import ArmRule, Bandit, GateRule, MetricRule, Split, Step, Stepwise
from mlctl.types.secret import Secrets
from mlctl.types.state import Approval, Record
from tests.rollouts.world import Load, World, canary, errors_gate, free_port, revision

pytestmark = pytest.mark.tools

WAITS = Step(weight=10, confirm=True)


def test_a_version_takes_over_step_by_step_and_no_request_is_lost(world: World) -> None:
    steps = canary(Step(weight=10, pause_seconds=0.3), Step(weight=50, confirm=True), keep_old=0.0)
    first = world.apply(revision("1"), steps)
    assert first.state.phase is Phase.DONE  # there was nobody to take over from
    with Load(world, clients=2) as load:
        begun = world.apply(revision("2"), steps)
        assert begun.says() == "canary: step 1 of 2, 10 %, churn v2"
        assert begun.weights() == "churn v1 90 %, churn v2 10 %"
        world.wait(lambda found: found.state.step == 1 and found.state.in_effect)
        again = world.apply(revision("2"), steps)
        assert again.state.step == 1  # the same wanted again changes nothing
        users = Counter(world.ask(0, **{"x-user": f"u{number}"})[1]["version"] for number in range(40))
        assert world.ask(0, **{"x-mlctl-variant": "candidate"})[1]["version"] == "2"
        world.order("promote")
        world.wait(lambda found: found.state.phase is Phase.DONE)
        world.wait(lambda found: list(found.state.releases) == [2], 15)  # the old one is not kept warm
    assert load.lost == []
    assert load.failed == Counter()
    assert load.answers["1"] > 0 < load.answers["2"]
    assert 5 < users["2"] < 35
    assert {line["what"] for line in world.history()} >= {"started", "step", "promote", "promoted"}
    world.destroy()
    assert world.processes() == []
    assert not world.folder.exists()
    world.destroy()  # gone already is success


def test_what_was_aborted_is_held_until_it_is_tried_again_and_undo_goes_both_ways(world: World) -> None:
    steps = canary(WAITS)
    world.apply(revision("1"), steps)
    world.apply(revision("2"), steps)
    world.order("abort", why="a test")
    held = world.wait(lambda found: found.held is not None)
    assert held.says() == "held: churn v2: aborted by somebody: a test"
    again = world.apply(revision("2"), steps)  # does nothing, and says so
    assert again.state.candidate is None
    assert gatewayed.gate(again) is not None
    world.order("retry")
    world.wait(lambda found: found.state.phase is Phase.STEPPING)
    third = world.apply(revision("3"), steps)  # pushed while a canary runs: stable stays stable
    assert (third.named(third.state.stable), third.named(third.state.candidate)) == ("churn v1", "churn v3")
    world.order("promote", full=True)
    world.wait(lambda found: found.state.phase is Phase.DONE and found.state.in_effect)
    assert world.ask()[1]["version"] == "3"
    world.order("undo")
    back = world.wait(lambda found: found.held is not None and found.state.in_effect)
    assert (world.ask()[1]["version"], back.named(back.state.stable)) == ("1", "churn v1")
    world.order("undo")
    world.wait(lambda found: found.named(found.state.stable) == "churn v3" and found.state.in_effect)
    assert world.ask()[1]["version"] == "3"


def test_a_version_that_does_not_come_up_is_held_and_others_go_on(world: World) -> None:
    world.apply(revision("1"), canary(WAITS))
    bad = world.apply(revision("2", start="raise"), canary(WAITS))
    gate = gatewayed.gate(bad)
    assert gate is not None
    assert "deploy.bad-model" in gate.summary
    assert world.ask()[1]["version"] == "1"


@pytest.mark.soak
def test_a_first_version_that_does_not_come_up_is_an_error_and_tried_again(world: World) -> None:
    for again in (False, True):
        with pytest.raises(MlctlError, match=r"rollout\.never-ready") as raised:
            world.apply(revision("0", start="raise"), canary(WAITS), again=again)
        assert "it was made to fail" in raised.value.diagnostics[0].why
    world.apply(revision("1"), canary(WAITS), again=True)
    assert world.ask()[1]["version"] == "1"


def test_what_dies_is_seen_and_healed_and_a_reboot_goes_on_where_it_was(world: World) -> None:
    steps = canary(WAITS)
    world.apply(revision("1"), steps)
    world.apply(revision("2"), steps)
    record = Record(ObjectKey.parse("deployments.api#"), gatewayed.ID)
    seen = gatewayed.read(record, world.folder)
    assert seen is not None
    assert (seen.condition, seen.note) == (Condition.RUNNING, "canary: step 1 of 1, 10 %, churn v2")
    for process in (killed := world.processes()):
        process.kill()
    psutil.wait_procs(killed, 5)
    world_is_dead = gatewayed.read(record, world.folder)
    assert world_is_dead is not None
    assert world_is_dead.condition is Condition.BROKEN
    assert "the controller is not running: pid" in world_is_dead.detail
    healed = world.apply(revision("2"), steps)
    assert healed.says() == "canary: step 1 of 1, 10 %, churn v2"
    assert world.ask()[1]["version"] in "12"
    world.order("promote")
    world.wait(lambda found: found.state.phase is Phase.DONE)


def test_a_taken_port_is_told_and_what_was_asked_comes_true_when_it_is_free(world: World) -> None:
    stranger = socket.create_server(("127.0.0.1", world.port))
    with pytest.raises(MlctlError, match=r"deploy\.port-in-use"):
        world.apply(revision("1"), canary(WAITS))
    stranger.close()
    world.wait(lambda found: found.state.phase is Phase.DONE and found.state.in_effect)
    assert world.ask()[0] == 200


def test_a_version_with_more_errors_is_taken_back_by_its_gate(world: World) -> None:
    steps = canary(Step(weight=50, gate="guard"))
    gates = {"guard": errors_gate()}
    world.apply(revision("1", fail=0.01), steps, gates=gates)
    with Load(world, clients=3, pause=0.001):
        world.apply(revision("2", fail=0.3), steps, gates=gates)
        held = world.wait(lambda found: found.held is not None, 30)
        assert "error_rate" in held.says()
        assert held.held is not None
        assert held.held.by == "gate"
        world.wait(lambda found: found.state.in_effect)
    assert {world.ask()[1]["version"] for _ in range(20)} == {"1"}
    closed = gatewayed.gate(held)
    assert closed is not None
    record = Record(ObjectKey.parse("deployments.api#"), gatewayed.ID, gate=closed)
    approval = Approval("ann", "the errors are known", "")
    let_go = gatewayed.approve(replace(record, gate=replace(closed, approval=approval)), world.folder, world.ctx)
    assert let_go.named(let_go.state.stable) == "churn v2"
    seen = gatewayed.read(record, world.folder)
    assert seen is not None
    assert seen.detail == "what was held back is not held any more"


def test_secrets_are_sealed_in_all_files_and_reach_the_servers(world: World) -> None:
    secret = "hunter22hunter22"
    world.ctx = replace(world.ctx, secrets=Secrets({"var.token": secret}))
    world.apply(revision("1", token=secret), canary(WAITS))
    kept = [path for path in world.folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert kept == []
    assert world.ask()[0] == 200
    stored = controllers.kept(world.folder)
    assert "${secret:var.token" in str(stored)


def test_units_are_split_among_arms_as_offline_and_a_new_version_of_one_moves_nobody(world: World) -> None:
    def split(second: str) -> Split:
        arms = {
            "control": ArmRule(revision=revision("1"), weight=1),
            "new": ArmRule(revision=revision(second), weight=1),
        }
        return Split(type="ab", arms=arms)

    begun = world.apply(None, split("2"))
    assert begun.weights() == "churn v1 50 %, churn v2 50 %"
    users = [f"u{number}" for number in range(30)]
    before = {user: world.ask(0, **{"x-user": user})[1]["version"] for user in users}
    assert before == {user: "12"[bucket(user, "s") >= 0.5] for user in users}
    world.apply(None, split("3"))
    after = {user: world.ask(0, **{"x-user": user})[1]["version"] for user in users}
    assert after == {user: version.replace("2", "3") for user, version in before.items()}


def test_shares_of_a_bandit_follow_its_rewards_through_a_kill(world: World) -> None:
    arms = {name: ArmRule(revision=revision(version), weight=1) for name, version in (("a", "1"), ("b", "2"))}
    rule = Bandit(type="bandit", arms=arms, update_seconds=1.0, min_rewards=15, floor=0.1)
    port = free_port()
    world.apply(None, rule, unit=None, rewards_port=port)
    rewards = []
    for number in range(80):
        name = f"r{number}"
        version = world.ask(0, **{"x-request-id": name})[1]["version"]
        rewards.append({"request_id": name, "reward": int(version == "2")})
    assert sent(port, rewards[:1]) in (200, 202)
    world.controller().kill()
    world.apply(None, rule, unit=None, rewards_port=port)
    assert sent(port, rewards) in (200, 202)
    world.wait(lambda found: (found.state.routes or pytest.fail("no routes")).shares.get("b", 0) > 8000)
    world.wait(lambda found: rewarded(world) == 80)  # the first came twice


def test_a_shadow_answers_nobody_and_is_held_when_its_answers_differ(world: World) -> None:
    steps = Stepwise(type="shadow", steps=[Step(mirror=100.0, gate="same")])
    rule = MetricRule(name="mismatch_rate", max=0.01)
    gates = {"same": GateRule(metrics=[rule], min_requests=50, interval_seconds=1.0)}
    world.apply(revision("1", score=0.5), steps, gates=gates)
    with Load(world, clients=2) as load:
        world.apply(revision("2", score=0.7), steps, gates=gates)
        held = world.wait(lambda found: found.held is not None, 40)
    assert set(load.answers) == {"1"}
    assert load.lost == []
    assert "mismatch_rate" in held.says()


def sent(port: int, rewards: list[dict[str, object]]) -> int:
    """The status that rewards are answered with."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", "/rewards", json.dumps(rewards).encode())
        return connection.getresponse().status
    finally:
        connection.close()


def rewarded(world: World) -> int:
    """How many rewards count, as `rollout status` shows them."""
    arms = ((report("deployments.api", world.folder) or {}).get("bandit") or {}).get("arms") or {}
    return sum(arm["rewards"] for arm in arms.values())


def test_blue_green_previews_switches_and_is_back_at_once_when_the_new_version_fails(world: World) -> None:
    steps = Stepwise(type="blue_green", steps=blue_green_steps(BlueGreen(preview="confirm", post="sound")))
    rule = MetricRule(name="error_rate", max=0.05)
    gates = {"sound": GateRule(metrics=[rule], min_requests=100, interval_seconds=1.0)}
    world.apply(revision("1"), steps, gates=gates)
    with Load(world, clients=2) as load:
        begun = world.apply(revision("2", fail=0.4), steps, gates=gates)
        assert begun.state.phase is Phase.STEPPING
        assert {world.ask(0)[1]["version"] for _ in range(10)} == {"1"}
        assert world.ask(0, **{"x-mlctl-variant": "candidate"})[1]["version"] == "2"
        world.order("promote")
        held = world.wait(lambda found: found.held is not None and found.state.in_effect, 40)
        assert {world.ask(0)[1]["version"] for _ in range(10)} == {"1"}
        assert "error_rate" in held.says()
        world.apply(revision("3"), steps, gates=gates)
        world.order("promote")
        world.wait(lambda found: found.state.phase is Phase.DONE and found.state.in_effect, 40)
        assert {world.ask(0)[1]["version"] for _ in range(10)} == {"3"}
    assert load.lost == []
    assert (load.failed["1"], load.failed["3"]) == (0, 0)
    assert load.failed["2"] > 0
    world.order("undo")
    world.wait(lambda found: found.named(found.state.stable) == "churn v1" and found.state.in_effect)
    assert world.ask(0)[1]["version"] == "1"
