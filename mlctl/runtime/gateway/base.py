"""What a gateway is: the process on a deployment's port that sends each request to a version, and outlives whoever configures it."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import NamedTuple, Protocol

from mlctl.processes import worker
from mlctl.rollout.routes import Routes
from mlctl.types import job as contract
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.rollout import GatewaySpec

# The share of the version that answers, from 0 to 1: with what probability this request came to it. Only for requests
# that were split; one that picked its version itself (a preview) has none.
PROPENSITY_HEADER = "x-mlctl-propensity"
SHADOW_SUFFIX = "-shadow"  # of the Host of a copy, in front of its port: `name-shadow:8000`
RETRY_AFTER_SECONDS = 1

# Changing what an engine serves is not for those who send requests. Engines have no other lock on these paths.
CLOSED_PATHS = ("/v1/load_lora_adapter", "/v1/unload_lora_adapter")

_DYING_SECONDS, _POLL_SECONDS = 2.0, 0.01


class Answered(NamedTuple):
    """How many requests were sent to a variant, and how many of those ended in a 5xx or without a whole answer."""

    requests: int
    errors: int


class Gateway(Protocol):
    """One gateway. It is found by the files of its folder, so that any process may open it, and one after the other does.

    Not for two threads at once.
    """

    def start(self, spec: GatewaySpec) -> None:
        """Have it run with this spec, and with the last routes if there are any; nothing happens when it does already.

        It listens from the first `configure` on. Raises MlctlError: `deploy.port-in-use`, `deploy.cannot-bind`,
        `gateway.not-installed`, `gateway.failed`.
        """

    def configure(self, routes: Routes) -> None:
        """Put all requests from now on to these routes. Returns when they are in force; those under way end where they are.

        Raises MlctlError: `gateway.not-running`, `gateway.refused` (the routes before stay in force), `deploy.port-in-use`.
        """

    def counts(self) -> dict[str, Answered]:
        """By variant, of all requests that were answered for clients. Only ever grows, whatever dies and comes again.

        What was counted since the last call is lost when the gateway is killed. Empty while nothing was ever counted.
        """

    def mirrored(self) -> dict[str, Answered]:
        """The same, of copies."""

    def alive(self) -> bool:
        """Whether its process lives."""

    def stop(self, drain_seconds: float) -> None:
        """Take no new connections, let requests under way end for at most so long, and end. Not running is success."""


def probe(host: str, port: int, folder: Path) -> None:
    """Find out that a port is taken before anything is started for it. Raises MlctlError `deploy.port-in-use`, `deploy.cannot-bind`.

    Where a gateway ran in the folder and died just now, its port may be free a moment after its lock.
    """
    deadline = time.monotonic() + (_DYING_SECONDS if (folder / contract.PROCESS_FILE).exists() else 0)
    while True:
        try:
            bound(host, port).close()
            return
        except MlctlError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(_POLL_SECONDS)


def bound(host: str, port: int) -> socket.socket:
    """The port, taken and not yet listened on. Raises MlctlError `deploy.port-in-use`, `deploy.cannot-bind`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # the protocol is named because asyncio switches Nagle's delay off only for sockets that say they are TCP
    taken = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((host, port))
    except PermissionError as error:
        taken.close()
        raise MlctlError.of(
            "deploy.cannot-bind", f"port {port} may not be used", str(error), "choose a port above 1023"
        ) from None
    except OSError as error:
        taken.close()
        raise MlctlError.of(
            "deploy.port-in-use",
            f"port {port} of {host} is in use by another program",
            str(error),
            "stop that program, or set another `serve.port`",
        ) from None
    return taken


def not_running(folder: Path) -> MlctlError:
    """What to say when it does not answer."""
    return MlctlError.of(
        "gateway.not-running", "the gateway does not run", worker.log_tail(folder), "its controller starts it again"
    )
