"""mlctl rollback: go back to the result of an earlier run."""

from __future__ import annotations

from typing import Annotated

import typer

from mlctl.cli import reviewing
from mlctl.cli.handing_over import start_detached
from mlctl.cli.options import AsJson, AutoApprove, Detach, LockTimeout, Parallelism, again, make_app, seconds_of
from mlctl.cli.project import in_project
from mlctl.cli.request import Request, history
from mlctl.cli.running import run as run_request
from mlctl.engine import rollback as engine
from mlctl.engine.operations import Operation
from mlctl.types.change import Selection
from mlctl.workspace import Workspace

app = make_app()


@app.command(
    help="Go back to the result of an earlier run: its configuration is planned onto the present state. Builds that are still "
    "kept are used again, deployments go back. The result is then held: apply and retrain refuse to change it until "
    "`mlctl apply --unhold`.\n\n"
    'Examples:\n\n  mlctl rollback --why "error rate is up"\n\n  mlctl rollback 7f3a --auto-approve'
)
@in_project
def rollback(
    workspace: Workspace,
    run: Annotated[
        str | None, typer.Argument(help="The run to go back to; the last good one before the present.")
    ] = None,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, kept with the hold.")] = "",
    detach: Detach = False,
    lock_timeout: LockTimeout = "0s",
    auto_approve: AutoApprove = False,
    parallelism: Parallelism = 4,
    as_json: AsJson = False,
) -> int:
    """Plan the way back, ask, and go."""
    target = engine.target(history(workspace), run)
    saved = target.saved()
    inside = reviewing.of_past(workspace, saved)
    pins = engine.pins(target.read(), workspace.ledger(), workspace.kind)
    request = Request(
        Operation("rollback", Selection(), pins=pins, target=target.id, why=why),
        inside.project,
        question=f"Go back to run {target.id} of {target.read().since}?",
        again=again(workspace, "rollback", {"": [target.id]}),
        approved=auto_approve,
        as_json=as_json,
        parallelism=parallelism,
        wait_seconds=seconds_of(lock_timeout),
    )
    return start_detached(inside, request) if detach else run_request(inside, request)
