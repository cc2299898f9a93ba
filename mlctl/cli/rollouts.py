"""What the commands about rollouts share: which deployment is meant, how an order is given, and what came of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlctl.cli.options import emit_json
from mlctl.engine.provenance import who
from mlctl.processes import service
from mlctl.provider import Context
from mlctl.providers.serving import controllers
from mlctl.providers.serving.kubernetes import kept as on_cluster
from mlctl.providers.serving.rollout_report import history, of_standing, report
from mlctl.types.address import Address
from mlctl.types.diagnostic import ExitCode, MlctlError, did_you_mean
from mlctl.types.jobs.rollout import Order
from mlctl.types.state import Record
from mlctl.views.human import rollout as human
from mlctl.views.human.style import wants_color
from mlctl.workspace import Workspace

_SECTION = "deployments"
_TAKEN_SECONDS = 10.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Chosen:
    """A deployment with a gateway: its address, and its controller's folder. One on a cluster is known by its record."""

    address: str
    name: str
    folder: Path
    context: Context
    on_cluster: Record | None = None


def choose(workspace: Workspace, name: str | None) -> Chosen:
    """The deployment that is named, or the only one that has a gateway. Raises MlctlError."""
    ledger, context = workspace.reader()
    found = {}
    every = {record.key.address for record in ledger if record.key.address.section == _SECTION}
    for address in sorted(every):
        record = ledger.current(address)
        if record is None:
            continue
        folder, there = controllers.folder_of(record.key, context), record if on_cluster.stands(record) else None
        if there is not None or folder.is_dir():
            found[address.name] = Chosen(str(address), context.made_as(record.key).address.name, folder, context, there)
    wanted = (name or "").removeprefix(f"{_SECTION}.")
    if not wanted and len(found) == 1:
        return next(iter(found.values()))
    if wanted in found:
        return found[wanted]
    if Address(_SECTION, wanted) in every or (every and not found and not wanted):
        raise MlctlError.of(
            "rollout.no-gateway",
            f"{_SECTION}.{wanted} has no gateway" if wanted else "no deployment has a gateway",
            "without `rollout:` a new version takes the place of the old one at once, and nothing is rolled out",
            "give the deployment a `rollout:` with a strategy, and run `mlctl apply`",
        )
    if not found:
        raise MlctlError.of("cli.nothing-made", "no deployment has been made yet", "", "run `mlctl apply`")
    summary = f"there is no `{_SECTION}.{wanted}`" if wanted else "more than one deployment has a gateway; name one"
    raise MlctlError.of("cli.unknown-name", summary, "", did_you_mean(wanted, found))


def give(chosen: Chosen, order: Order) -> str:
    """Give an order, and wait until the controller has taken it. Gives why it was refused, or empty text. Raises MlctlError."""
    if chosen.on_cluster is not None:
        return on_cluster.give(chosen.on_cluster, order.model_copy(update={"who": who()}), chosen.context)
    if not service.find(chosen.folder).running:
        controllers.have_running(chosen.folder, chosen.name, chosen.context)
    before = _noted(chosen)
    path = controllers.order(order.model_copy(update={"who": who()}), chosen.folder)
    deadline = time.monotonic() + _TAKEN_SECONDS
    while path.exists():
        if time.monotonic() > deadline or not service.find(chosen.folder).running:
            path.unlink(missing_ok=True)
            raise MlctlError.of(
                "rollout.not-taken",
                f"the controller of {chosen.address} has not taken the order",
                f"it {'is busy' if service.find(chosen.folder).running else 'ended'}",
                f"see `mlctl logs {chosen.address}`",
                address=chosen.address,
            )
        time.sleep(_POLL_SECONDS)
    return next((str(line.get("text", "")) for line in _noted(chosen, before) if line.get("what") == "refused"), "")


def show(chosen: Chosen, *, as_json: bool) -> int:
    """Print how it stands. Exit 3 when what is wanted is held."""
    found = look(chosen)
    if found is None:
        raise controllers.died(chosen.folder, chosen.address)
    if as_json:
        emit_json({"type": "rollout", **found})
    else:
        print(human.text(found, color=wants_color(sys.stdout), now=time.time()), end="")
    return ExitCode.GATE_FAILED if found["phase"] == "held" else ExitCode.OK


def look(chosen: Chosen) -> dict[str, Any] | None:
    """How it stands, as one JSON object; None while nothing was decided yet."""
    if chosen.on_cluster is not None:
        return of_standing(chosen.address, on_cluster.standing(chosen.on_cluster, chosen.context), None)
    return report(chosen.address, chosen.folder)


def lines_of(chosen: Chosen) -> list[Mapping[str, Any]]:
    """What happened, oldest first."""
    if chosen.on_cluster is not None:
        return list(on_cluster.history(chosen.on_cluster, chosen.context))
    return list(history(chosen.folder))


def _noted(chosen: Chosen, after: list[dict[str, object]] | None = None) -> list[dict[str, object]]:
    lines: list[dict[str, object]] = list(history(chosen.folder))
    return lines if after is None else lines[len(after) :]
