"""mlctl destroy: remove what mlctl made."""

from __future__ import annotations

from typing import Annotated

import typer

from mlctl.cli.elsewhere import ForgetElsewhere
from mlctl.cli.handing_over import start_detached
from mlctl.cli.options import (
    AsJson,
    AutoApprove,
    Detach,
    LockTimeout,
    Parallelism,
    again,
    make_app,
    seconds_of,
    selected,
)
from mlctl.cli.project import in_project
from mlctl.cli.request import Request
from mlctl.cli.running import run
from mlctl.engine.operations import Operation
from mlctl.types.change import Mode
from mlctl.workspace import Workspace

app = make_app()

# what is removed takes along what was made with it, the other way round than what is made
_Targets = Annotated[
    list[str] | None,
    typer.Option(
        "--target", "-t", metavar="ADDRESS", help="Only this resource and what was made with it; may be given again."
    ),
]
_Exclude = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude", metavar="ADDRESS", help="Not this resource nor what it was made with; may be given again."
    ),
]


@app.command(
    help="Remove what mlctl made, dependents first. What it did not make is never touched: your data files stay.\n\n"
    "Examples:\n\n  mlctl destroy\n\n  mlctl destroy --target deployments.churn_api --auto-approve\n\n"
    "  mlctl plan --destroy --out teardown.plan   # to be reviewed, then: mlctl apply teardown.plan"
)
@in_project
def destroy(
    workspace: Workspace,
    target: _Targets = None,
    exclude: _Exclude = None,
    forget_elsewhere: ForgetElsewhere = False,
    detach: Detach = False,
    lock_timeout: LockTimeout = "0s",
    auto_approve: AutoApprove = False,
    parallelism: Parallelism = 4,
    as_json: AsJson = False,
) -> int:
    """Plan the removal and carry it out."""
    request = Request(
        Operation("destroy", selected(target, exclude, None, Mode.DESTROY), forget_elsewhere=forget_elsewhere),
        workspace.loaded,
        question="Remove all of these?",
        again=again(
            workspace, "destroy", {"--target": target, "--exclude": exclude, "--forget-elsewhere": forget_elsewhere}
        ),
        approved=auto_approve,
        as_json=as_json,
        parallelism=parallelism,
        wait_seconds=seconds_of(lock_timeout),
    )
    return start_detached(workspace, request) if detach else run(workspace, request)
