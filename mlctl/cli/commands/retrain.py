"""mlctl retrain: train again if there is a reason, and deploy what passes the gates."""

from __future__ import annotations

from typing import Annotated

import typer

from mlctl.cli.options import (
    DEFAULT_DIR,
    AsJson,
    AutoApprove,
    Parallelism,
    ProjectDir,
    ProjectFile,
    addresses,
    make_app,
    open_workspace,
)
from mlctl.cli.running import run
from mlctl.engine import applier, planner
from mlctl.types.diagnostic import MlctlError

app = make_app()


@app.command(
    help="Look at the data anew and apply what follows: checks, features, training, evaluation, and within their gates the "
    "deployments. Trains nothing when neither data, code nor project changed. This is what cron calls.\n\n"
    "Examples:\n\n  mlctl retrain --auto-approve\n\n  mlctl retrain training.churn --auto-approve --json",
)
def retrain(
    targets: Annotated[list[str] | None, typer.Argument(help="Trainings; all of them when left out.")] = None,
    project: ProjectDir = DEFAULT_DIR,
    file: ProjectFile = None,
    auto_approve: AutoApprove = False,
    parallelism: Parallelism = 4,
    as_json: AsJson = False,
) -> int:
    """Plan and apply trainings with all that leads to them and all that follows from them."""
    workspace = open_workspace(project, file)
    opened = workspace.project
    wanted = addresses(targets) or tuple(address for address in opened.order if address.section == "training")
    if not wanted:
        raise MlctlError.of("cli.nothing-to-do", "the project has no `training`", "", "")
    chosen = tuple(sorted(planner.downstream(opened, wanted)))
    return run(
        workspace,
        "retrain",
        lambda session, context: planner.plan(opened, session.ledger, context, targets=chosen),
        lambda plan, session, context, emit: applier.apply(
            plan, opened, workspace.kind, session, context, emit, parallelism=parallelism
        ),
        approved=auto_approve,
        as_json=as_json,
        question="Train and deploy?",
    )
