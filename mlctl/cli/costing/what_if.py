"""mlctl cost what-if: the project with other values, beside the project as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlctl.cli.costing.compare import asked, compare_all, offers, tell_stale
from mlctl.cli.costing.estimate import Rows, line_of, tell_budget
from mlctl.cli.options import AsJson, emit_json
from mlctl.cli.pricing import AllowStale, Price, priced, show_prices_of
from mlctl.cli.project import in_project
from mlctl.types.diagnostic import ExitCode
from mlctl.workspace import Workspace

if TYPE_CHECKING:
    from mlctl.types.estimate import Estimate
    from mlctl.views.human.cost_estimate import Line

HELP = (
    "What the project would take with other values, beside what it takes as it is. Values are checked as if they stood in the "
    "file, and are never written.\n\n"
    "Examples:\n\n  mlctl cost what-if --set training.assistant.batch_size=64\n\n"
    "  mlctl cost what-if --set training.assistant.executor.gpus=8 --set training.assistant.strategy=auto\n\n"
    '  mlctl cost what-if --set "training.assistant.method={type: lora, r: 16}" --compare'
)
Sets = Annotated[
    list[str],
    typer.Option(
        "--set", metavar="PATH=VALUE", help="The value of a field, with the block's address; may be given again."
    ),
]


@in_project
def what_if(
    workspace: Workspace,
    values: Sets,
    rows: Rows = None,
    price: Price = None,
    allow_stale: AllowStale = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Show too what it would then take on other devices.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Print both sides."""
    import sys

    from mlctl.cli.costing.workloads import assumed_rows, workloads
    from mlctl.spec.assigned import Assignment
    from mlctl.views.human import cost_what_if
    from mlctl.views.human.style import wants_color

    priced(workspace, price, allow_stale=allow_stale)
    given = tuple(Assignment.of(text) for text in values)
    changed = Workspace(workspace.root, workspace.file, workspace.chosen, pricing=workspace.pricing, given=given)
    found = workloads(changed, (), assumed_rows(changed, rows))  # what is wrong with a value is told before anything
    before = [line_of(item) for item in workloads(workspace, (), assumed_rows(workspace, rows))]
    after = [line_of(item) for item in found]
    if as_json:
        emit(before, after, values)
    else:
        sys.stdout.write(cost_what_if.render(before, after, color=wants_color(sys.stdout)))
    show_prices_of([line.estimate for line in after if line.estimate is not None], changed.prices, as_json=as_json)
    tell_budget(changed, after, as_json=as_json)
    if compare:
        tell_stale(changed, asked(changed), as_json=as_json)
        compare_all(changed, found, offers(changed), as_json=as_json)
    return ExitCode.ERROR if any(line.refused for line in after) else ExitCode.OK


def emit(before: list[Line], after: list[Line], values: list[str]) -> None:
    """A line of JSON for each resource, and one for all."""
    from mlctl.views.human.cost_estimate import summed
    from mlctl.views.human.cost_what_if import pairs

    for name, was, now in pairs(before, after):
        emit_json({"type": "cost_what_if", "address": name, "set": values, "today": _side(was), "then": _side(now)})
    totals = (summed(before, anew=True), summed(after, anew=True))
    emit_json(
        {"type": "cost_what_if_total", "set": values, **dict(zip(("today", "then"), map(_json, totals), strict=True))}
    )


def _side(line: Line | None) -> dict[str, Any] | None:
    if line is None:
        return None
    return {"refused": line.refused, "why": line.why, "estimate": _json(line.estimate)}


def _json(found: Estimate | None) -> dict[str, Any] | None:
    return None if found is None else found.to_json()
