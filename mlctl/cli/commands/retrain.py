"""mlctl retrain: train again if there is a reason, and deploy what passes the gates."""

from __future__ import annotations

from typing import Annotated

import typer

from mlctl.cli.handing_over import start_detached
from mlctl.cli.options import (
    AsJson,
    AutoApprove,
    Detach,
    LockTimeout,
    Parallelism,
    Unhold,
    addresses,
    again,
    make_app,
    seconds_of,
)
from mlctl.cli.project import in_project
from mlctl.cli.request import Request
from mlctl.cli.running import run
from mlctl.engine import planner
from mlctl.engine.operations import Operation
from mlctl.types.change import Selection
from mlctl.types.diagnostic import MlctlError
from mlctl.workspace import Workspace

app = make_app()


@app.command(
    help="Look at the data anew and apply what follows: checks, features, training, evaluation, and within their gates the "
    "deployments. Trains nothing when neither data, code nor project changed. This is what cron calls.\n\n"
    "Examples:\n\n  mlctl retrain --auto-approve\n\n  mlctl retrain training.churn --auto-approve --json",
)
@in_project
def retrain(
    workspace: Workspace,
    targets: Annotated[list[str] | None, typer.Argument(help="Trainings; all of them when left out.")] = None,
    detach: Detach = False,
    unhold: Unhold = False,
    lock_timeout: LockTimeout = "0s",
    auto_approve: AutoApprove = False,
    parallelism: Parallelism = 4,
    as_json: AsJson = False,
) -> int:
    """Plan and apply trainings with all that leads to them and all that follows from them."""
    opened = workspace.project
    wanted = addresses(targets) or tuple(address for address in opened.order if address.section == "training")
    if not wanted:
        raise MlctlError.of("cli.nothing-to-do", "the project has no `training`", "", "")
    chosen = tuple(sorted(planner.downstream(opened, wanted)))
    request = Request(
        Operation("retrain", Selection(chosen, unattended=True)),
        opened,
        question="Train and deploy?",
        again=again(workspace, "retrain", {"": targets or []}),
        approved=auto_approve,
        as_json=as_json,
        parallelism=parallelism,
        wait_seconds=seconds_of(lock_timeout),
        unhold=unhold,
    )
    return start_detached(workspace, request) if detach else run(workspace, request)
