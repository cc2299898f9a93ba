"""The gateway as the controller drives it: started, started again when it dies, and configured when routes change."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

from mlctl.processes import worker
from mlctl.rollout.routes import Routes
from mlctl.runtime.controller.saying import say
from mlctl.runtime.gateway import Answered, Gateway, open_gateway
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.rollout import GATEWAY_FOLDER, GatewaySpec

_RETRY_SECONDS = 1.0
_HANDOVER_SECONDS = 60.0


class Front:
    """The gateway of one deployment. What it was told last is known of this process only; a new one tells it again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._gateway: Gateway | None = None
        self._spec: GatewaySpec | None = None
        self._in_force: Routes | None = None
        self._tried = float("-inf")
        self.problem: MlctlError | None = None

    def keep(self, spec: GatewaySpec) -> None:
        """Have it run with this spec. A gateway of another type or address is ended first."""
        if self._gateway is not None and spec == self._spec and self._gateway.alive():
            return
        if time.monotonic() - self._tried < _RETRY_SECONDS:
            return
        self._in_force = None
        try:
            if self._gateway is None or self._spec is None or self._spec.type != spec.type:
                self._leave_others(spec)
                self._gateway = open_gateway(spec.type, self._folder / GATEWAY_FOLDER / spec.type)
            self._give_way(spec)
            self._gateway.start(spec)
            self._spec, self.problem = spec, None
        except MlctlError as error:
            self._failed(error)

    def follow(self, routes: Routes) -> Routes | None:
        """Have the gateway follow the routes; gives those that are in force, None while that is not known."""
        if self._gateway is None or self._spec is None or not self._gateway.alive():
            return None
        if routes != self._in_force and time.monotonic() - self._tried >= _RETRY_SECONDS:
            try:
                self._gateway.configure(routes)
                self._in_force, self.problem = routes, None
            except MlctlError as error:
                self._failed(error)
        return self._in_force

    def in_force(self, spec: GatewaySpec) -> Routes | None:
        """The routes that the gateway follows where this spec wants it, as far as is known for sure."""
        return self._in_force if spec == self._spec and self.alive() else None

    def alive(self) -> bool:
        """Whether its process lives."""
        return self._gateway is not None and self._gateway.alive()

    def counts(self) -> tuple[dict[str, Answered], dict[str, Answered]]:
        """What it has counted of each variant: of requests, and of copies. Nothing while it cannot be asked."""
        if self._gateway is None or not self._gateway.alive():
            return {}, {}
        try:
            return self._gateway.counts(), self._gateway.mirrored()
        except (OSError, MlctlError):
            return {}, {}

    def end(self, drain_seconds: float) -> None:
        """Stop every gateway that lives in the folder."""
        folder = self._folder / GATEWAY_FOLDER
        for type in ("envoy", "python"):
            if (folder / type).is_dir():
                open_gateway(type, folder / type).stop(drain_seconds)
        self._gateway, self._in_force = None, None

    def _leave_others(self, spec: GatewaySpec) -> None:
        """End a gateway of the other type: only one can have the port."""
        for type in ("envoy", "python"):
            folder = self._folder / GATEWAY_FOLDER / type
            if type != spec.type and folder.is_dir():
                open_gateway(type, folder).stop(_HANDOVER_SECONDS)

    def _give_way(self, spec: GatewaySpec) -> None:
        """Ask servers that the deployment had before it had a gateway to leave the port, and wait until they have."""
        releases = self._folder.parent / "releases"
        running = [path for path in releases.iterdir() if worker.running(path)] if releases.is_dir() else []
        if not running:
            return
        for path in running:
            threading.Thread(target=worker.stop, args=(path, _HANDOVER_SECONDS), daemon=True).start()
        deadline = time.monotonic() + _HANDOVER_SECONDS
        while not _free(spec) and time.monotonic() < deadline:
            if not any(worker.running(path) for path in running):
                return
            time.sleep(0.01)

    def _failed(self, error: MlctlError) -> None:
        self._tried = time.monotonic()
        if self.problem is None or str(self.problem) != str(error):
            say(f"the gateway: {error}")
        self.problem = error


def _free(spec: GatewaySpec) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in spec.host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((spec.host, spec.port))
        except OSError:
            return False
    return True
