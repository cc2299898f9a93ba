"""What belongs to a request, and what a project knows as metrics: from records and files alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mlctl.cli.commands.metrics import app
from mlctl.cli.explaining import deployed, find, told
from mlctl.cli.project_metrics import families
from mlctl.files import decisions
from mlctl.provider import Context
from mlctl.providers.serving import controllers
from mlctl.testing.harness import make_context
from mlctl.types.address import ObjectKey
from mlctl.types.decision import Decision
from mlctl.types.diagnostic import MlctlError
from mlctl.types.job import RESULT_FILE, JobResult, JobStatus
from mlctl.types.state import Record
from mlctl.views.human.request import render
from mlctl.views.json.observability_events import OBSERVABILITY_EVENTS
from mlctl.views.prometheus.lint import lint
from mlctl.views.prometheus.page import read
from mlctl.views.prometheus.page import render as page

TRACE = "0af7651916cd43dd8448eb211c80319c"
ROW = {
    "ts": "2026-11-22T10:00:00.000000+00:00", "request_id": "r-1", "trace_id": TRACE, "schema_version": 2, "deployment": "api", "model": "shops",
    "version": "3", "role": "canary", "variant": "candidate", "unit": "1f2e3d4c5b6a7980", "bucket": 17, "propensity": 0.25, "sampled": True,
    "key": {"id": 1}, "features": {"a": 2.0}, "score": 0.25, "prediction": 0, "latency_seconds": 0.01, "code": 200,
}  # fmt: skip


def record(address: str, spec: dict[str, Any], outputs: dict[str, Any]) -> Record:
    return Record(ObjectKey.parse(f"{address}#"), "1", spec=spec, outputs=outputs)


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return make_context(tmp_path)


@pytest.fixture
def records(ctx: Context) -> dict[str, Record]:
    folder = ctx.folder(ObjectKey.parse("deployments.api#"))
    write(
        folder / "predictions/2026-11-22.jsonl", ROW, {**ROW, "request_id": "r-2", "trace_id": "x", "variant": "stable"}
    )
    explained = {
        "request_id": "r-1", "version": "3", "key": {"id": 1}, "score": 0.25, "base": 0.5, "link": "identity", "values": {"a": -0.25, "b": 0.0},
        "residual": 0.0, "method": "gradient", "refused": None,
    }  # fmt: skip
    write(
        folder / "explanations/2026-11-22.jsonl",
        explained,
        {**explained, "version": "2"},
        {**explained, "request_id": "r-2", "values": None, "refused": "off"},
    )
    events = [
        {"at": f"2026-11-22T0{hour}:00:00.000+00:00", "what": "step", "text": f"{hour} %"} for hour in range(6, 10)
    ]
    write(
        folder / controllers.FOLDER / "history.jsonl",
        *events,
        {"at": "2026-11-22T11:00:00.000+00:00", "what": "promoted"},
    )
    predictions = str((folder / "predictions").relative_to(ctx.root))
    deployment = record(
        "deployments.api", {"observe": {"traces": {"endpoint": "http://127.0.0.1:4318"}}}, {"predictions": predictions}
    )
    experiment = record("experiments.offer", {"deployment": "api", "arms": {"stable": 50, "candidate": 50}}, {})
    return {"deployments.api": deployment, "experiments.offer": experiment}


def write(path: Path, *rows: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def known(id: str, records: dict[str, Record], ctx: Context) -> dict[str, Any]:
    _, [(place, row)] = find(deployed(records, ctx, None), id, "")
    return told(place, row, records, ctx, labels=True)


@pytest.mark.parametrize("id", ["r-1", TRACE, f"tr-{TRACE}", f"00-{TRACE}-b7ad6b7169203331-01", f" {TRACE.upper()} "])
def test_all_that_is_known_is_joined_by_either_id(id: str, records: dict[str, Record], ctx: Context) -> None:
    found = known(id, records, ctx)
    assert (found["request_id"], found["trace_id"], found["variant"]) == ("r-1", TRACE, "candidate")
    assert found["features"] == {"features": {"a": 2.0}}
    assert [item["values"] for item in found["explanations"]] == [{"a": -0.25, "b": 0.0}]
    assert found["experiments"][0]["arm"] == "candidate"
    assert [event["text"] for event in found["rollout"]] == ["7 %", "8 %", "9 %"]
    assert found["spans"] == {"trace_id": TRACE, "receiver": "http://127.0.0.1:4318"}
    assert (found["labels"], found["cost_usd"]) == ([], None)
    event = OBSERVABILITY_EVENTS["request"]
    assert {*found, "searched"} == event.required.keys()


def test_what_is_not_known_is_said_to_be_so(records: dict[str, Record], ctx: Context) -> None:
    text = render(known("r-2", records, ctx), color=False)
    assert "not kept: off" in text
    assert "cost         unknown" in text
    assert "label        unknown: no monitor of this deployment has `labels`" in text


@pytest.mark.parametrize(
    ("changed", "cost"),
    [
        ({}, (90 * 2.0 + 10 * 0.5 + 50 * 4.0) / 1e6),
        ({"ts": "2026-01-01T00:00:00+00:00"}, None),
        ({"ts": "2026-12-01T00:00:00+00:00"}, None),  # of cached tokens nobody knows the price then
        ({"ts": "2026-12-01T00:00:00+00:00", "cached_tokens": None}, (100 * 3.0 + 50 * 4.0) / 1e6),
        ({"response_model": "other"}, None),
        ({"completion_tokens": None}, None),
        ({"cached": True}, None),
    ],
)
def test_a_price_is_that_of_its_day_and_what_has_none_is_unknown(
    changed: dict[str, Any], cost: float | None, records: dict[str, Record], ctx: Context
) -> None:
    prices = [
        {"input_per_million": 2.0, "output_per_million": 4.0, "cached_per_million": 0.5, "valid_from": "2026-02-01"},
        {"input_per_million": 3.0, "output_per_million": 4.0, "cached_per_million": None, "valid_from": "2026-12-01"},
    ]
    monitor = record("monitors.spend", {"deployment": "api"}, {"parts": {"cost": {"prices": {"gpt": prices}}}})
    row = {
        **ROW,
        "response_model": "gpt",
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "cached_tokens": 10,
        **changed,
    }
    [place] = deployed(records, ctx, None)
    found = told(place, row, {**records, "monitors.spend": monitor}, ctx, labels=False)["cost_usd"]
    assert found == (None if cost is None else pytest.approx(cost))


def test_an_id_that_nobody_knows_is_told_with_what_was_looked_through(records: dict[str, Record], ctx: Context) -> None:
    with pytest.raises(MlctlError) as caught:
        find(deployed(records, ctx, "api"), "nope", "")
    assert caught.value.diagnostics[0].code == "request.unknown"
    assert "1 file" in caught.value.diagnostics[0].why
    with pytest.raises(MlctlError) as caught:
        deployed(records, ctx, "other")
    assert caught.value.diagnostics[0].code == "request.no-log"


def test_what_monitors_and_experiments_found_last_are_metrics_without_a_problem(
    records: dict[str, Record], ctx: Context
) -> None:
    monitor = record("monitors.drift", {"deployment": "api"}, {})
    outputs = {
        "verdict": "alarm", "summary": "", "until": "2026-11-22T10:00:00+00:00", "alarms": [{"part": "data"}],
        "parts": {
            "data": {"columns": {"a": {"tests": {"ks": {"effect": 0.3, "margin": 0.1}, "psi": {"effect": None, "margin": 0.2}}}}},
            "labels": {"lag_seconds": {"p50": 60.0, "p95": None}, "coverage": 0.5},
            "estimated": {"metric": "roc_auc", "value": 0.7, "low": 0.6, "high": 0.8},
        },
    }  # fmt: skip
    run = ctx.folder(monitor.key) / "runs" / "20261122T100000.000000Z"
    run.mkdir(parents=True)
    (run / RESULT_FILE).write_text(json.dumps(JobResult(JobStatus.DONE, outputs).to_json()))
    for number, at in ((1.0, "2026-11-21T00:00:00+00:00"), (7.0, "2026-11-22T00:00:00+00:00")):
        decisions.keep(
            ctx.home,
            Decision("experiment", "experiments.offer", "continue", "r", at, outputs={"units": {"stable": number}}),
        )
    text = page(families({**records, "monitors.drift": monitor}, ctx))
    assert lint(read(text)) == []
    values = {(item.name, *sorted(item.labels.values())): item.value for item in read(text).series}
    assert values["mlctl_drift_score", "a", "api", "drift", "ks"] == "0.3"
    assert values["mlctl_drift_alarm", "api", "data", "drift"] == "1.0"
    assert values["mlctl_label_lag_seconds", "0.5", "api", "drift"] == "60.0"
    assert values["mlctl_estimated_performance", "api", "drift", "low", "roc_auc"] == "0.6"
    assert values["mlctl_experiment_users", "api", "offer", "stable"] == "7.0"
    assert values["mlctl_monitor_verdict", "alarm", "api", "drift"] == "1.0"
    assert not any("psi" in labels and name == "mlctl_drift_score" for name, *labels in values)


def test_linting_ends_with_an_error_only_when_something_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")  # without promtool, which has a say of its own
    good, bad = tmp_path / "good.prom", tmp_path / "bad.prom"
    good.write_text("# HELP mlctl_x_seconds X\n# TYPE mlctl_x_seconds gauge\nmlctl_x_seconds 1\n")
    bad.write_text("# TYPE mlctl_x_ms gauge\nmlctl_x_ms 1\n")
    codes = [
        CliRunner().invoke(app, ["lint", str(path), "-C", str(tmp_path)], standalone_mode=False).return_value
        for path in (good, bad)
    ]
    assert codes == [0, 1]


def test_a_moved_deployment_keeps_its_log(records: dict[str, Record], ctx: Context) -> None:
    moved = replace(records["deployments.api"], key=ObjectKey.parse("deployments.new#"))
    [place] = deployed({"deployments.new": moved}, ctx, "new")
    assert find([place], "r-1", "2026-11-22")[1][0][1]["request_id"] == "r-1"
