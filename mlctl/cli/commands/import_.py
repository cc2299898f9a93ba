"""mlctl import: take over an object that exists already."""

from __future__ import annotations

from typing import Annotated

import typer

from mlctl.cli.options import (
    AsJson,
    AutoApprove,
    LockTimeout,
    Parallelism,
    addresses,
    again,
    make_app,
    seconds_of,
)
from mlctl.cli.project import in_project
from mlctl.cli.request import Request
from mlctl.cli.running import run
from mlctl.engine.operations import Operation
from mlctl.provider import Importable
from mlctl.types.address import Address
from mlctl.types.change import Selection
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.workspace import Workspace

app = make_app()

_Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="The resource in the project file.")]
_Id = Annotated[str, typer.Argument(metavar="ID", help="What the tool calls the object.")]


@app.command(
    "import",
    help="Take over an object that exists already: compare it with its block, show the plan, ask, mark it, and record it.\n\n"
    "Write the block first, as the object is. What it depends on is made if it is missing. Nothing of the object but\n"
    "mlctl's mark changes, and `mlctl destroy` gives it back instead of deleting it.\n\n"
    "Examples:\n\n  mlctl import training.churn models:/churn/3\n\n"
    "  mlctl import evaluations.churn_gate models:/churn@champion\n\n"
    "  mlctl import feature_views.shopping shopping\n\n"
    "  mlctl import deployments.churn_api http://127.0.0.1:8080",
)
@in_project
def import_(
    workspace: Workspace,
    address: _Address,
    id: _Id,
    lock_timeout: LockTimeout = "0s",
    auto_approve: AutoApprove = False,
    parallelism: Parallelism = 4,
    as_json: AsJson = False,
) -> int:
    """Take it over."""
    return take_over(workspace, address, id, lock_timeout, auto_approve, parallelism, as_json)


def take_over(
    workspace: Workspace,
    address: str,
    id: str,
    lock_timeout: str,
    auto_approve: bool,
    parallelism: int,
    as_json: bool,
) -> int:
    """Plan the adoption and carry it out."""
    (target,) = addresses([address])
    _refuse(workspace, target)
    request = Request(
        Operation("import", Selection((target,)), imports={target: id}),
        workspace.project,
        question=f"Take over `{id}` as {target}?",
        again=again(workspace, "import", {"": [address, id]}),
        approved=auto_approve,
        as_json=as_json,
        parallelism=parallelism,
        wait_seconds=seconds_of(lock_timeout),
    )
    return run(workspace, request)


def _refuse(workspace: Workspace, target: Address) -> None:
    """Raise MlctlError for a block that is not there, a kind that can take nothing over, and an address that has its object."""
    resources = workspace.project.resources
    if target not in resources:
        raise MlctlError.of(
            "import.no-block",
            f"there is no `{target}` in the project",
            "a block says what the object should be, and the import holds the object against it",
            did_you_mean(str(target), map(str, resources)) or "write the block first",
        )
    if not isinstance(resources[target].kind, Importable):
        raise MlctlError.of(
            "import.not-supported",
            f"{target} cannot be imported",
            f"objects of `{target.section}` live in the state alone, or are cheap to make again",
            "run `mlctl apply`: it makes it",
            address=str(target),
        )
    made = workspace.ledger().made(target)
    if made is not None:
        raise MlctlError.of(
            "import.made-already",
            f"{target} has its object already",
            f"the state knows it as `{made.id or made.key}`",
            f"look at it with `mlctl show {target}`; `mlctl state rm` gives an object up without deleting it",
            address=str(target),
        )
