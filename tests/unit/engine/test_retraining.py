"""Why somebody trains and what came of it: each alarm is taken up once, and nothing is lost to a kill."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mlctl.engine import retraining
from mlctl.engine.ledger import Ledger
from mlctl.engine.retraining import Intent
from mlctl.files import decisions
from mlctl.types.address import Address, ObjectKey
from mlctl.types.decision import Decision
from mlctl.types.state import Gate, Record, State, Use

TRAINING = "training.churn"
KEY = Address.parse(TRAINING)


def alarm(home: Path, at: str, training: str | None = TRAINING, verdict: str = "alarm") -> str:
    """A run of a monitor in the ledger."""
    done = {} if training is None else {"retrain": training}
    return decisions.keep(home, Decision("monitor", "monitors.m", verdict, "by ks", at, outputs={"actions": done}))


def ledger(build: str | None, gate: Gate | None = None, version: str | None = "3") -> Ledger:
    objects = {}
    if build is not None:
        key = ObjectKey(KEY, build)
        objects[key] = Record(key, outputs={"model": "m", "digest": build}, sequence=1)
        if gate is not None:
            judge = ObjectKey(Address("evaluations", "g"), f"g-{build}")
            outputs = {"name": "churn", "version": version, "metrics": {"roc_auc": 0.8}}
            objects[judge] = Record(judge, outputs=outputs, gate=gate, uses=(Use(key, build),), sequence=2)
    return Ledger(State("lineage", 1, objects))


def intent(home: Path, before: Ledger) -> Intent:
    waiting = retraining.waiting(home)
    return Intent(
        at="2026-05-01T00:00:00.000000+00:00", trigger="alarm", trainings=(TRAINING,),
        alarms={TRAINING: tuple(item.id for item in waiting.get(TRAINING, ()))},
        before=retraining.builds(before, [KEY]), gates=retraining.builds(before, [Address("evaluations", "g")]), by="me@here",
    )  # fmt: skip


def kinds(home: Path) -> list[tuple[str, str]]:
    return sorted((item.kind, item.verdict) for item in decisions.kept(home) if item.kind != "monitor")


def test_only_alarms_that_ask_for_a_training_wait_for_one(tmp_path: Path) -> None:
    first, second = alarm(tmp_path, "2026-04-01T00:00:00+00:00"), alarm(tmp_path, "2026-04-02T00:00:00+00:00")
    alarm(tmp_path, "2026-04-03T00:00:00+00:00", training=None)
    alarm(tmp_path, "2026-04-04T00:00:00+00:00", verdict="ok")
    assert {name: [item.id for item in items] for name, items in retraining.waiting(tmp_path).items()} == {
        TRAINING: [first, second]
    }


def test_an_alarm_is_taken_up_once_and_every_step_names_its_cause(tmp_path: Path) -> None:
    first, last = alarm(tmp_path, "2026-04-01T00:00:00+00:00"), alarm(tmp_path, "2026-04-02T00:00:00+00:00")
    begun = retraining.begin(tmp_path, intent(tmp_path, ledger("a", Gate(True, "ok"))))
    assert retraining.waiting(tmp_path) == {}
    trained, gate = retraining.conclude(tmp_path, ledger("b", Gate(True, "roc_auc 0.8")), 0)
    assert retraining.waiting(tmp_path) == {}
    assert retraining.read(tmp_path) is None
    first_step, _ = decisions.find(tmp_path, begun.begun[TRAINING])
    assert (first_step.verdict, first_step.cause, first_step.inputs["alarms"]) == ("begun", last, [first, last])
    assert (trained.verdict, trained.cause, trained.outputs["build"]) == ("trained", first_step.id, "b")
    assert (gate.kind, gate.verdict, gate.cause) == ("gate", "passed", trained.id)
    assert gate.outputs["version"] == "3"
    assert retraining.conclude(tmp_path, ledger("b"), 0) == []


def test_the_same_data_and_spec_train_nothing_and_say_of_which_version_they_are(tmp_path: Path) -> None:
    alarm(tmp_path, "2026-04-01T00:00:00+00:00")
    same = ledger("a", Gate(True, "ok"))
    retraining.begin(tmp_path, intent(tmp_path, same))
    (skipped,) = retraining.conclude(tmp_path, same, 0)
    assert skipped.verdict == "skipped"
    assert "data and spec are those of churn v3" in skipped.rule


@pytest.mark.parametrize(
    ("code", "verdict"), [(1, "failed"), (8, "failed"), (130, "stopped"), (4, "stopped"), (3, "skipped")]
)
def test_a_run_that_made_no_build_says_why(tmp_path: Path, code: int, verdict: str) -> None:
    retraining.begin(tmp_path, intent(tmp_path, ledger("a")))
    (made,) = retraining.conclude(tmp_path, ledger("a"), code)
    assert made.verdict == verdict


def test_a_model_that_does_not_pass_is_trained_and_its_gate_failed(tmp_path: Path) -> None:
    retraining.begin(tmp_path, intent(tmp_path, ledger("a", Gate(True, "ok"))))
    trained, gate = retraining.conclude(tmp_path, ledger("b", Gate(False, "roc_auc 0.5 < 0.7"), version=None), 3)
    assert (trained.verdict, gate.verdict, gate.rule) == ("trained", "failed", "roc_auc 0.5 < 0.7")


def test_a_kill_at_any_moment_loses_no_alarm_and_doubles_no_decision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cause = alarm(tmp_path, "2026-04-01T00:00:00+00:00")
    wanted, real = intent(tmp_path, ledger("a")), decisions.keep

    class Killed(Exception):
        pass

    def both(wanted: Intent) -> None:
        retraining.begin(tmp_path, wanted)
        retraining.conclude(tmp_path, ledger("b", Gate(True, "ok")), 0)

    for allowed in range(3):  # between the intent and the first decision, and between the decisions of its end
        calls = iter(range(10))

        def keep(home: Path, item: Decision, *rest: object, calls: object = calls, allowed: int = allowed) -> str:
            if next(calls) >= allowed:  # type: ignore[call-overload]
                raise Killed
            return real(home, item)

        monkeypatch.setattr(decisions, "keep", keep)
        with pytest.raises(Killed):
            both(wanted)
        monkeypatch.setattr(decisions, "keep", real)
        left = retraining.read(tmp_path)
        assert left is not None
        assert retraining.waiting(tmp_path) == {}  # it is taken up, by the intent or by a decision
        wanted = left
    both(wanted)
    begun = [item for item in decisions.kept(tmp_path) if item.verdict == "begun"]
    assert [item.cause for item in begun] == [cause]
    assert ("gate", "passed") in kinds(tmp_path)


def test_an_intent_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    for text in ("{", "[]", '{"at": 1}', '{"alarms": 3, "trainings": []}'):
        (tmp_path / retraining.INTENT_FILE).write_text(text)
        assert retraining.read(tmp_path) is None


def test_the_intent_goes_through_its_file_unchanged(tmp_path: Path) -> None:
    alarm(tmp_path, "2026-04-01T00:00:00+00:00")
    kept = retraining.begin(tmp_path, intent(tmp_path, ledger("a")))
    assert retraining.read(tmp_path) == kept
    assert (tmp_path / retraining.INTENT_FILE).stat().st_mode & 0o077 == 0
    assert json.loads((tmp_path / retraining.INTENT_FILE).read_bytes())["trainings"] == [TRAINING]
    assert replace(kept, by="x") != kept
