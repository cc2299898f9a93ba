"""The gateway in Python, for where there is no Envoy: the same behaviour, some ten times the CPU time for a request."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.processes import service, worker
from mlctl.rollout.routes import Routes
from mlctl.runtime.gateway import kept
from mlctl.runtime.gateway.base import Answered, not_running, probe
from mlctl.runtime.gateway.sockets import connected
from mlctl.types import job as contract
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.job import JobResult
from mlctl.types.jobs.rollout import GatewaySpec
from mlctl.types.secret import Secrets

CONTROL_SOCKET = "control.sock"
_START_SECONDS = 30.0
_ASK_SECONDS = 5.0
_POLL_SECONDS = 0.01
_MOVE_SECONDS = 5.0


class PythonGateway:
    """See `mlctl.runtime.gateway.base.Gateway`. Another host or port needs another process, with a gap of half a second."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()

    def alive(self) -> bool:
        """Whether its process lives."""
        return worker.running(self._folder)

    def start(self, spec: GatewaySpec) -> None:
        """Start the process, or have the one that lives do as the spec says."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        before = kept.load_spec(self._folder)
        if self.alive() and before is not None:
            if before == spec:
                return
            if (before.host, before.port) == (spec.host, spec.port):
                kept.save_spec(self._folder, spec)
                self._ask("reload")
                return
            probe(spec.host, spec.port, self._folder)
            self.stop(_MOVE_SECONDS)
        probe(spec.host, spec.port, self._folder)
        kept.save_spec(self._folder, spec)
        service.start("gateway", {}, self._folder, Path.cwd(), Secrets())
        self._await_start()

    def configure(self, routes: Routes) -> None:
        """Swap the routes, and have them taken."""
        if not self.alive():
            raise not_running(self._folder)
        kept.save_routes(self._folder, routes)
        told = self._ask("reload")
        if "error" in told:
            raise MlctlError.of("gateway.refused", "the gateway does not take the new routes", told["error"])
        if not told["serving"]:
            raise not_running(self._folder)

    def counts(self) -> dict[str, Answered]:
        """Of requests that clients were answered."""
        return self._tally().totals(mirrored=False)

    def mirrored(self) -> dict[str, Answered]:
        """Of copies."""
        return self._tally().totals(mirrored=True)

    def stop(self, drain_seconds: float) -> None:
        """Drain and end it."""
        self._tally()
        worker.stop(self._folder, drain_seconds)

    def _await_start(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self.alive():
            try:
                told = self._question("counts")
                if told["serving"] or kept.load_routes(self._folder) is None:
                    return
            except OSError:
                pass
            time.sleep(_POLL_SECONDS)
        worker.stop(self._folder, 0)
        raise MlctlError(self._why())

    def _why(self) -> list[Diagnostic]:
        """What the program said of its end."""
        stored = atomic.read_object(self._folder / contract.RESULT_FILE)
        if stored is not None:
            return list(JobResult.from_json(stored).diagnostics)
        return [
            Diagnostic(
                "gateway.failed",
                "the gateway did not start",
                worker.log_tail(self._folder),
                f"its whole log is {self._folder / contract.LOG_FILE}",
            )
        ]

    def _ask(self, what: str) -> dict[str, Any]:
        try:
            return self._question(what)
        except OSError:
            raise not_running(self._folder) from None

    def _question(self, what: str) -> dict[str, Any]:
        with connected(self._folder / CONTROL_SOCKET, _ASK_SECONDS) as connection:
            connection.sendall(what.encode() + b"\n")
            parts = []
            while part := connection.recv(65536):
                parts.append(part)
        try:
            answer: dict[str, Any] = json.loads(b"".join(parts))
        except ValueError as error:
            raise OSError(f"the gateway's answer was cut off: {error}") from None
        return answer

    def _tally(self) -> kept.Tally:
        """The counts, with what the process has counted up to now if it answers."""
        tally = kept.Tally(self._folder, _variant_of)
        try:
            told = self._question("counts")
        except OSError:
            return tally  # it is down: what it had counted when it was last asked stays
        life = (atomic.read_object(self._folder / contract.PROCESS_FILE) or {}).get("started")
        tally.take(
            {name: (number, told["errors"].get(name, 0)) for name, number in told["requests"].items()}, str(life)
        )
        return tally


def _variant_of(name: str) -> tuple[str, bool]:
    """The variant of a counter, and whether it counts copies."""
    variant, mark, _ = name.partition("/")
    return variant, bool(mark)
