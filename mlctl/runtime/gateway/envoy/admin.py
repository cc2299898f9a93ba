"""What Envoy tells of itself on its admin socket: a Unix socket in a private folder, which nobody else reaches."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlctl.runtime.gateway.envoy.listener import CUT, ROUTES_NAME
from mlctl.runtime.gateway.envoy.render import ADMIN_SOCKET, variant_of
from mlctl.runtime.gateway.sockets import ask
from mlctl.types.jobs.rollout import CANDIDATE

_SECONDS = 5.0
_SOURCES = {"cds": "cluster_manager.cds", "lds": "listener_manager.lds", "rds": f"http.ingress.rds.{ROUTES_NAME}"}


class Admin:
    """Questions to one Envoy. Each raises OSError when it does not answer."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / ADMIN_SOCKET

    def ready(self) -> bool:
        """Whether it has read all its configuration, and takes requests."""
        return self._ask("GET", "/ready")[0] == 200

    def version(self, kind: str) -> tuple[str, int]:
        """Which version of a file (`cds`, `lds`, `rds`) is in force, and how many were refused so far."""
        prefix = _SOURCES[kind]
        found = self._stats(rf"^{prefix.replace('.', '[.]')}[.](version_text|update_rejected)$")
        return str(found.get(f"{prefix}.version_text", "")), int(found.get(f"{prefix}.update_rejected", 0))

    def counts(self) -> dict[str, tuple[int, int]]:
        """Requests and errors of each cluster that ever had one."""
        found = self._stats(
            rf"^cluster[.][^.]+[.]upstream_rq_([12345]xx|retry_success|max_duration_reached|pending_overflow)$|{CUT}"
        )
        return counts_of(found)

    def active(self) -> dict[str, int]:
        """How many requests each cluster is at work on."""
        found = self._stats("^cluster[.][^.]+[.]upstream_rq_active$")
        return {name.split(".")[1]: int(value) for name, value in found.items()}

    def under_way(self) -> int:
        """How many requests of clients are not answered yet."""
        return int(self._stats("^http[.]ingress[.]downstream_rq_active$").get("http.ingress.downstream_rq_active", 0))

    def drain(self) -> None:
        """Take no new connections, and have clients close theirs after the next answer."""
        self._ask("POST", "/healthcheck/fail")
        self._ask("POST", "/drain_listeners")

    def _stats(self, pattern: str) -> dict[str, Any]:
        status, body = self._ask("GET", f"/stats?format=json&filter={urllib.parse.quote(pattern)}")
        if status != 200:
            raise OSError(f"Envoy answers {status}")
        return {item["name"]: item["value"] for item in json.loads(body)["stats"] if "name" in item}

    def _ask(self, method: str, target: str) -> tuple[int, bytes]:
        return ask(self._socket, method, target, _SECONDS)


def counts_of(found: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Requests and errors by cluster, of Envoy's counters."""
    counts: dict[str, tuple[int, int]] = {}
    for name, value in found.items():
        parts = name.split(".")
        cluster, what = (parts[1], parts[2]) if parts[0] == "cluster" else (parts[-1], CUT)
        requests, errors = _meaning(cluster, what)
        if value and (requests or errors):
            known = counts.get(cluster, (0, 0))
            counts[cluster] = (known[0] + requests * value, known[1] + errors * value)
    return {name: (max(0, item[0]), max(0, item[1])) for name, item in counts.items()}


def _meaning(cluster: str, what: str) -> tuple[int, int]:
    """How many requests and errors one of a counter is."""
    variant, copies = variant_of(cluster)
    if what.endswith("xx"):
        return 1, int(what == "upstream_rq_5xx")
    if what == CUT:  # it was counted by its status already
        return 0, 1
    if what == "upstream_rq_retry_success":  # the stable version answered for a candidate that takes no connection
        return 0, int(variant == CANDIDATE)
    if what == "upstream_rq_max_duration_reached":  # a copy that was never answered
        return (1, 1) if copies else (0, 0)
    if what == "upstream_rq_pending_overflow":  # a copy that was never sent, and has a 503 all the same
        return (-1, -1) if copies else (0, 0)
    raise ValueError(f"{what} is not asked for")
