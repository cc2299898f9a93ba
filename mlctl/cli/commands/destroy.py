"""mlctl destroy: remove what mlctl made."""

from __future__ import annotations

from mlctl.cli.options import (
    DEFAULT_DIR,
    AsJson,
    AutoApprove,
    Parallelism,
    ProjectDir,
    ProjectFile,
    Targets,
    addresses,
    make_app,
    open_workspace,
)
from mlctl.cli.running import run
from mlctl.engine import applier, planner

app = make_app()


@app.command(
    help="Remove what mlctl made, dependents first. What it did not make is never touched: your data files stay.\n\n"
    "Examples:\n\n  mlctl destroy\n\n  mlctl destroy --target deployments.churn_api --auto-approve"
)
def destroy(
    project: ProjectDir = DEFAULT_DIR,
    file: ProjectFile = None,
    target: Targets = None,
    auto_approve: AutoApprove = False,
    parallelism: Parallelism = 4,
    as_json: AsJson = False,
) -> int:
    """Plan the removal and carry it out."""
    workspace = open_workspace(project, file)
    chosen = addresses(target)
    return run(
        workspace,
        "destroy",
        lambda session, context: planner.destruction(workspace.loaded, session.ledger, chosen),
        lambda plan, session, context, emit: applier.destroy(
            plan, workspace.kind, session, context, emit, parallelism=parallelism
        ),
        approved=auto_approve,
        as_json=as_json,
        question="Remove all of these?",
    )
