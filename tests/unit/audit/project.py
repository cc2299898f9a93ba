"""A project without a fault, what was made of it, and cases with something changed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mlctl.audit.case import Case
from mlctl.types.address import Address, ObjectKey
from mlctl.types.decision import Decision
from mlctl.types.state import Record
from mlctl.workspace import Workspace

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
GOOD = """\
project: shop
owner: {team: retail, on_call: retail-oncall}
datasets:
  labels: {path: data/labels.parquet, timestamp: day, key: [user_id]}
  holdout: {path: data/holdout.parquet, timestamp: day, key: [user_id]}
  visits: {path: data/visits.parquet, timestamp: at, key: [visit_id]}
  outcomes: {path: data/outcomes.parquet, timestamp: at, key: [user_id]}
data_checks:
  labels_ok: {dataset: labels, rules: [{not_null: {columns: [user_id]}}]}
  visits_ok: {dataset: visits, rules: [{not_null: {columns: [visit_id]}}]}
entities:
  user: {key: user_id, dtype: int64}
feature_views:
  visiting: {entity: user, source: visits, online: true, features: {visits_7d: {aggregate: count, window: 7d}}}
training:
  churn:
    data: {labels: labels, features: [visiting], target: churned}
    model: {type: mlp, hidden: [8]}
    epochs: 1
    optimizer: {lr: 1e-3}
evaluations:
  churn_gate:
    model: ${training.churn.model}
    dataset: holdout
    require: {roc_auc: {min: 0.7, not_worse_than: champion, margin: 0.01}}
    register: {name: churn, alias: champion}
deployments:
  churn_api:
    model: churn@champion
    serve: {pattern: online, engine: torch, port: 18099}
    tags: {runbook: runbook.md}
    rollout: {canary: {steps: [{weight: 10, gate: guard}]}}
    gates: {guard: {compare: baseline, metrics: [{name: error_rate, margin: 0.002}]}}
    observe: {traces: {endpoint: http://127.0.0.1:4318}}
experiments:
  offer:
    deployment: churn_api
    hypothesis: an offer keeps more of them
    unit: user_id
    arms: {control: 50, treatment: 50}
    primary: {metric: kept, type: proportion, baseline: 0.5, mde: {relative: 0.1}}
    guardrails: [{metric: error_rate, margin: 0.002}]
    design: {daily_units: 1000}
monitors:
  churn_drift:
    deployment: churn_api
    reference: ${training.churn.training_profile}
    data: {methods: [ks]}
    labels: {dataset: outcomes, label: churned, key: [user_id]}
    on_alarm: {retrain: training.churn}
schedules:
  nightly: {cron: "0 3 * * *", run: retrain, targets: [training.churn]}
  watch: {cron: "0 * * * *", run: monitor, targets: [monitors.churn_drift]}
"""
CODE = {"commit": "a" * 40, "dirty": False, "diff": None, "digest": "d", "files": {}}
PROVENANCE = {"data": [{"name": "labels", "digest": "1"}], "environment": {"packages": "p"}, "code": CODE}
MODEL = "objects/training.churn/1/model"
OUTPUTS: dict[str, dict[str, Any]] = {
    "datasets.labels": {"digest": "l"},
    "datasets.holdout": {"digest": "h"},
    "training.churn": {"model": MODEL},
    "evaluations.churn_gate": {"rows": 20_000, "metrics": {"roc_auc": 0.81}},
    "deployments.churn_api": {"version": "2"},
    "monitors.churn_drift": {"runs": "objects/monitors.churn_drift/self/runs"},
    "experiments.offer": {"n_total": 4000},
}


def decided(kind: str, address: str, verdict: str, days: float = 1, **more: Any) -> Decision:
    """A decision of some days ago."""
    at = (NOW - timedelta(days=days)).isoformat()
    return Decision(kind, address, verdict, more.pop("rule", "because"), at, **more)


DECISIONS = (
    decided("check", "deployments.churn_api", "passed", inputs={"check": "parity"}),
    decided("rollout", "deployments.churn_api", "undone", days=20),
)


def case_of(
    root: Path,
    text: str = GOOD,
    *,
    outputs: Mapping[str, Mapping[str, Any]] | None = None,
    provenance: Mapping[str, Any] = PROVENANCE,
    decisions: Sequence[Decision] = DECISIONS,
    now: datetime = NOW,
) -> Case:
    """The case of a project with this text. What was made is what `outputs` says."""
    (root / "mlctl.yaml").write_text(text)
    (root / "runbook.md").write_text("call somebody\n")
    (root / "data").mkdir(exist_ok=True)
    beside = root / MODEL
    beside.mkdir(parents=True, exist_ok=True)
    (beside.parent / "provenance.json").write_text(json.dumps(provenance))
    run = root / "objects/monitors.churn_drift/self/runs" / f"{NOW - timedelta(minutes=30):%Y%m%dT%H%M%S.%fZ}"
    run.mkdir(parents=True, exist_ok=True)
    (run / "result.json").write_text("{}")
    records = {
        name: Record(
            ObjectKey(Address.parse(name), ""), outputs=dict(values), provenance={"at": "2026-10-01T00:00:00+00:00"}
        )
        for name, values in (OUTPUTS if outputs is None else outputs).items()
    }
    return Case(Workspace(root).loaded, records, tuple(decisions), root, now)


def edited(old: str, new: str) -> str:
    """The good project with one place changed."""
    assert GOOD.count(old) == 1, old
    return GOOD.replace(old, new)
