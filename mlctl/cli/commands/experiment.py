"""mlctl experiment: size a design, certify it, assign units."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlctl.cli.experiment_analyzing import ANALYZE_HELP, PROMOTE_HELP, analyze, promote
from mlctl.cli.options import AsJson, emit_json, make_group
from mlctl.cli.project import in_project
from mlctl.types.diagnostic import ExitCode
from mlctl.workspace import Workspace

app = make_group(
    "Size a design before it is run, certify it, assign units, and decide.\n\n"
    "Examples:\n\n  mlctl experiment size\n\n  mlctl experiment certify\n\n  mlctl experiment assign churn_offer user-42"
)
Name = Annotated[str | None, typer.Argument(help="The experiment; may be left out when there is only one.")]
app.command("analyze", help=ANALYZE_HELP)(analyze)
app.command("promote", help=PROMOTE_HELP)(promote)


@app.command(
    "size",
    help="Print the sample size, the duration and what fewer or more weeks would find. Works on the project as written. Units a "
    "day are those of the design, or counted in the prediction log of the deployment.\n\n"
    "Examples:\n\n  mlctl experiment size\n\n  mlctl experiment size churn_offer --html size.html",
)
@in_project
def size(
    workspace: Workspace,
    name: Name = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page with the curve.")] = None,
    as_json: AsJson = False,
) -> int:
    """Compute the design."""
    from mlctl.cli.benchmarking import writable
    from mlctl.cli.experimenting import spec_of, traffic_of
    from mlctl.providers.ab_test.report import size_report, size_text

    if html is not None:
        writable(html)
    wanted, spec = spec_of(workspace, name)
    report = size_report(spec, workspace.project.name, wanted, traffic_of(workspace, spec))
    if html is not None:
        from mlctl.files import atomic
        from mlctl.views.html import experiment_size

        atomic.write_bytes(html, experiment_size.render(report, size_text(report)).encode())
    if as_json:
        report["metric_type"] = report.pop("type")
        emit_json({"type": "experiment_size", **report})
    else:
        print(size_text(report))
    return ExitCode.OK


@app.command(
    "certify",
    help="Push synthetic streams, with and without the effect, through the design as written: its looks, guardrails, sample "
    "ratio check and rule. Prints how often it says something false and how often it finds the effect, with intervals. Exit 3 "
    "when it says more that is false than alpha, or finds less than its power.\n\n"
    "Examples:\n\n  mlctl experiment certify\n\n  mlctl experiment certify churn_offer --runs 2000 --json",
)
@in_project
def certify(
    workspace: Workspace,
    name: Name = None,
    runs: Annotated[int, typer.Option("--runs", min=100, max=1_000_000, help="Streams of each kind.")] = 10_000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed draws the same streams.")] = 0,
    as_json: AsJson = False,
) -> int:
    """Play it before anybody sees it."""
    from mlctl.cli.experimenting import run_certify
    from mlctl.providers.ab_test.certify import certify_text, exit_code

    report = run_certify(workspace, name, runs, seed)
    if as_json:
        emit_json({"type": "experiment_certificate", **report})
    else:
        print(certify_text(report))
    return exit_code(report)


@app.command(
    "assign",
    help="Print the arm of a unit. The same unit has the same arm on every machine and run, and keeps it when coverage or "
    "weights change, as far as they leave it one.\n\n"
    "Examples:\n\n  mlctl experiment assign churn_offer user-42 user-43",
)
@in_project
def assign(
    workspace: Workspace,
    name: Annotated[str, typer.Argument(help="The experiment.")],
    units: Annotated[list[str], typer.Argument(help="Ids of units.")],
    as_json: AsJson = False,
) -> int:
    """Assign units by the salt and the ranges in the state."""
    from mlctl.cli.experimenting import picked, show_assignments

    show_assignments(picked(workspace, name), units, as_json=as_json)
    return ExitCode.OK


@app.command(
    "verify-hash",
    help="Print what a front end has to come to for some ids: salt, ranges, bucket and arm, by GrowthBook's hash. With --file "
    "check what it assigned: exit 1 when a unit is in another arm.\n\n"
    "Examples:\n\n  mlctl experiment verify-hash churn_offer --json\n\n  mlctl experiment verify-hash churn_offer --check assigned.json",
)
@in_project
def verify_hash(
    workspace: Workspace,
    name: Name = None,
    check: Annotated[
        Path | None,
        typer.Option(
            "--check", metavar="FILE", help="Assignments as JSON: an object of unit and arm, or null for no arm."
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Vectors, or a comparison."""
    from mlctl.cli.experimenting import check_file, picked, show_vectors

    record = picked(workspace, name)
    if check is None:
        show_vectors(record, as_json=as_json)
        return ExitCode.OK
    return check_file(record, check, as_json=as_json)
