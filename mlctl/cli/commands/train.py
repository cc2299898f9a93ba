"""mlctl train: train one model, or prove that kills lose nothing of its training."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mlctl.cli.handing_over import start_detached
from mlctl.cli.options import (
    AsJson,
    AutoApprove,
    Detach,
    LockTimeout,
    Unhold,
    again,
    emit_json,
    make_app,
    seconds_of,
)
from mlctl.cli.project import in_project
from mlctl.cli.request import Request
from mlctl.cli.running import run
from mlctl.engine.operations import Operation
from mlctl.types.address import Address
from mlctl.types.change import Selection
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.views.human.style import wants_color
from mlctl.workspace import Workspace

app = make_app()


@app.command(
    help="Train one model, with all that it is made of: short for `mlctl apply --target training.NAME`.\n\n"
    "With --kill-test nothing is made. A shortened copy of the training runs twice on this machine: once undisturbed, and once "
    "with SIGKILL to ranks, torchrun and the program at random steps, and a SIGTERM. Every step's loss and the weights must "
    "come out the same. Exit 0 when they do, 1 when not.\n\n"
    "Examples:\n\n  mlctl train training.churn\n\n  mlctl train --kill-test training.churn --kills 5\n\n"
    "  mlctl train --kill-test training.churn --json",
)
@in_project
def train(
    workspace: Workspace,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="A training, `training.NAME`.")],
    kill: Annotated[bool, typer.Option("--kill-test", help="Prove that kills lose nothing; make nothing.")] = False,
    kills: Annotated[
        int | None, typer.Option("--kills", min=1, max=1000, help="With --kill-test: how often; 3 when left out.")
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps", min=10, help="With --kill-test: steps of the copy; as many as take some seconds when left out."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="With --kill-test: draws the steps; 0 when left out.")
    ] = None,
    detach: Detach = False,
    unhold: Unhold = False,
    lock_timeout: LockTimeout = "0s",
    auto_approve: AutoApprove = False,
    as_json: AsJson = False,
) -> int:
    """Apply the one target, or run the test."""
    wanted = _training(address)
    if kill:
        unused = {
            "--detach": detach,
            "--unhold": unhold,
            "--lock-timeout": lock_timeout != "0s",
            "--auto-approve": auto_approve,
        }
        _refuse_unused(unused, "beside --kill-test, which changes nothing")
        return _kill_test(workspace, wanted, kills or 3, steps, seed or 0, as_json=as_json)
    unused = {"--kills": kills is not None, "--steps": steps is not None, "--seed": seed is not None}
    _refuse_unused(unused, "without --kill-test")
    request = Request(
        Operation("apply", Selection((wanted,))),
        workspace.project,
        question="Train?",
        again=again(workspace, "train", {"": [address]}),
        approved=auto_approve,
        as_json=as_json,
        wait_seconds=seconds_of(lock_timeout),
        unhold=unhold,
    )
    return start_detached(workspace, request) if detach else run(workspace, request)


def _training(text: str) -> Address:
    address = Address.parse(text)
    if address.section != "training":
        raise MlctlError.of(
            "cli.usage", f"`{text}` is not a training", "only a training is trained", "write `training.NAME`"
        )
    return address


def _refuse_unused(given: dict[str, bool], where: str) -> None:
    for option in (name for name, used in given.items() if used):
        raise MlctlError.of("cli.usage", f"`{option}` has no effect {where}", "", f"leave `{option}` out")


def _kill_test(
    workspace: Workspace, address: Address, kills: int, steps: int | None, seed: int, *, as_json: bool
) -> int:
    from mlctl.cli.kill_testing import kill_test
    from mlctl.views.human import kill_test as view

    report = kill_test(workspace, address, kills=kills, steps=steps, seed=seed)
    if as_json:
        verdict = "passed" if report.passed else "failed"
        emit_json({"type": "kill_test", "address": str(address), "verdict": verdict, **report.model_dump(mode="json")})
    else:
        print(view.text(str(address), report, color=wants_color(sys.stdout)), end="")
    return ExitCode.OK if report.passed else ExitCode.ERROR
