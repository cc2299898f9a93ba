"""The section "monitoring" of the ML Test Score."""

from __future__ import annotations

from mlctl.audit.case import Case, Subject, live
from mlctl.audit.maturity.check import Check, Seen, every, some
from mlctl.audit.maturity.data import data_checked, sources

_LATENCY = ("seconds", "latency", "ttft", "tpot")


def watched(case: Case) -> Seen:
    """Each living deployment has a monitor of what it is asked and answers."""

    def has(deployment: Subject) -> bool:
        return any(item.get("data") or item.get("responses") for item in case.users(deployment, "monitors"))

    return every(live(case), has, "deployments with a monitor of data or responses")


def quality_watched(case: Case) -> Seen:
    """Each living deployment has a monitor that learns whether answers were right."""
    parts = ("labels", "proxies", "judge")

    def has(deployment: Subject) -> bool:
        return any(item.get(part) for item in case.users(deployment, "monitors") for part in parts)

    return every(live(case), has, "deployments with a monitor of labels, proxies or a judge")


def retrained(case: Case) -> Seen:
    """Something trains again without being asked."""
    scheduled = [item for item in case.all("schedules") if item.get("run") == "retrain"]
    alarmed = [item for item in case.all("monitors") if item.get("on_alarm.retrain")]
    names = ", ".join(str(item.address) for item in (*scheduled, *alarmed))
    return Seen(bool(names), f"schedules and alarms that retrain: {names or 'none'}")


def _upstream(case: Case) -> Seen:
    def has(source: Subject) -> bool:
        checks = case.users(source, "data_checks")
        return any(item.get("contract") or any("schema" in rule for rule in item.get("rules") or []) for item in checks)

    return some(sources(case), has, "sources with a schema or a contract")


def _invariants(case: Case) -> Seen:
    trained, served = data_checked(case), watched(case)
    return Seen(trained.passed and served.passed, f"{trained.evidence}; {served.evidence}")


def _skew(case: Case) -> Seen:
    def has(deployment: Subject) -> bool:
        made = case.checked(deployment.address, "parity")
        return deployment.get("require.feature_parity") is not None or (
            made is not None and made.verdict == "passed" and case.days_since(made.at) <= 7
        )

    return every(live(case), has, "deployments whose features were compared in 7 days")


def _scores(case: Case) -> Seen:
    def has(monitor: Subject) -> bool:
        return "prediction score" in (monitor.output("parts.data.tests") or {})

    return some(case.all("monitors"), has, "monitors of the prediction score")


def _performance(case: Case) -> Seen:
    def has(deployment: Subject) -> bool:
        gates = (deployment.get("gates") or {}).values()
        metrics = [item.get("name", "") for gate in gates for item in gate.get("metrics") or []]
        return any(part in metric for metric in metrics for part in _LATENCY)

    return every(case.all("deployments"), has, "deployments with a gate on latency")


CHECKS = (
    Check("upstream-changes", "A changed source is noticed", "add a `schema` rule, or a `contract`", _upstream),
    Check(
        "invariants",
        "What holds for training data is watched in serving",
        "add `data_checks` and `monitors`",
        _invariants,
    ),
    Check("skew", "Training and serving see the same", "mlctl features parity --deployment NAME", _skew),
    Check("age", "Models do not get too old", "add `schedules` with `run: retrain`", retrained),
    Check("stability", "Scores are watched for what no model should say", "add `data` to a monitor", _scores),
    Check(
        "performance",
        "A slower version is noticed",
        "add `{name: p99_seconds, max_ratio: 1.1}` to a gate",
        _performance,
    ),
    Check("quality", "Worse predictions are noticed", "add `labels` or `proxies` to a monitor", quality_watched),
)
