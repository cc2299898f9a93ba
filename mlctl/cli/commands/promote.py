"""mlctl promote: bring what one environment made and proved to another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from mlctl.cli import reviewing
from mlctl.cli.handing_over import start_detached
from mlctl.cli.options import (
    AsJson,
    AutoApprove,
    Detach,
    LockTimeout,
    Parallelism,
    Unhold,
    again,
    applying,
    make_app,
    seconds_of,
    selected,
)
from mlctl.cli.project import in_project
from mlctl.cli.request import Request, show_plan
from mlctl.cli.running import run
from mlctl.engine.operations import Operation
from mlctl.engine.saved import file as planfile
from mlctl.types.diagnostic import MlctlError
from mlctl.workspace import Workspace

app = make_app()


@app.command(
    help="Take the finished builds of one environment over into another, and apply the other's own services and definitions on "
    "them. Nothing is built: what the other environment asks differently is refused, and named.\n\n"
    "Examples:\n\n  mlctl promote --from dev --to prod\n\n  mlctl promote --from dev --to prod deployments.churn_api\n\n"
    "  mlctl promote --from dev --to prod --out release.plan && mlctl apply release.plan"
)
@in_project
def promote(
    workspace: Workspace,
    source: Annotated[str, typer.Option("--from", metavar="ENV", help="The environment that has the builds.")],
    to: Annotated[str, typer.Option("--to", metavar="ENV", help="The environment that gets them.")],
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[ADDRESS]...", help="Only these and what they need.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Save the plan for `mlctl apply`.")] = None,
    detach: Detach = False,
    unhold: Unhold = False,
    lock_timeout: LockTimeout = "0s",
    auto_approve: AutoApprove = False,
    parallelism: Parallelism = 4,
    as_json: AsJson = False,
) -> int:
    """Plan the other environment with what this one offers, ask, and apply."""
    if source == to:
        raise MlctlError.of("cli.usage", "`--from` and `--to` name the same environment", "", "name two")
    if workspace.chosen.environment not in (None, to):
        raise MlctlError.of(
            "cli.usage", "`--env` has no effect here", "`--from` and `--to` name both environments", "leave it out"
        )
    other = Workspace(workspace.root, workspace.file, replace(workspace.chosen, environment=to))
    operation = Operation("promote", selected(names, None, None), offer=reviewing.offer(workspace, source))
    options = {"--from": [source], "--to": [to], "": names or []}
    request = Request(
        operation,
        other.project,
        question=f"Promote these from {source} to {to}?",
        again=again(replace(workspace, chosen=replace(workspace.chosen, environment=None)), "promote", options),
        approved=auto_approve,
        as_json=as_json,
        parallelism=parallelism,
        wait_seconds=seconds_of(lock_timeout),
        unhold=unhold,
    )
    if out is not None:
        return _save(other, operation, out, as_json=as_json)
    return start_detached(other, request) if detach else run(other, request)


def _save(workspace: Workspace, operation: Operation, out: Path, *, as_json: bool) -> int:
    ledger, context = workspace.reader()
    plan = operation.plan(workspace.project, ledger, context)
    workspace.digests.save()
    show_plan(plan, workspace.warnings, operation.name, as_json=as_json)
    planfile.write(
        out,
        planfile.save(
            operation.name, plan, workspace.project, ledger, context.secrets, operation.extra(), context.prices
        ),
    )
    if not as_json:
        print(f"\nSaved to {out}. Apply exactly this with: {applying(workspace, out)}")
    return 0
