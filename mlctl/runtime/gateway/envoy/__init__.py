"""The gateway that is Envoy: files that it watches, a process that outlives us, and a socket to ask it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.processes import worker
from mlctl.rollout.routes import Routes
from mlctl.runtime.gateway import kept
from mlctl.runtime.gateway.answers import slow_client_seconds
from mlctl.runtime.gateway.base import Answered, not_running, probe
from mlctl.runtime.gateway.envoy import process, render
from mlctl.runtime.gateway.envoy.admin import Admin
from mlctl.runtime.gateway.envoy.listener import ROUTES
from mlctl.types import job as contract
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.rollout import GatewaySpec

_START_SECONDS = 20.0
_EFFECT_SECONDS = 10.0
_AGAIN_SECONDS = 1.0  # a file that is not read by then is swapped once more
_POLL_SECONDS = 0.005
_RETIRED_FILE = "retired.json"  # clusters without a route, and since when (Unix time)
_KILL_SECONDS = 5.0


class EnvoyGateway:
    """See `mlctl.runtime.gateway.base.Gateway`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._admin = Admin(self._folder)

    def alive(self) -> bool:
        """Whether Envoy lives."""
        return worker.running(self._folder)

    def start(self, spec: GatewaySpec) -> None:
        """Start Envoy, or have the one that lives listen as the spec says."""
        process.program()
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in (render.LISTENERS, render.CLUSTERS, ROUTES):
            (self._folder / name).parent.mkdir(exist_ok=True, mode=0o700)
        before, routes = kept.load_spec(self._folder), kept.load_routes(self._folder)
        if not self.alive():
            probe(spec.host, spec.port, self._folder)
            kept.save_spec(self._folder, spec)
            self._write_all(spec, routes)
            process.launch(self._folder)
            self._await_start(spec, routes)
        elif before != spec or (routes is not None and not self._in_force(spec, routes)):
            if before is None or (before.host, before.port) != (spec.host, spec.port):
                probe(spec.host, spec.port, self._folder)
            kept.save_spec(self._folder, spec)
            if routes is not None:
                self._apply(spec, routes)

    def configure(self, routes: Routes) -> None:
        """New clusters, then the routes, then the port if it is the first time; clusters nobody needs go last."""
        spec = kept.load_spec(self._folder)
        if spec is None or not self.alive():
            raise not_running(self._folder)
        self._apply(spec, routes)
        kept.save_routes(self._folder, routes)

    def counts(self) -> dict[str, Answered]:
        """Of requests that clients were answered."""
        return self._tally().totals(mirrored=False)

    def mirrored(self) -> dict[str, Answered]:
        """Of copies."""
        return self._tally().totals(mirrored=True)

    def stop(self, drain_seconds: float) -> None:
        """Drain and end Envoy."""
        deadline = time.monotonic() + drain_seconds
        try:
            self._tally()
            self._admin.drain()
            while self._admin.under_way() and time.monotonic() < deadline:
                time.sleep(0.05)
            self._tally()
        except OSError:
            pass  # it is not running, or does not answer: then it is ended
        worker.stop(self._folder, _KILL_SECONDS)
        (self._folder / render.ADMIN_SOCKET).unlink(missing_ok=True)

    def _apply(self, spec: GatewaySpec, routes: Routes) -> None:
        """Have Envoy take this configuration, step by step, each in force before the next."""
        wanted = render.clusters_of(routes, spec.timeout_seconds)
        there = self._clusters()
        self._swap("cds", render.CLUSTERS, render.clusters({**there, **wanted}))
        routing = render.routing(routes, spec.timeout_seconds)
        if not self._listens():  # nobody reads routes before a listener wants some
            kept.write(self._folder / ROUTES, routing)
            self._swap("lds", render.LISTENERS, render.listeners(spec))
        self._swap("rds", ROUTES, routing)
        self._swap("lds", render.LISTENERS, render.listeners(spec))
        idle = self._retire(there.keys() - wanted.keys(), spec)
        if idle:
            staying = {name: item for name, item in {**there, **wanted}.items() if name not in idle}
            self._tally()
            self._swap("cds", render.CLUSTERS, render.clusters(staying))

    def _retire(self, unused: set[str], spec: GatewaySpec) -> set[str]:
        """Which clusters without a route can go. A request that is still being sent to us may have been routed before,
        so that a cluster stays for longer than that can last, and for as long as a request is under way in it."""
        now = time.time()
        stored = atomic.read_object(self._folder / _RETIRED_FILE) or {}
        since = {name: float(stored.get(name, now)) for name in sorted(unused)}
        if since != stored:
            kept.write(self._folder / _RETIRED_FILE, since)
        old = {name for name, moment in since.items() if now - moment > 2 * slow_client_seconds(spec)}
        if not old:
            return set()
        active = self._admin.active()
        return {name for name in old if not active.get(name, 0)}

    def _swap(self, kind: str, name: str, wanted: dict[str, Any]) -> None:
        """Replace a file, and wait until Envoy has taken it. A file that it refuses is put back."""
        path, version = self._folder / name, render.version_of(wanted)
        before = atomic.read_object(path)
        try:
            in_force, refused = self._admin.version(kind)
            if in_force == version and before == wanted:
                return
            deadline = time.monotonic() + _EFFECT_SECONDS
            while in_force != version and time.monotonic() < deadline:
                kept.write(path, wanted)
                again = time.monotonic() + _AGAIN_SECONDS
                while in_force != version and time.monotonic() < again:
                    time.sleep(_POLL_SECONDS)
                    in_force, refusals = self._admin.version(kind)
                    if refusals > refused:
                        self._put_back(path, before)
                        raise _refused(self._folder, name)
            if in_force != version:
                raise _refused(self._folder, name)
        except OSError:
            raise not_running(self._folder) from None

    @staticmethod
    def _put_back(path: Path, before: dict[str, Any] | None) -> None:
        if before is not None:
            kept.write(path, before)

    def _listens(self) -> bool:
        """Whether there is a listener already."""
        return bool((atomic.read_object(self._folder / render.LISTENERS) or {}).get("resources"))

    def _clusters(self) -> dict[str, Any]:
        """All clusters of the file that is there, by name."""
        stored = atomic.read_object(self._folder / render.CLUSTERS) or {"resources": []}
        return {
            item["name"]: {key: value for key, value in item.items() if key != "@type"} for item in stored["resources"]
        }

    def _write_all(self, spec: GatewaySpec, routes: Routes | None) -> None:
        """What an Envoy begins with. Clusters that had no route any more are not brought back."""
        kept.write(self._folder / process.BOOTSTRAP_FILE, render.bootstrap())
        (self._folder / _RETIRED_FILE).unlink(missing_ok=True)
        if routes is None:
            kept.write(self._folder / render.CLUSTERS, render.clusters({}))
            kept.write(self._folder / render.LISTENERS, render.no_listeners())
            return
        kept.write(self._folder / render.CLUSTERS, render.clusters(render.clusters_of(routes, spec.timeout_seconds)))
        kept.write(self._folder / ROUTES, render.routing(routes, spec.timeout_seconds))
        kept.write(self._folder / render.LISTENERS, render.listeners(spec))

    def _in_force(self, spec: GatewaySpec, routes: Routes) -> bool:
        """Whether what was last asked for is what Envoy has, as far as files tell: a kill in the middle leaves it half done."""
        rendered = {
            ROUTES: render.routing(routes, spec.timeout_seconds),
            render.LISTENERS: render.listeners(spec),
        }
        return all(atomic.read_object(self._folder / name) == wanted for name, wanted in rendered.items())

    def _await_start(self, spec: GatewaySpec, routes: Routes | None) -> None:
        """Until it takes requests, or, without routes, would take a configuration."""
        wanted = render.version_of(render.no_listeners() if routes is None else render.listeners(spec))
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            try:
                version, refused = self._admin.version("lds")
                if version == wanted and self._admin.ready():
                    return
                if refused:
                    break
            except OSError:
                if not self.alive():
                    break
            time.sleep(_POLL_SECONDS)
        why = process.reason(self._folder)
        worker.stop(self._folder, _KILL_SECONDS)
        probe(spec.host, spec.port, self._folder)  # somebody took the port since we looked: that is the better message
        raise MlctlError.of(
            "gateway.failed", "Envoy did not start", why, f"its whole log is {self._folder / 'log.txt'}"
        )

    def _tally(self) -> kept.Tally:
        """The counts, with what Envoy has counted up to now if it answers."""
        tally = kept.Tally(self._folder, render.variant_of)
        try:
            life = (atomic.read_object(self._folder / contract.PROCESS_FILE) or {}).get("started")
            tally.take(self._admin.counts(), str(life))
        except OSError:
            pass  # it is down: what it had counted when it was last asked stays
        return tally


def _refused(folder: Path, name: str) -> MlctlError:
    return MlctlError.of(
        "gateway.refused",
        f"Envoy does not take the new {name}; what was in force before stays",
        process.reason(folder),
        f"its whole log is {folder / 'log.txt'}",
    )
