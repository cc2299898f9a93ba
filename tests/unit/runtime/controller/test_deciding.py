"""What a rollout decides is in the ledger once, whatever is killed, and a gate can be asked again by what it had seen."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from mlctl.files import decisions
from mlctl.provider import Context
from mlctl.providers.serving import replay
from mlctl.rollout.counting import counts_from, counts_to
from mlctl.rollout.evidence import Counts
from mlctl.rollout.judge import Judge
from mlctl.rollout.seen import Answer, Note
from mlctl.rollout.state import Held, Release, RolloutState
from mlctl.rollout.verdict import Says, Verdict
from mlctl.runtime.controller.asking import Look
from mlctl.runtime.controller.deciding import Deciding
from mlctl.testing.harness import make_context
from mlctl.types.decision import Decision
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.rollout import GateRule, GatewaySpec, MetricRule, Revision, Step, Stepwise, Wanted
from mlctl.types.secret import Secrets

RULE = GateRule(metrics=[MetricRule(name="error_rate", margin=0.01)], min_requests=100)
STRATEGY = Stepwise(type="canary", steps=[Step(weight=10, gate="guard"), Step(weight=50, gate="guard")])
NEW, OLD = (
    Revision(digest=f"d{version}", model="shops", version=version, program="server", params={})
    for version in ("2", "1")
)
WANTED = Wanted(
    serial=1, deployment="api", address="deployments.api", unit=None, revision=NEW, strategy=STRATEGY, gates={"guard": RULE},
    gateway=GatewaySpec(type="python", host="h", port=1, timeout_seconds=1, max_body_bytes=1),
)  # fmt: skip
BEFORE = RolloutState(
    stable=1, candidate=2, releases={1: Release(1, OLD), 2: Release(2, NEW)}, strategy=STRATEGY, gates={"guard": RULE}, token=7,
)  # fmt: skip


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return make_context(tmp_path)


def folder_of(ctx: Context) -> Path:
    folder = ctx.home / "objects" / "deployments.api" / "self" / "rollout"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def judged(ctx: Context, errors: int, looks: int = 3) -> tuple[RolloutState, Verdict]:
    """Several looks of a real judge, noted as the controller does; the second one twice, as after a kill."""
    deciding, memory, verdict = Deciding(folder_of(ctx), ctx.home, Secrets()), {}, None
    for number in range(1, looks + 1):
        candidate, baseline = Counts(requests=200 * number, errors=errors * number), Counts(requests=900 * number)
        if number == 2:  # noted, and then killed before the state knew of it
            deciding.look(Look(7, number, 11.0, counts_to(Counts(requests=1)), counts_to(Counts(requests=1))))
        deciding.look(Look(7, number, 10.0 * number, counts_to(candidate), counts_to(baseline)))
        judge = Judge(RULE, memory)
        verdict = judge.look(candidate, baseline, 10.0 * number)
        memory = json.loads(json.dumps(judge.memory()))
    assert verdict is not None
    return replace(BEFORE, memory={"looks": looks}), verdict


def held(before: RolloutState, verdict: Verdict) -> RolloutState:
    item = Held("d2", "shops", "2", verdict.why, "gate", 0.0, verdict)
    return replace(before, candidate=None, held=(item,), failures=1, token=8, memory={})


def fail(ctx: Context) -> tuple[RolloutState, RolloutState, Verdict]:
    before, verdict = judged(ctx, errors=40)
    assert verdict.says is Says.FAIL
    return before, held(before, verdict), verdict


def test_a_version_that_is_taken_back_has_its_gate_for_a_cause_and_that_has_the_evaluation(ctx: Context) -> None:
    outputs = {"model": "shops", "version": "2"}
    judge = decisions.keep(
        ctx.home, Decision("gate", "evaluations.g", "passed", "", "2026-01-01T00:00:00+00:00", outputs=outputs)
    )
    before, after, verdict = fail(ctx)
    note = Note("held", f"shops v2 is held: {verdict.why}")
    Deciding(folder_of(ctx), ctx.home, Secrets()).keep(before, after, WANTED, Answer(7, verdict), [note])
    gate, rollout = (
        next(item for item in decisions.kept(ctx.home) if item.kind == kind and item.by) for kind in ("gate", "rollout")
    )
    assert (gate.verdict, gate.cause, gate.inputs["looks"]) == ("fail", judge, 3)
    assert (rollout.verdict, rollout.cause, rollout.inputs["version"]) == ("rolled back", gate.id, "2")
    assert rollout.outputs["answers"] == "shops v1"


def test_a_gate_that_is_asked_again_says_the_same_to_the_bit(ctx: Context) -> None:
    before, after, verdict = fail(ctx)
    Deciding(folder_of(ctx), ctx.home, Secrets()).keep(
        before, after, WANTED, Answer(7, verdict), [Note("held", "held")]
    )
    gate = next(item for item in decisions.kept(ctx.home) if item.kind == "gate")
    _, folder = decisions.find(ctx.home, gate.id)
    again = replay.replay(gate, folder, ctx)
    assert json.dumps(again, sort_keys=True) == json.dumps({"verdict": gate.outputs["verdict"]}, sort_keys=True)
    assert gate.code == replay.code()
    looks = folder / "looks.jsonl"
    looks.write_text(looks.read_text().replace('"errors": 120', '"errors": 1'))
    assert replay.replay(gate, folder, ctx) != {"verdict": gate.outputs["verdict"]}
    looks.unlink()
    with pytest.raises(MlctlError, match=r"decision\.evidence-gone"):
        replay.replay(gate, folder, ctx)


def test_a_gate_that_lets_a_version_go_on_is_kept_at_the_step_it_ends(ctx: Context) -> None:
    before, verdict = judged(ctx, errors=0)
    assert verdict.says is Says.PASS
    after = replace(before, step=1, token=8, memory={})
    deciding = Deciding(folder_of(ctx), ctx.home, Secrets())
    deciding.keep(before, after, WANTED, Answer(7, verdict), [Note("step", "leaves step 1")])
    assert [(item.kind, item.verdict) for item in decisions.kept(ctx.home)] == [("gate", "pass")]


def test_a_kill_between_the_ledger_and_the_state_makes_no_second_decision(ctx: Context) -> None:
    before, after, verdict = fail(ctx)
    state = folder_of(ctx) / "rollout.json"
    state.write_text("{}")
    os.utime(state, (1, 1))  # the state was kept before the decisions
    for _ in range(2):  # the second one is the next controller, which decides the same again
        Deciding(folder_of(ctx), ctx.home, Secrets()).keep(
            before, after, WANTED, Answer(7, verdict), [Note("held", "held")]
        )
    assert len(list(decisions.kept(ctx.home))) == 2
    os.utime(state)  # the state knows of it: another rollout that comes to the same is another decision
    os.utime(state, (2**32, 2**32))
    Deciding(folder_of(ctx), ctx.home, Secrets()).keep(
        before, after, WANTED, Answer(7, verdict), [Note("held", "held")]
    )
    assert len(list(decisions.kept(ctx.home))) == 4


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyError("outputs")], ids=["full", "edited"])
def test_a_full_disk_or_a_broken_ledger_costs_the_entry_and_nothing_else(
    ctx: Context, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def full(*_: object, **__: object) -> str:
        raise error

    before, after, verdict = fail(ctx)
    with monkeypatch.context() as patch:
        patch.setattr(decisions, "keep", full)
        Deciding(folder_of(ctx), ctx.home, Secrets()).keep(
            before, after, WANTED, Answer(7, verdict), [Note("held", "held")]
        )
    assert list(decisions.kept(ctx.home)) == []


def test_a_controller_without_a_ledger_writes_nothing(ctx: Context) -> None:
    before, after, verdict = fail(ctx)
    deciding = Deciding(folder_of(ctx), None, Secrets())
    deciding.keep(before, after, WANTED, Answer(7, verdict), [Note("held", "held")])
    assert list(decisions.kept(ctx.home)) == []


def test_what_was_counted_goes_through_json_unchanged() -> None:
    counts = Counts(requests=5, errors=1, scores=(0, 3, 2))
    assert counts_from(json.loads(json.dumps(counts_to(counts)))) == counts
