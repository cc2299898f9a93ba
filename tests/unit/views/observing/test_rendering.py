from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlctl.views.observing.alerts import alerts
from mlctl.views.observing.dashboard import dashboard
from mlctl.views.observing.watched import Deployed, Monitored, Watched

WATCHED = Watched(
    "rides", "prod",
    (Deployed("churn_api", language=False, gateway=True, timeout_seconds=30.0, traced=True, cached=True),
     Deployed("support", language=True, gateway=False, timeout_seconds=120.0, traced=False, cached=False)),
    (Monitored("churn_drift", "churn_api", ("data", "labels", "estimated")), Monitored("plain", "support", ())), ("offer",),
)  # fmt: skip
# Our metrics, as servers and the project name them; histograms by their buckets.
KNOWN = {
    "mlctl_requests_total", "mlctl_request_duration_seconds_bucket", "mlctl_traffic_weight", "mlctl_feature_missing_total", "mlctl_cache_total",
    "mlctl_running_requests", "mlctl_waiting_requests", "mlctl_log_dropped_total", "mlctl_spans_dropped_total", "mlctl_resident_bytes",
    "mlctl_time_to_first_token_seconds_bucket", "mlctl_time_per_output_token_seconds_bucket", "mlctl_prompt_tokens_total",
    "mlctl_generation_tokens_total", "mlctl_drift_alarm", "mlctl_drift_score", "mlctl_drift_margin", "mlctl_label_lag_seconds",
    "mlctl_label_coverage_ratio", "mlctl_estimated_performance", "mlctl_experiment_users", "mlctl_monitor_last_run_timestamp_seconds",
    "mlctl_monitor_verdict",
}  # fmt: skip


def expressions(found: dict[str, Any]) -> list[str]:
    return [target["expr"] for panel in found["panels"] for target in panel.get("targets", ())]


def test_a_dashboard_has_what_grafana_needs_and_its_panels_do_not_overlap() -> None:
    found = dashboard(WATCHED)
    assert {"uid", "title", "schemaVersion", "panels", "templating", "time"} <= found.keys()
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", found["uid"])
    assert found["templating"]["list"][0]["type"] == "datasource"
    ids = [panel["id"] for panel in found["panels"]]
    assert len(ids) == len(set(ids))
    boxes = [panel["gridPos"] for panel in found["panels"]]
    assert all(box["x"] + box["w"] <= 24 for box in boxes)
    for one, two in itertools.combinations(boxes, 2):
        apart = one["x"] + one["w"] <= two["x"] or two["x"] + two["w"] <= one["x"]
        above = one["y"] + one["h"] <= two["y"] or two["y"] + two["h"] <= one["y"]
        assert apart or above, (one, two)
    for panel in found["panels"]:
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}"
            assert [target["refId"] for target in panel["targets"]] == sorted(
                {target["refId"] for target in panel["targets"]}
            )


def test_only_metrics_that_exist_are_asked_for() -> None:
    used = {name for text in expressions(dashboard(WATCHED)) for name in re.findall(r"mlctl_\w+", text)}
    assert used - {"mlctl_request_duration_seconds"} <= KNOWN
    rules = {name for name in re.findall(r"mlctl_\w+", alerts(WATCHED))}
    assert rules <= KNOWN


def test_each_deployment_and_monitor_has_its_row_with_what_it_has() -> None:
    found = dashboard(WATCHED)
    titles = [panel["title"] for panel in found["panels"]]
    assert [title for panel, title in zip(found["panels"], titles, strict=True) if panel["type"] == "row"] == [
        "Deployment churn_api", "Deployment support", "Monitor churn_drift of churn_api", "Monitor plain of support", "Experiments",
    ]  # fmt: skip
    assert (titles.count("Traffic"), titles.count("Time to the first token"), titles.count("How long labels take")) == (
        1,
        1,
        1,
    )


def test_a_classifier_that_tells_nothing_apart_has_drifted_by_nothing() -> None:
    """Its area is 0.5 then, and its margin 0.55: nine tenths of it, if one were divided by the other."""
    [share] = [text for text in expressions(dashboard(WATCHED)) if "mlctl_drift_score" in text]
    area = 'monitor="churn_drift",method="domain_classifier"'
    assert f"(mlctl_drift_score{{{area}}} - 0.5) / (mlctl_drift_margin{{{area}}} - 0.5)" in share
    assert 'mlctl_drift_score{monitor="churn_drift",method!="domain_classifier"} /' in share


def test_rules_are_yaml_with_a_deployment_and_a_severity_each() -> None:
    found = yaml.safe_load(alerts(WATCHED))
    rules = [rule for group in found["groups"] for rule in group["rules"]]
    assert len({group["name"] for group in found["groups"]}) == 4
    assert {rule["labels"]["deployment"] for rule in rules} == {"churn_api", "support"}
    assert all(
        rule["annotations"]["summary"] and rule["labels"]["severity"] in ("critical", "warning", "info")
        for rule in rules
    )
    slow = next(rule for rule in rules if rule["alert"] == "MlctlSlow" and rule["labels"]["deployment"] == "support")
    assert "> 96" in slow["expr"]


def test_a_monitor_that_never_ran_or_finds_nothing_to_test_is_told() -> None:
    """A series that is not there is greater than nothing, and a monitor without data raises no alarm of its own."""
    rules = {
        rule["alert"]: rule["expr"]
        for group in yaml.safe_load(alerts(WATCHED))["groups"]
        for rule in group["rules"]
        if "plain" in group["name"]
    }
    assert rules["MlctlMonitorUnknown"] == 'absent(mlctl_monitor_last_run_timestamp_seconds{monitor="plain"})'
    assert rules["MlctlMonitorNoData"] == 'mlctl_monitor_verdict{monitor="plain",verdict="no_data"} > 0'


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_itself_takes_the_rules(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(alerts(WATCHED))
    done = subprocess.run(["promtool", "check", "rules", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_monitor_is_stale_by_its_own_schedule() -> None:
    weekly = Watched("p", "default", (), (Monitored("slow", "api", ("data",), 17.5 * 86_400),), ())
    (rule,) = [line for line in alerts(weekly).splitlines() if "last_run_timestamp" in line and "time()" in line]
    assert "> 1512000" in rule
