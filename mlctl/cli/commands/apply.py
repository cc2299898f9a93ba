"""mlctl apply: make the real objects match the project."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from mlctl.cli import reviewing
from mlctl.cli.elsewhere import ForgetElsewhere
from mlctl.cli.handing_over import start_detached
from mlctl.cli.options import (
    AsJson,
    AutoApprove,
    Detach,
    Exclude,
    LockTimeout,
    Parallelism,
    Refresh,
    Replace,
    Targets,
    Unhold,
    again,
    make_app,
    refreshing,
    seconds_of,
    selected,
)
from mlctl.cli.pricing import AllowStale, Price, priced, repeated
from mlctl.cli.project import in_project
from mlctl.cli.request import Request
from mlctl.cli.running import run
from mlctl.engine.operations import Operation
from mlctl.engine.runs import RunFolder
from mlctl.types.change import Mode
from mlctl.workspace import Workspace

app = make_app()

_Plan = Annotated[
    Path | None, typer.Argument(metavar="[PLAN]", help="A file from `mlctl plan --out`; nothing is asked.")
]
_RefreshOnly = Annotated[
    bool, typer.Option("--refresh-only", help="Take what the tools report into the state, and touch no tool.")
]


@app.command(
    help="Make the real objects match the project: plan, ask, and carry out; or carry out a plan that was saved and reviewed.\n\n"
    "A kill at any moment loses nothing: the next apply joins, resumes or repeats what was cut off. Ctrl-C asks whether to "
    "detach, to stop at the next checkpoint, or to kill.\n\n"
    "Examples:\n\n  mlctl apply\n\n  mlctl plan --out change.plan && mlctl apply change.plan   # exactly what was reviewed\n\n"
    "  mlctl apply --detach   # then: mlctl attach\n\n  mlctl apply --target evaluations.churn_gate\n\n"
    "  mlctl apply --replace training.churn --auto-approve --json"
)
@in_project
def apply(
    workspace: Workspace,
    plan: _Plan = None,
    target: Targets = None,
    exclude: Exclude = None,
    replace: Replace = None,
    refresh_only: _RefreshOnly = False,
    refresh: Refresh = "true",
    detach: Detach = False,
    unhold: Unhold = False,
    forget_elsewhere: ForgetElsewhere = False,
    price: Price = None,
    allow_stale: AllowStale = False,
    lock_timeout: LockTimeout = "0s",
    auto_approve: AutoApprove = False,
    parallelism: Parallelism = 4,
    supervise: Annotated[str | None, typer.Option("--supervise", hidden=True)] = None,
    rest: Annotated[bool, typer.Option("--rest", hidden=True)] = False,
    as_json: AsJson = False,
) -> int:
    """Plan and apply."""
    priced(workspace, price, allow_stale=allow_stale)
    look = refreshing(workspace, refresh)
    mode = Mode.REFRESH_ONLY if refresh_only else Mode.NORMAL
    if plan is not None:
        given = {"--target": target, "--exclude": exclude, "--replace": replace, "--refresh-only": refresh_only}
        for option in [
            *(name for name, value in given.items() if value),
            *(["--refresh"] if refresh != "true" else []),
            *(["--forget-elsewhere"] if forget_elsewhere else []),
        ]:
            raise reviewing.with_a_plan(option)
        inside, saved = reviewing.opened(workspace, plan)
        request = Request(
            reviewing.operation(inside, saved),
            inside.project,
            again=again(workspace, "apply", {}),
            approved=True,
            as_json=as_json,
            parallelism=parallelism,
            wait_seconds=seconds_of(lock_timeout),
            unhold=unhold,
            saved=saved,
            joined=_joined(plan, supervise),
            rest=rest,
        )
        return start_detached(inside, request) if detach else run(inside, request)
    selection = selected(target, exclude, replace, mode, refresh=look)
    options = {"--target": target, "--exclude": exclude, "--replace": replace, "--refresh-only": refresh_only}
    options = {**options, "--forget-elsewhere": forget_elsewhere, **repeated(price, allow_stale)}
    request = Request(
        Operation("apply", selection, forget_elsewhere=forget_elsewhere),
        workspace.project,
        again=again(workspace, "apply", {name: value for name, value in options.items() if name != "--replace"}),
        approved=auto_approve,
        as_json=as_json,
        parallelism=parallelism,
        wait_seconds=seconds_of(lock_timeout),
        unhold=unhold,
    )
    return start_detached(workspace, request) if detach else run(workspace, request)


def _joined(plan: Path, supervise: str | None) -> RunFolder | None:
    """The run that this process was started to carry on, with the lock that came down to it."""
    if supervise is None:
        return None
    folder = RunFolder(plan.parent)
    folder.take_over(int(supervise.partition(":")[2]))
    folder.update(pid=os.getpid())
    return folder
