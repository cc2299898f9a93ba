"""mlctl experiment: size a design, assign units."""

from __future__ import annotations

from typing import Annotated

import typer

from mlctl.cli.options import AsJson, emit_json, make_group, pick
from mlctl.cli.project import in_project
from mlctl.providers.ab_test.assignment import assign as arm_of
from mlctl.providers.ab_test.report import size_report, size_text
from mlctl.providers.ab_test.spec import ExperimentSpec
from mlctl.types.address import Address
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.workspace import Workspace

app = make_group(
    "Size a design before it is run, and assign units.\n\n"
    "Examples:\n\n  mlctl experiment size\n\n  mlctl experiment assign churn_offer user-42"
)
Name = Annotated[str | None, typer.Argument(help="The experiment; may be left out when there is only one.")]


@app.command(
    "size",
    help="Print the sample size, the duration and what fewer or more weeks would find. Works on the project as written.\n\n"
    "Examples:\n\n  mlctl experiment size\n\n  mlctl experiment size churn_offer --json",
)
@in_project
def size(workspace: Workspace, name: Name = None, as_json: AsJson = False) -> int:
    """Compute the design."""
    opened = workspace.project
    specs = {
        address.name: resource.spec
        for address, resource in opened.resources.items()
        if address.section == "experiments"
    }
    wanted = (name or "").removeprefix("experiments.") or (next(iter(specs)) if len(specs) == 1 else "")
    spec = specs.get(wanted)
    if not isinstance(spec, ExperimentSpec):
        summary = f"there is no `{Address('experiments', wanted)}`" if wanted else "name an experiment"
        raise MlctlError.of("cli.unknown-name", summary, "", did_you_mean(wanted, specs))
    report = size_report(spec, opened.name, wanted)
    if as_json:
        report["metric_type"] = report.pop("type")
        emit_json({"type": "experiment_size", **report})
    else:
        print(size_text(report))
    return 0


@app.command(
    "assign",
    help="Print the arm of a unit. The same unit has the same arm on every machine and run.\n\n"
    "Examples:\n\n  mlctl experiment assign churn_offer user-42",
)
@in_project
def assign(
    workspace: Workspace,
    name: Annotated[str, typer.Argument(help="The experiment.")],
    units: Annotated[list[str], typer.Argument(help="Ids of units.")],
    as_json: AsJson = False,
) -> int:
    """Assign units by the salt and the ranges in the state."""
    record = pick(workspace.records(), "experiments", name)
    for unit in units:
        arm = arm_of(record, unit)
        if as_json:
            emit_json({"type": "assignment", "unit": unit, "arm": arm})
        else:
            print(f"{unit}  {arm or '(not in the experiment)'}")
    return 0
