"""mlctl retrain: train again if there is a reason, and deploy what passes the gates."""

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
    Unhold,
    addresses,
    again,
    emit_json,
    make_app,
    one_of,
    seconds_of,
)
from mlctl.cli.pricing import AllowStale, Price, priced, repeated
from mlctl.cli.project import in_project
from mlctl.cli.request import Request
from mlctl.engine import planner
from mlctl.engine.operations import Operation
from mlctl.types.address import Address
from mlctl.types.change import Selection
from mlctl.types.diagnostic import ExitCode, MlctlError, did_you_mean
from mlctl.workspace import Workspace

app = make_app()

_OnAlarm = Annotated[bool, typer.Option("--on-alarm", help="Only what an alarm asks for that nobody took up yet.")]
_Wait = Annotated[bool, typer.Option("--wait", help="Follow the rollouts to their end: promoted, or taken back.")]
_MaxHours = Annotated[
    float | None,
    typer.Option(
        "--max-hours",
        metavar="HOURS",
        help="Save, stop and exit 4 after so long; refused at once when more is foreseen.",
    ),
]


@app.command(
    help="Look at the data anew and apply what follows: checks, features, training, evaluation against the champion, and within "
    "their gates the deployments. Nothing is trained twice: when spec and data are those of the last model, it says so and "
    "trains nothing. This is what cron, a timer of systemd or a pipeline calls.\n\n"
    "With --on-alarm only what an alarm of a monitor asks for is trained (`on_alarm: {retrain: ...}`); each alarm is taken up "
    "once, whatever is killed. Why it trained and what came of it is in `mlctl decisions`.\n\n"
    "A rollout goes on when this command has ended; with --wait it is followed to its end, and the exit code is 3 when the new "
    "version was taken back.\n\n"
    "Examples:\n\n  mlctl retrain --auto-approve\n\n  mlctl retrain training.churn --auto-approve --json\n\n"
    "  mlctl monitor run; mlctl retrain --on-alarm --auto-approve --wait --max-hours 2",
)
@in_project
def retrain(
    workspace: Workspace,
    targets: Annotated[list[str] | None, typer.Argument(help="Trainings; all of them when left out.")] = None,
    on_alarm: _OnAlarm = False,
    wait: _Wait = False,
    max_hours: _MaxHours = None,
    price: Price = None,
    allow_stale: AllowStale = False,
    detach: Detach = False,
    unhold: Unhold = False,
    forget_elsewhere: ForgetElsewhere = False,
    lock_timeout: LockTimeout = "0s",
    auto_approve: AutoApprove = False,
    parallelism: Parallelism = 4,
    as_json: AsJson = False,
) -> int:
    """Plan and apply trainings with all that leads to them and all that follows from them."""
    from mlctl.cli.retraining import Asked, alone, conclude, noted, taken_up
    from mlctl.cli.retraining import retrain as carry_out

    priced(workspace, price, allow_stale=allow_stale)
    one_of({"--detach": detach, "--wait": wait})
    one_of({"--detach": detach, "--max-hours": max_hours})
    if max_hours is not None and max_hours <= 0:
        raise MlctlError.of("cli.usage", "`--max-hours` has to be more than nothing", "", "for example `--max-hours 2`")
    opened = workspace.project
    known = tuple(address for address in opened.order if address.section == "training")
    wanted = _named(addresses(targets), known) or known
    if not wanted:
        raise MlctlError.of("cli.nothing-to-do", "the project has no `training`", "", "")
    waits = seconds_of(lock_timeout)
    with alone(workspace, waits):
        asked = Asked(wanted, on_alarm, wait, None if max_hours is None else max_hours * 3600)
        asked = Asked(taken_up(workspace, asked), on_alarm, wait, asked.max_seconds)
        if not asked.trainings:
            if as_json:
                emit_json({"type": "retrain_idle", "trainings": [str(item) for item in wanted]})
            else:
                print("No alarm waits for a training.")
            return ExitCode.OK
        chosen = tuple(sorted(planner.downstream(opened, asked.trainings)))
        options: dict[str, list[str] | bool] = {
            "": targets or [],
            "--on-alarm": on_alarm,
            "--wait": wait,
            "--forget-elsewhere": forget_elsewhere,
        }
        options |= repeated(price, allow_stale)
        request = Request(
            Operation("retrain", Selection(chosen, unattended=True), forget_elsewhere=forget_elsewhere),
            opened,
            question="Train and deploy?",
            again=again(workspace, "retrain", options),
            approved=auto_approve,
            as_json=as_json,
            parallelism=parallelism,
            wait_seconds=waits,
            unhold=unhold,
        )
        if detach:
            code = start_detached(workspace, noted(workspace, request, asked))
            conclude(workspace, request, code)  # of a plan with nothing to do
            return code
        return carry_out(workspace, request, asked)


def _named(given: tuple[Address, ...], known: tuple[Address, ...]) -> tuple[Address, ...]:
    """The trainings that were named: each with all of its instances. Raises MlctlError for anything else."""
    found: list[Address] = []
    for address in given:
        covered = [item for item in known if address.covers(item)]
        if not covered:
            raise MlctlError.of(
                "cli.unknown-name", f"there is no `{address}` to train", "", did_you_mean(str(address), map(str, known))
            )
        found += covered
    return tuple(dict.fromkeys(found))
