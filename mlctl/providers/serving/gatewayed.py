"""A deployment with a gateway: mlctl says what is wanted, and sees that the controller runs; everything else is the controller's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from mlctl.files import atomic
from mlctl.launch.job import progress_of
from mlctl.processes import service
from mlctl.provider import Condition, Context, Observed
from mlctl.providers.serving import controllers
from mlctl.providers.serving.rollouts import UNDER_WAY, Standing, called, standing
from mlctl.rollout.state import Phase
from mlctl.types import job as contract
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.event import Progress
from mlctl.types.jobs.rollout import RELEASES_FOLDER, WANTED_FILE, Order, Wanted
from mlctl.types.state import Gate, Record

ID = "gateway"  # of the record of a deployment that has one
_POLL_SECONDS = 0.05
_PROBLEM_SECONDS = 5.0  # how long the gateway may be in trouble before an apply gives up; a taken port is told at once


def converge(wanted: Wanted, folder: Path, ctx: Context, *, again: bool = False) -> Standing:
    """Have the controller do what is wanted, and wait until the first step holds, or all is done, or it failed.

    With `again`, a version that was held because it never came up is tried once more. Raises MlctlError when nothing
    answers for the deployment.
    """
    controllers.call_off_end(folder)
    serial = controllers.tell_wanted(wanted, folder, ctx)
    if again and (before := standing(folder)) is not None and before.held is not None and before.state.stable is None:
        controllers.order(Order(what="retry", who="mlctl apply"), folder)
    controllers.have_running(folder, wanted.deployment, ctx)
    return await_settled(folder, serial, wanted.address, ctx)


def await_settled(folder: Path, serial: int, address: str, ctx: Context) -> Standing:
    """Wait for what the controller makes of what it was told. Raises MlctlError; the rollout goes on whoever waits."""
    told, trouble, starts = "", 0.0, _Starts(folder / RELEASES_FOLDER, ctx)
    while True:
        state = service.find(folder)
        if not state.running:
            raise controllers.died(folder, address)
        found = standing(folder)
        if (
            found is not None
            and found.pid == state.pid
            and found.state.serial >= serial
            and not controllers.orders_left(folder)
        ):
            if found.held is not None and found.state.stable is None and not found.state.arms:
                raise _never_came_up(found, address)
            if found.held is not None or _holds(found):
                return found
            if found.says() and found.says() != told:
                told = found.says()
                ctx.progress(Progress(told))
            starts.tell(found)
            if (problem := found.problem()) is not None and found.state.routes is not None:
                trouble = trouble or time.monotonic()
                taken = any(item.code in ("deploy.port-in-use", "deploy.cannot-bind") for item in problem.diagnostics)
                if time.monotonic() - trouble > (1.0 if taken else _PROBLEM_SECONDS):
                    raise problem
            else:
                trouble = 0.0
        if ctx.stop.wait(_POLL_SECONDS):
            raise MlctlError.of(
                "rollout.not-awaited",
                f"the rollout of {address} was not waited for",
                "mlctl was interrupted; the controller goes on with it",
                f"see `mlctl rollout status {address}`; `mlctl rollout abort` ends it",
                exit_code=ExitCode.INTERRUPTED,
                address=address,
            )


class _Starts:
    """What the servers say that are starting: behind a gateway nobody else would hear of it."""

    def __init__(self, folder: Path, ctx: Context) -> None:
        self._folder, self._ctx = folder, ctx
        self._events: dict[int, Iterator[Progress | None]] = {}

    def tell(self, found: Standing) -> None:
        """Pass on what is new."""
        for number, release in found.state.releases.items():
            if not release.running or release.ready:
                continue
            events = self._events.setdefault(number, progress_of(self._folder / str(number)))
            for event in iter(events.__next__, None):
                self._ctx.progress(replace(event, message=f"{called(release)}: {event.message}"))


def gate(found: Standing) -> Gate | None:
    """What an apply answers when the wanted version is held: others go on as before, and whoever applied is told."""
    held = found.held
    if held is None:
        return None
    findings = () if held.verdict is None else tuple(item.why for item in held.verdict.findings)
    return Gate(False, f"held: {held.model} v{held.version}: {held.why}", findings)


def has_port(host: str, port: int, folder: Path) -> bool:
    """Whether the port is one that this controller's gateway was told to have already."""
    told = (atomic.read_object(folder / WANTED_FILE) or {}).get("gateway") or {}
    return (told.get("host"), told.get("port")) == (host, port)


