"""mlctl metrics: the project's own metrics, and whether metrics are as they should be."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mlctl.cli.metric_sources import ask_promtool, pages
from mlctl.cli.options import AsJson, emit_json, make_group
from mlctl.cli.project import in_project
from mlctl.cli.project_metrics import page, refresh
from mlctl.types.diagnostic import ExitCode
from mlctl.views.prometheus import lint as rules
from mlctl.views.prometheus.page import read
from mlctl.workspace import Workspace

app = make_group(
    "What the project knows as metrics: drift, labels, experiments, rollouts. Servers have their own at /metrics.\n\n"
    "Examples:\n\n  mlctl metrics write\n\n  mlctl metrics serve --port 9187\n\n  mlctl metrics lint"
)
DEFAULT_PORT = 9187


@app.command(
    "show",
    help="Print them: what monitors found last, how long labels took, who is in an experiment, who answers how much.\n\n"
    "Examples:\n\n  mlctl metrics show\n\n  mlctl metrics show | grep mlctl_drift_alarm",
)
@in_project
def show(workspace: Workspace) -> int:
    """Print the page."""
    sys.stdout.write(page(workspace))
    return ExitCode.OK


@app.command(
    "write",
    help="Write them into `.mlctl/ENV/metrics/mlctl.prom`, for node_exporter's textfile collector; swapped in whole. `monitor run` does "
    "it after each run.\n\nExamples:\n\n  mlctl metrics write\n\n"
    "  node_exporter --collector.textfile.directory=$PWD/.mlctl/prod/metrics",
)
@in_project
def write(workspace: Workspace) -> int:
    """Write the file, and say where."""
    print(refresh(workspace))
    return ExitCode.OK


@app.command(
    "serve",
    help="Serve them at http://127.0.0.1:PORT/metrics until Ctrl-C; they are read anew for each request.\n\n"
    "Examples:\n\n  mlctl metrics serve\n\n  mlctl metrics serve --port 9200 --env prod",
)
@in_project
def serve(
    workspace: Workspace,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="The port; 0 for any that is free.")
    ] = DEFAULT_PORT,
) -> int:
    """Answer Prometheus."""
    from mlctl.cli.metric_serving import serve as serve_pages

    return serve_pages(workspace, port)


@app.command(
    "lint",
    help="Look metrics over: base units, `_total` for counters, help, no ids in labels, not too many series. By our own rules, and by "
    "`promtool check metrics` where that is installed. Without SOURCE it looks at the project's and at those of its deployments "
    "that answer. Exit 1 when something is wrong.\n\n"
    "Examples:\n\n  mlctl metrics lint\n\n  mlctl metrics lint http://127.0.0.1:8080/metrics\n\n  mlctl metrics lint page.prom --all",
)
@in_project
def lint(
    workspace: Workspace,
    source: Annotated[
        str | None, typer.Argument(metavar="[URL|FILE]", help="A page of metrics; `-` for standard input.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also metrics that are not mlctl's.")] = False,
    token_env: Annotated[
        str, typer.Option("--token-env", metavar="NAME", help="The variable with the server's token, if it wants one.")
    ] = "",
    as_json: AsJson = False,
) -> int:
    """Print each problem, and how much was looked at."""
    worst: int = ExitCode.OK
    for name, text in pages(workspace, source, token_env):
        found = read(text)
        problems = [("mlctl", item) for item in rules.lint(found, everything=everything)]
        asked = ask_promtool(text, everything=everything)
        problems += [("promtool", item) for item in asked or ()]
        metrics = len({*found.types, *found.helps})
        for by, item in problems:
            if as_json:
                emit_json(
                    {
                        "type": "metric_problem",
                        "source": name,
                        "rule": item.rule,
                        "metric": item.metric,
                        "text": item.text,
                        "line": item.line,
                        "by": by,
                    }
                )
            else:
                print(f"{name}:{item.line}: {item.metric} {item.text} ({by}: {item.rule})")
        if as_json:
            emit_json(
                {
                    "type": "metrics_linted",
                    "source": name,
                    "metrics": metrics,
                    "series": len(found.series),
                    "problems": len(problems),
                    "promtool": asked is not None,
                }
            )
        else:
            promtool = "" if asked is not None else "; promtool is not installed and was not asked"
            print(f"{name}: {metrics} metrics, {len(found.series)} series, {len(problems)} problems{promtool}")
        worst = ExitCode.ERROR if problems else worst
    return worst
