"""Whether kills lose nothing of a training: the parameters of the test from the project as it is now, and its run."""

from __future__ import annotations

from mlctl.cli.check_keeping import keep_check
from mlctl.cli.interrupting import Ending, interruptible
from mlctl.cli.watching import watched
from mlctl.engine.choice import inputs_of
from mlctl.engine.desired import as_input, desire
from mlctl.engine.selection import named
from mlctl.launch import job
from mlctl.provider import Context, Desired
from mlctl.types.address import Address
from mlctl.types.change import EdgeKind
from mlctl.types.diagnostic import MlctlError
from mlctl.types.interrupt import Manner
from mlctl.types.jobs.kill_test import KillTestJob, KillTestReport
from mlctl.workspace import Workspace


def kill_test(workspace: Workspace, address: Address, *, kills: int, steps: int | None, seed: int) -> KillTestReport:
    """Run the test in a folder of its own, which goes when it passed. Raises MlctlError."""
    from mlctl.providers.torch.render import train_job

    desired, context = _desired(workspace, address)
    params = KillTestJob(training=train_job(desired, context), kills=kills, steps=steps, seed=seed)
    folder = context.home / "kill-tests" / address.name
    job.discard(folder)
    with (
        interruptible(Ending(workspace.stop, default=Manner.STOP)),
        watched(context, f"killing {address}") as told,
    ):
        found = job.run("kill_test", params.model_dump(mode="json"), folder, told).outputs
    report = KillTestReport.model_validate(dict(found))
    rule = f"{len(report.kills)} kills lose nothing"
    keep_check(context.home, str(address), "kill-test", passed=report.passed, rule=rule)
    if report.passed:
        job.discard(folder)
    return report


def _desired(workspace: Workspace, address: Address) -> tuple[Desired, Context]:
    """What the project asks of a training, with the inputs as they were last made. Raises MlctlError where one is missing."""
    project = workspace.project
    ledger, context = workspace.reader()
    chosen = named([address], project.resources.keys())
    if address.section != "training" or len(chosen) != 1:
        raise MlctlError.of(
            "kill-test.no-training",
            f"`{address}` is not one training",
            "the test trains it again, shortened",
            f"name one of {', '.join(f'`{found}`' for found in sorted(chosen))}"
            if len(chosen) > 1
            else "name a training",
        )
    (found,) = chosen
    used = [other for other, kinds in project.edges[found].items() if EdgeKind.INPUT in kinds]
    made = {other: record for other in used if (record := ledger.made(other)) is not None}
    missing = sorted(set(used) - set(made))
    if missing:
        raise MlctlError.of(
            "kill-test.inputs-missing",
            f"{', '.join(f'`{other}`' for other in missing)} {'was' if len(missing) == 1 else 'were'} never made",
            f"`{found}` learns from it",
            f"run `{' '.join(['mlctl apply', *(f'--target {other}' for other in missing)])}`",
            address=str(found),
        )
    live = {other: as_input(project.resources[other].kind, record) for other, record in made.items()}
    resource = project.resources[found]
    return desire(resource.kind, found, resource.spec, inputs_of(project, found, live), context), context
