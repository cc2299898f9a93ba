"""mlctl observe: dashboards and rules of alerts for what the project deploys."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer

from mlctl.cli.options import make_group
from mlctl.cli.project import in_project
from mlctl.files import atomic
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.views.observing.alerts import alerts as rules_of
from mlctl.views.observing.dashboard import dashboard as dashboard_of
from mlctl.views.observing.watched import Deployed, Monitored, Watched
from mlctl.workspace import Workspace

app = make_group(
    "Watch what is deployed with your own tools: a dashboard for Grafana, rules of alerts for Prometheus.\n\n"
    "Examples:\n\n  mlctl observe dashboard --out dashboard.json\n\n  mlctl observe alerts --out alerts.yaml"
)
_LOOKED_AT, _MISSED = 8, 2.5  # runs of a schedule that come next; so many of its longest gap mean that it does not run
Out = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write it there, and not to standard output.")
]


@app.command(
    "dashboard",
    help="Render a dashboard for Grafana: a row for each deployment and monitor of the project. Its data source is a variable.\n\n"
    "Examples:\n\n  mlctl observe dashboard --out dashboard.json\n\n"
    "  mlctl observe dashboard | jq '{dashboard: ., overwrite: true}' | curl -d @- -H 'content-type: application/json' $GRAFANA/api/dashboards/db",
)
@in_project
def dashboard(workspace: Workspace, out: Out = None) -> int:
    """Print JSON, or write it."""
    return _give(json.dumps(dashboard_of(_watched(workspace)), indent=2, ensure_ascii=False) + "\n", out)


@app.command(
    "alerts",
    help="Render rules of alerts for Prometheus: servers that are gone, fail or are slow, logs that are dropped, drift, monitors that "
    "do not run.\n\nExamples:\n\n  mlctl observe alerts --out alerts.yaml\n\n  mlctl observe alerts > /etc/prometheus/rules/rides.yaml",
)
@in_project
def alerts(workspace: Workspace, out: Out = None) -> int:
    """Print YAML, or write it."""
    return _give(rules_of(_watched(workspace)), out)


def _give(text: str, out: Path | None) -> int:
    if out is None:
        sys.stdout.write(text)
        return ExitCode.OK
    try:
        atomic.write_bytes(out, text.encode(), mode=0o644)
    except OSError as error:
        raise MlctlError.of(
            "cli.unwritable", f"{out} cannot be written", error.strerror or str(error), "name another file with `--out`"
        ) from None
    print(out)
    return ExitCode.OK


def _watched(workspace: Workspace) -> Watched:
    """What the project says, applied or not. Raises MlctlError when there is nothing to watch."""
    project = workspace.project
    specs: dict[str, dict[str, object]] = {
        section: {} for section in ("deployments", "monitors", "experiments", "schedules")
    }
    for address, resource in sorted(project.resources.items(), key=lambda item: str(item[0])):
        if address.section in specs:
            specs[address.section][address.name] = resource.spec
    if not specs["deployments"]:
        raise MlctlError.of(
            "observe.nothing",
            "the project deploys nothing",
            "dashboards and alerts are about `deployments`",
            "add a deployment",
        )
    return Watched(
        project=project.name,
        environment=workspace.environment,
        deployments=tuple(_deployed(name, spec) for name, spec in specs["deployments"].items()),
        monitors=tuple(_monitored(name, spec, specs["schedules"].values()) for name, spec in specs["monitors"].items()),
        experiments=tuple(specs["experiments"]),
    )


def _deployed(name: str, spec: object) -> Deployed:
    from mlctl.providers.serving.spec.deployment import DeploymentSpec
    from mlctl.providers.serving.spec.engines import TorchEngine
    from mlctl.providers.serving.wanted import has_gateway

    if not isinstance(spec, DeploymentSpec):
        raise TypeError(f"deployments.{name} is of another kind")
    language = not isinstance(spec.serve.engine, TorchEngine)
    return Deployed(
        name,
        language,
        has_gateway(spec),
        spec.serve.timeout,
        spec.observe.traces is not None,
        spec.serve.cache is not None,
    )


def _monitored(name: str, spec: object, schedules: Iterable[object]) -> Monitored:
    parts = tuple(
        field
        for field in ("data", "labels", "estimated", "proxies", "prompts", "responses", "cost", "judge")
        if getattr(spec, field, None) is not None
    )
    deployment = str(getattr(spec, "deployment", ""))
    longest = [_longest(item) for item in schedules if f"monitors.{name}" in getattr(item, "targets", ())]
    if not longest:
        return Monitored(name, deployment, parts)
    return Monitored(name, deployment, parts, _MISSED * min(longest))


def _longest(schedule: object) -> float:
    """The longest time between two runs of a schedule, of those that come next, in seconds."""
    from mlctl.providers.local.schedule import next_runs

    runs = next_runs(str(getattr(schedule, "cron", "")), datetime.now().astimezone(), _LOOKED_AT)
    return max((later - one).total_seconds() for one, later in pairwise(runs))
