"""The controller of a deployment as mlctl sees it: a folder that it writes into, and a worker program that it makes sure runs."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.launch import service
from mlctl.processes import service as services
from mlctl.processes import worker
from mlctl.provider import Context
from mlctl.types import job as contract
from mlctl.types.address import ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.event import Progress
from mlctl.types.job import JobResult
from mlctl.types.jobs.rollout import (
    END_FILE,
    GATEWAY_FOLDER,
    LIVE_FILE,
    ORDERS_FOLDER,
    RELEASES_FOLDER,
    ROLLOUT_FILE,
    WANTED_FILE,
    ControllerJob,
    Order,
    Wanted,
)
from mlctl.types.secret import sealed_names

PROGRAM = "controller"
FOLDER = "rollout"  # in the deployment's own
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.05


def folder_of(key: ObjectKey, ctx: Context) -> Path:
    """Where the controller of a deployment lives. It exists exactly while the deployment has a gateway."""
    return ctx.folder(key) / FOLDER


def tell_wanted(wanted: Wanted, folder: Path, ctx: Context) -> int:
    """Write what is wanted, and give its serial: a new one only when anything of it is new."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    before = atomic.read_object(folder / WANTED_FILE) or {}
    # of a lost file the controller knows the serial: with a smaller one nothing that is said is taken
    serial = max(int(before.get("serial", 0)), int((kept(folder).get("state") or {}).get("serial", 0)))
    values = ctx.secrets.masked(wanted.model_copy(update={"serial": serial}).model_dump(mode="json"))
    if text_of(values) == text_of(before):  # the order counts: that of arms is that of their ranges
        return serial
    if sealed_names(values):  # a process is given secrets only when it is started
        worker.stop(folder, _STOP_SECONDS)
    atomic.write_bytes(folder / WANTED_FILE, text_of({**values, "serial": serial + 1}))
    return serial + 1


def have_running(folder: Path, deployment: str, ctx: Context) -> None:
    """Make sure that the controller runs, and can read what it is told. Its gateway and servers do not notice it."""
    service.start(PROGRAM, _job(folder, deployment, ctx), folder, ctx)
    service.wait_ready(folder, ctx, _START_SECONDS)


def call_off_end(folder: Path) -> None:
    """A `destroy` that was killed has left word that all is to end: whoever wants it to run now takes that back.

    A controller that has begun to end brings that to its end first; the next one goes on from its state.
    """
    stored = atomic.read_object(folder / END_FILE)
    if stored is not None:
        (folder / END_FILE).unlink(missing_ok=True)
        worker.stop(folder, 2 * float(stored.get("drain_seconds", 0.0)) + _START_SECONDS)


def order(asked: Order, folder: Path) -> Path:
    """Put an order where the controller takes it from. They are taken in order of their names."""
    orders = folder / ORDERS_FOLDER
    orders.mkdir(exist_ok=True, mode=0o700)
    path = orders / f"{time.time_ns():020d}-{os.getpid()}.json"
    stamped = asked.model_copy(update={"at": datetime.now(UTC).isoformat(timespec="seconds")})
    atomic.write_json(path, stamped.model_dump(mode="json"))
    return path


def orders_left(folder: Path) -> bool:
    """Whether orders wait to be taken."""
    orders = folder / ORDERS_FOLDER
    return orders.is_dir() and any(path.suffix == ".json" for path in orders.iterdir())


def kept(folder: Path) -> dict[str, Any]:
    """rollout.json as it is now; empty while there is none."""
    return atomic.read_object(folder / ROLLOUT_FILE) or {}


def wanted_digests(folder: Path) -> tuple[str, ...]:
    """The revisions that are wanted: one, or one for each arm."""
    stored = atomic.read_object(folder / WANTED_FILE) or {}
    arms = (stored.get("strategy") or {}).get("arms") or {}
    revisions = [stored.get("revision"), *(arm.get("revision") for arm in arms.values())]
    return tuple(str(item["digest"]) for item in revisions if item)


def live(folder: Path) -> dict[str, Any]:
    """What the controller measures; empty while there is nothing. It may be of a controller that is gone."""
    return atomic.read_object(folder / LIVE_FILE) or {}


def died(folder: Path, address: str) -> MlctlError:
    """Why a controller that should run does not."""
    stored = atomic.read_object(folder / contract.RESULT_FILE)
    if stored is not None and (diagnostics := JobResult.from_json(stored).diagnostics):
        return MlctlError(diagnostics)
    return MlctlError.of(
        "rollout.controller-died",
        f"the controller of {address} ended",
        f"the end of its log:\n{worker.log_tail(folder)}",
        f"see the whole log in {folder / contract.LOG_FILE}; `mlctl apply` starts it again",
        address=address,
    )


def end(folder: Path, deployment: str, drain_seconds: float, ctx: Context) -> None:
    """End the gateway, all releases and the controller, and remove what they kept. Nobody is left; not there is success."""
    if not folder.is_dir():
        return
    if (folder / WANTED_FILE).exists():
        atomic.write_json(folder / END_FILE, {"drain_seconds": drain_seconds})
        ctx.progress(Progress("the gateway and the servers finish what is under way"))
        if not services.find(folder).running:  # it knows how to end a gateway, so it is started to do that
            service.start(PROGRAM, _job(folder, deployment, ctx), folder, ctx)
        deadline = time.monotonic() + 2 * drain_seconds + _START_SECONDS
        while services.find(folder).running and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
    worker.stop(folder, _STOP_SECONDS)
    _sweep(folder)
    shutil.rmtree(folder)


def text_of(values: Mapping[str, Any]) -> bytes:
    """As JSON, in the order as it is."""
    return json.dumps(values, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")


def _job(folder: Path, deployment: str, ctx: Context) -> dict[str, Any]:
    """What the controller is started with."""
    places = {"folder": os.path.relpath(folder, ctx.root), "home": os.path.relpath(ctx.home, ctx.root)}
    return ControllerJob(deployment=deployment, **places).model_dump(mode="json")


def _sweep(folder: Path) -> None:
    """End the gateway and the releases that a controller which could not do its work has left."""
    for place in (folder / GATEWAY_FOLDER, folder / RELEASES_FOLDER):
        for path in sorted(place.iterdir()) if place.is_dir() else ():
            worker.stop(path, 0.0)
