"""What a project knows of itself as metrics: what monitors found last, who is in an experiment, who answers how much.

All of it is read from what is kept on the disk, so that nothing has to run for it, and whoever asks twice hears the same.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from mlctl.files import atomic, decisions
from mlctl.provider import Context
from mlctl.providers.evidently.run import history
from mlctl.providers.serving import controllers
from mlctl.providers.serving.rollout_report import report
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Record
from mlctl.views.prometheus.page import Family, render
from mlctl.workspace import Workspace

FOLDER, FILE = "metrics", "mlctl.prom"
Sample = tuple[Mapping[str, str], float]

_TEXTS = {
    "mlctl_monitor_last_run_timestamp_seconds": "When a monitor ran last, as a Unix time",
    "mlctl_monitor_verdict": "1 for the verdict of a monitor's last run",
    "mlctl_drift_alarm": "How many alarms a part of a monitor raised in its last run",
    "mlctl_drift_score": "The effect that a test measured in the last run, in the test's own measure",
    "mlctl_drift_margin": "The effect from which on a test counts",
    "mlctl_label_lag_seconds": "How long labels took to come",
    "mlctl_label_coverage_ratio": "The share of ripe predictions that have a label",
    "mlctl_estimated_performance": "A metric estimated without labels, with its interval",
    "mlctl_experiment_users": "Units in an arm, as of the last analysis",
    "mlctl_traffic_weight": "The share of requests that a variant answers, as a ratio",
}


def page(workspace: Workspace) -> str:
    """The page of metrics of an environment."""
    _, context = workspace.reader()
    return render(families(workspace.records(), context))


def refresh(workspace: Workspace) -> Path:
    """Write the page where node_exporter's textfile collector, or anybody, can read it: whole or not at all. Raises MlctlError."""
    path = workspace.home / FOLDER / FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(path, page(workspace).encode(), mode=0o644)
    except OSError as error:
        raise MlctlError.of(
            "metrics.unwritable",
            f"{path} cannot be written",
            error.strerror or str(error),
            "see that the disk has room",
        ) from None
    return path


def renew(workspace: Workspace) -> None:
    """The same after a command whose own work is done: what goes wrong here is said, and changes nothing."""
    try:
        refresh(workspace)
    except MlctlError as error:
        print(f"the file of metrics is not renewed: {error.diagnostics[0].summary}", file=sys.stderr)


def families(records: Mapping[str, Record], ctx: Context) -> list[Family]:
    """All metrics, by name."""
    found: dict[str, list[Sample]] = {name: [] for name in _TEXTS}
    for address, record in sorted(records.items()):
        section, _, name = address.partition(".")
        made: Iterator[tuple[str, Mapping[str, str], float]] = iter(())
        if section == "monitors":
            made = _monitor(name, record, ctx)
        elif section == "experiments":
            made = _experiment(name, address, record, ctx)
        elif section == "deployments":
            made = _deployment(name, address, record, ctx)
        for metric, labels, value in made:
            found[metric].append((labels, value))
    return [Family(name, _TEXTS[name], tuple(samples)) for name, samples in found.items()]


def _monitor(name: str, record: Record, ctx: Context) -> Iterator[tuple[str, Mapping[str, str], float]]:
    runs = history(record, ctx)
    if not runs:
        return
    outputs: Mapping[str, Any] = runs[-1].outputs
    who = {"monitor": name, "deployment": str(record.spec.get("deployment", ""))}
    yield "mlctl_monitor_last_run_timestamp_seconds", who, datetime.fromisoformat(str(outputs["until"])).timestamp()
    for verdict in ("alarm", "ok", "no_data"):
        yield "mlctl_monitor_verdict", {**who, "verdict": verdict}, float(outputs["verdict"] == verdict)
    parts: Mapping[str, Any] = outputs["parts"]
    for part, figures in parts.items():
        alarms = sum(alarm["part"] == part for alarm in outputs["alarms"])
        yield "mlctl_drift_alarm", {**who, "part": part}, float(alarms)
        if part == "data":
            yield from _drift(who, figures)
        elif part == "labels":
            yield from _labels(who, figures)
        elif part == "estimated" and figures.get("value") is not None:
            for bound in ("value", "low", "high"):
                yield (
                    "mlctl_estimated_performance",
                    {**who, "metric": figures["metric"], "bound": bound},
                    figures[bound],
                )


def _drift(who: Mapping[str, str], figures: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, str], float]]:
    for feature, column in figures.get("columns", {}).items():
        for method, test in column.get("tests", {}).items():
            labels = {**who, "feature": feature, "method": method}
            for metric, field in (("mlctl_drift_score", "effect"), ("mlctl_drift_margin", "margin")):
                if isinstance(test.get(field), int | float):
                    yield metric, labels, float(test[field])


def _labels(who: Mapping[str, str], figures: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, str], float]]:
    lags = figures.get("lag_seconds") or {}
    for quantile, field in (("0.5", "p50"), ("0.95", "p95")):
        if lags.get(field) is not None:
            yield "mlctl_label_lag_seconds", {**who, "quantile": quantile}, float(lags[field])
    if figures.get("coverage") is not None:
        yield "mlctl_label_coverage_ratio", who, float(figures["coverage"])


def _experiment(
    name: str, address: str, record: Record, ctx: Context
) -> Iterator[tuple[str, Mapping[str, str], float]]:
    kept = [item for item in decisions.kept(ctx.home) if (item.kind, item.address) == ("experiment", address)]
    units: Any = kept[-1].outputs.get("units") if kept else None
    who = {"experiment": name, "deployment": str(record.spec.get("deployment", ""))}
    for arm, number in (units or {}).items():
        yield "mlctl_experiment_users", {**who, "arm": arm}, float(number)


def _deployment(
    name: str, address: str, record: Record, ctx: Context
) -> Iterator[tuple[str, Mapping[str, str], float]]:
    folder = controllers.folder_of(record.key, ctx)
    found = report(address, folder) if folder.is_dir() else None
    for variant in [] if found is None else found["variants"]:
        labels = {
            "deployment": name,
            "variant": variant["name"],
            "model": variant["model"],
            "version": variant["version"],
        }
        yield "mlctl_traffic_weight", labels, float(variant["percent"]) / 100
