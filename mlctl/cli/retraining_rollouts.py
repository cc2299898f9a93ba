"""Follow what a retraining rolls out, until each deployment has promoted its new version or taken it back."""

from __future__ import annotations

import time
from typing import Any

from mlctl.cli.options import emit_json
from mlctl.cli.request import Request
from mlctl.cli.rollouts import Chosen, choose, look
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.views.human import rollout as human
from mlctl.workspace import Workspace

_POLL_SECONDS = 0.25
_OVER = ("done", "held", "ended", "empty")


def follow(workspace: Workspace, request: Request, max_seconds: float | None, code: int) -> int:
    """Wait for the rollouts of all deployments that the request is about. Exit 3 when one of them took its version back."""
    deadline = None if max_seconds is None else time.monotonic() + max_seconds
    for chosen in _deployments(workspace, request):
        found = _to_its_end(chosen, deadline, as_json=request.as_json)
        if found is None:
            print(
                f"{chosen.address} is not through; it goes on: mlctl rollout status {chosen.name} --watch", flush=True
            )
            return ExitCode.POLICY
        if found["phase"] == "held":
            code = ExitCode.GATE_FAILED
    return code


def _deployments(workspace: Workspace, request: Request) -> list[Chosen]:
    """Those that have a gateway; of the others nothing is to be waited for."""
    found = []
    for address in request.operation.selection.targets:
        if address.section == "deployments":
            try:
                found.append(choose(workspace, address.name))
            except MlctlError:
                continue  # it has no gateway, or was never made
    return found


def _to_its_end(chosen: Chosen, deadline: float | None, *, as_json: bool) -> dict[str, Any] | None:
    """How it stands when it is over; None when the time is."""
    told: object = None
    while True:
        found = look(chosen)
        if found is not None:
            news = (found["phase"], found["says"], found["reason"])
            if news != told:
                told = news
                if as_json:
                    emit_json({"type": "rollout", **found})
                else:
                    print(human.line(found), flush=True)
            if found["phase"] in _OVER:
                return found
        if deadline is not None and time.monotonic() > deadline:
            return None
        time.sleep(_POLL_SECONDS)