def drain_seconds(folder: Path) -> float:
    """How long requests under way may take: what a server of this deployment gives them."""
    told = (atomic.read_object(folder / WANTED_FILE) or {}).get("gateway") or {}
    return float(told.get("timeout_seconds", 0.0))


def read(prior: Record, folder: Path, *, parity_held: bool = False) -> Observed | None:
    """The controller's lock tells whether it lives, and its file how the rollout stands. Nobody is asked over the network."""
    if not folder.is_dir():
        return None
    if parity_held and prior.complete and prior.gate is not None and not prior.gate.open:
        return Observed(condition=Condition.BROKEN, detail=f"a release is held back: {prior.gate.summary}")
    state, found = service.find(folder), standing(folder)
    if not state.running:
        detail = f"the controller is not running: {state.epitaph()}"
        if found is not None and found.state.routes is not None:
            detail += "; the gateway and the servers go on without it"
        return Observed(condition=Condition.BROKEN, detail=detail)
    if found is None:
        return Observed(condition=Condition.BROKEN, detail="the controller runs, and has not decided on anything yet")
    if (problem := found.problem()) is not None and found.state.routes is not None:
        return Observed(condition=Condition.BROKEN, detail=f"the gateway: {problem.diagnostics[0].summary}")
    closed = prior.gate is not None and not prior.gate.open
    if closed and prior.complete and found.held is None:
        return Observed(condition=Condition.BROKEN, detail="what was held back is not held any more")
    says, dead = found.says(), found.dead()
    detail = "; ".join([*([says] if says else []), *dead]) or found.weights()
    condition = Condition.RUNNING if found.state.phase in UNDER_WAY else Condition.READY
    return Observed(condition=condition, detail=detail, note="" if closed else says)


def approve(prior: Record, folder: Path, ctx: Context) -> Standing:
    """Let a held version take over all the same: a person said so. Raises MlctlError when it does not come up."""
    controllers.call_off_end(folder)
    controllers.have_running(folder, ctx.made_as(prior.key).address.name, ctx)
    address = str(prior.key.address)
    approval = None if prior.gate is None else prior.gate.approval
    who, why = ("", "") if approval is None else (approval.who, approval.why)
    found = standing(folder)
    if found is not None and found.held is None and found.state.phase is Phase.DONE:
        return found
    serial = 0 if found is None else found.state.serial
    if found is not None and found.held is not None:
        controllers.order(Order(what="retry", who=who, why=why), folder)
        await_settled(folder, serial, address, ctx)
    controllers.order(Order(what="promote", full=True, who=who, why=why), folder)
    found = await_settled(folder, serial, address, ctx)
    if (held := found.held) is not None:
        raise MlctlError.of(
            "rollout.held-again",
            f"{held.model} v{held.version} was tried again, and is held again",
            held.why,
            f"see `mlctl rollout history {address}`",
            exit_code=ExitCode.GATE_FAILED,
            address=address,
        )
    return found


def log(folder: Path) -> Path | None:
    """What the controller has printed: all that happened, and where each release has its own log."""
    path = folder / contract.LOG_FILE
    return path if path.exists() else None


def _holds(found: Standing) -> bool:
    """Whether the first step is in effect, or all is done."""
    return found.state.in_effect and (
        found.state.phase in (Phase.DONE, Phase.ENDED, Phase.STEPPING) and found.state.routes is not None
    )


def _never_came_up(found: Standing, address: str) -> MlctlError:
    why = "" if found.held is None else found.held.why
    return MlctlError.of(
        "rollout.never-ready",
        f"{'' if found.held is None else f'{found.held.model} v{found.held.version}'} did not come up",
        why,
        f"see `mlctl logs {address}`, mend the model, and run `mlctl apply` again",
        address=address,
    )
