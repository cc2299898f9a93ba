"""mlctl cost estimate: what every resource takes where the project puts it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from mlctl.cli.options import AsJson, addresses, emit_json
from mlctl.cli.pricing import AllowStale, Price, priced, show_prices_of
from mlctl.cli.project import in_project
from mlctl.types.diagnostic import ExitCode, Severity
from mlctl.workspace import Workspace

if TYPE_CHECKING:
    from mlctl.cli.costing.workloads import Found
    from mlctl.views.human.cost_estimate import Line

HELP = (
    "What the project takes of memory, time, money and disk where it puts things: a line a resource, and all of them together. "
    "Of what is made already too. Needs no state.\n\n"
    "Examples:\n\n  mlctl cost estimate\n\n  mlctl cost estimate training.churn --price H100=2.10\n\n"
    "  mlctl cost estimate --rows visits=2000000   # before the dataset is there\n\n  mlctl cost estimate --json"
)
Addresses = Annotated[
    list[str] | None, typer.Argument(metavar="[ADDRESS]...", help="Only these resources; all of them when left out.")
]
Rows = Annotated[
    list[str] | None,
    typer.Option("--rows", metavar="DATASET=N", help="Rows of a dataset that is not made yet; may be given again."),
]


@in_project
def estimate(
    workspace: Workspace,
    address: Addresses = None,
    rows: Rows = None,
    price: Price = None,
    allow_stale: AllowStale = False,
    as_json: AsJson = False,
) -> int:
    """Print the lines."""
    import sys

    from mlctl.cli.costing.workloads import assumed_rows, workloads
    from mlctl.views.human import cost_estimate
    from mlctl.views.human.style import wants_color

    priced(workspace, price, allow_stale=allow_stale)
    found = workloads(workspace, addresses(address), assumed_rows(workspace, rows))
    lines = [line_of(item) for item in found]
    if as_json:
        emit(lines)
    else:
        sys.stdout.write(cost_estimate.render(lines, color=wants_color(sys.stdout)))
    estimates = [line.estimate for line in lines if line.estimate is not None]
    show_prices_of(estimates, workspace.prices, as_json=as_json)
    tell_budget(workspace, lines, as_json=as_json)
    return ExitCode.ERROR if any(line.refused for line in lines) else ExitCode.OK


def line_of(found: Found) -> Line:
    """One resource as the views know it."""
    from mlctl.estimate.workload import Stores
    from mlctl.views.human.cost_estimate import Line

    disk = found.workload.disk if isinstance(found.workload, Stores) else None
    fix = "" if found.refused is None else found.refused.diagnostics[0].fix
    return Line(found.address, found.estimate, disk, found.made, found.why, found.refused is not None, fix)


def tell_budget(workspace: Workspace, lines: Sequence[Line], *, as_json: bool) -> None:
    """A word on what the project's budget refuses, or may end, when it is planned. What is made is not paid for again."""
    from mlctl.cli.telling import tell
    from mlctl.engine import budget, budget_lines
    from mlctl.estimate.limits import BUDGET

    given = workspace.project.settings.get(BUDGET)
    counted = [
        budget_lines.Line.of(line.address, line.estimate, there=line.made)
        for line in lines
        if line.estimate is not None and (line.estimate.lasting or not line.made)
    ]
    found = [item for item in budget.judge(given or {}, counted) if item.code != budget.NOT_KNOWN]
    told = [budget.diagnostic(item, workspace.project, workspace.prices) for item in found]
    tell([replace(item, severity=Severity.WARNING) for item in told], as_json=as_json)


def emit(lines: list[Line]) -> None:
    """A line of JSON for each resource, and one for all."""
    from mlctl.views.human.cost_estimate import summed

    for line in lines:
        emit_json(
            {
                "type": "cost_estimate",
                "address": line.address,
                "state": "made" if line.made else "refused" if line.refused else "to_be_made",
                "estimate": None if line.estimate is None else line.estimate.to_json(),
                "disk": None if line.disk is None else line.disk.to_json(),
                "why": line.why,
            }
        )
    every, rest = summed(lines, anew=True), summed(lines, anew=False)
    emit_json(
        {
            "type": "cost_total",
            "all": None if every is None else every.to_json(),
            "to_be_made": None if rest is None else rest.to_json(),
        }
    )
