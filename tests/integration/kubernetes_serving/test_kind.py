"""The kind `deployments` with a cluster as its target: made, looked at, approved, taken over, removed, moved to this machine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mlctl.provider import Condition, Outcome
from mlctl.providers.serving.deployment import Deployment
from mlctl.providers.serving.kubernetes import kept
from mlctl.testing.harness import make_desired, make_record
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.rollout import Order
from mlctl.types.state import Approval, Gate, Record
from tests.integration.kubernetes_serving.api import Api
from tests.integration.kubernetes_serving.conftest import Deployed
from tests.integration.kubernetes_serving.direct import Direct
from tests.integration.kubernetes_serving.test_rollout import ROUTED, versions, weights
from tests.unit.providers.serving.kubernetes.blocks import CANARY, block, desired, evaluation

GIVEN = block(ROUTED, rollout=CANARY)
KIND = Deployment()


def apply(deployed: Deployed, given: dict[str, Any], version: int = 3, prior: Record | None = None) -> Record:
    (deployed.ctx.root / f"models/{version}").mkdir(parents=True, exist_ok=True)
    asked = make_desired(KIND, "deployments.churn_api", given, deployed.ctx, evaluation(version=version))
    outcome: Outcome = kept.apply(asked, prior, desired(deployed.ctx, given, version)[1], deployed.ctx, deployed.time)
    return make_record(asked, outcome)


def test_it_is_made_looked_at_taken_over_and_removed(by_kubectl: Deployed, api: Api, cluster: type[Direct]) -> None:
    del cluster
    record = apply(by_kubectl, GIVEN)
    seen = KIND.read(record, by_kubectl.ctx)
    assert seen is not None
    assert (seen.condition, seen.detail) == (Condition.READY, "1 of 1 pods ready")
    assert KIND.describe(record) == "http://churn.example.com  churn v3"
    assert record.id == "ml/churn-api-e40d"
    asked = make_desired(KIND, "deployments.churn_api", GIVEN, by_kubectl.ctx, evaluation())
    api.writes.clear()
    before = {key: item["metadata"]["resourceVersion"] for key, item in api.objects.items()}
    adopted = KIND.adopt(asked, record.id, by_kubectl.ctx)
    assert (adopted.id, adopted.outputs) == (record.id, record.outputs)
    assert before == {key: item["metadata"]["resourceVersion"] for key, item in api.objects.items()}
    other = make_desired(
        KIND, "deployments.churn_api", block({**ROUTED, "memory": "8Gi"}), by_kubectl.ctx, evaluation()
    )
    with pytest.raises(MlctlError) as raised:
        KIND.adopt(other, record.id, by_kubectl.ctx)
    assert raised.value.diagnostics[0].code == "import.differs"
    KIND.delete(record, by_kubectl.ctx)
    assert api.objects == {}
    assert KIND.read(record, by_kubectl.ctx) is None
    assert not (by_kubectl.ctx.folder(record.key)).exists()


def test_a_held_version_answers_once_somebody_approves_it(
    by_kubectl: Deployed, api: Api, cluster: type[Direct], monkeypatch: pytest.MonkeyPatch
) -> None:
    del cluster
    monkeypatch.setattr(kept.Time, "poll_seconds", 0.001, raising=False)
    record = apply(by_kubectl, GIVEN)
    record = apply(by_kubectl, GIVEN, 4, record)
    kept.give(record, Order(what="abort", who="me", why="no"), by_kubectl.ctx, by_kubectl.time)
    record = apply(by_kubectl, GIVEN, 4, record)
    assert record.gate is not None
    assert not record.gate.open
    approval = Approval("me", "looked at it", "2026-11-22T12:00:00Z")
    record = replace(record, gate=Gate(False, record.gate.summary, record.gate.details, approval))
    monkeypatch.setattr(
        kept, "give", lambda prior, order, ctx, give=kept.give: give(prior, order, ctx, by_kubectl.time)
    )
    outcome = KIND.approved(record, by_kubectl.ctx)
    assert (weights(api), versions(api)) == ({"4": 1}, ["4"])
    assert outcome.outputs["version"] == "4"


def test_what_moves_from_a_cluster_leaves_nothing_there_even_after_a_kill(
    by_kubectl: Deployed, api: Api, cluster: type[Direct]
) -> None:
    del cluster
    apply(by_kubectl, GIVEN)
    here = make_desired(
        KIND,
        "deployments.churn_api",
        {"model": "churn@champion", "serve": {"port": 8080}},
        by_kubectl.ctx,
        evaluation(),
    )
    cut_off = make_record(here, Outcome(None))  # the record of the move, whose apply was cut off
    kept.leave(cut_off, here, by_kubectl.ctx)
    assert api.objects == {}
