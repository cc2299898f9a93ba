"""mlctl apply: make the real objects match the project."""

from __future__ import annotations

from mlctl.cli.options import (
    DEFAULT_DIR,
    AsJson,
    AutoApprove,
    Parallelism,
    ProjectDir,
    ProjectFile,
    Refresh,
    Targets,
    addresses,
    make_app,
    open_workspace,
)
from mlctl.cli.running import run
from mlctl.engine import applier, planner

app = make_app()


@app.command(
    help="Make the real objects match the project: plan, ask, and carry out.\n\n"
    "A kill at any moment loses nothing: the next apply joins, resumes or repeats what was cut off.\n\n"
    "Examples:\n\n  mlctl apply\n\n  mlctl apply --auto-approve --json   # for CI\n\n  mlctl apply --target evaluations.churn_gate"
)
def apply(
    project: ProjectDir = DEFAULT_DIR,
    file: ProjectFile = None,
    target: Targets = None,
    refresh: Refresh = "true",
    auto_approve: AutoApprove = False,
    parallelism: Parallelism = 4,
    as_json: AsJson = False,
) -> int:
    """Plan and apply."""
    workspace = open_workspace(project, file, refresh)
    opened = workspace.project
    chosen = addresses(target)
    return run(
        workspace,
        "apply",
        lambda session, context: planner.plan(
            opened, session.ledger, context, targets=chosen, refresh=refresh != "false"
        ),
        lambda plan, session, context, emit: applier.apply(
            plan, opened, workspace.kind, session, context, emit, parallelism=parallelism
        ),
        approved=auto_approve,
        as_json=as_json,
        question="Apply these changes?",
    )
