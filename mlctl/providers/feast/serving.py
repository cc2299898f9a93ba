"""What `mlctl features serve` runs: one worker program in the foreground, for everything that is online."""

from __future__ import annotations

import os
from collections.abc import Iterable

from mlctl.launch import job
from mlctl.provider import Context
from mlctl.providers.feast.online import lookup_of
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.feature_server import LOOPBACK, TOKEN_VARIABLE, FeatureServerJob
from mlctl.types.jobs.features import GetParams
from mlctl.types.state import Record

_PROGRAM = "feature_server"
_SHORTEST_TOKEN = 16


def server_job(records: Iterable[Record], host: str, port: int) -> FeatureServerJob:
    """A server of every view and service that is online. Raises MlctlError for a host that others reach without a token."""
    token = os.environ.get(TOKEN_VARIABLE, "")
    if host not in LOOPBACK and not token:
        raise MlctlError.of(
            "features.no-token",
            f"`--host {host}` lets other machines ask, and there is no token",
            "whoever reaches the port would read every feature",
            f"set {TOKEN_VARIABLE} to a long random text, or leave `--host` out",
        )
    if token and len(token) < _SHORTEST_TOKEN:
        raise MlctlError.of(
            "features.weak-token",
            f"{TOKEN_VARIABLE} has {len(token)} characters",
            f"a token of less than {_SHORTEST_TOKEN} can be guessed",
            "use for example the output of `openssl rand -hex 32`",
        )
    served: dict[str, dict[str, GetParams]] = {"feature_views": {}, "feature_services": {}}
    for record in records:
        section = record.key.address.section
        if section in served and _is_online(record):
            served[section][record.key.address.name] = lookup_of(record)
    if not any(served.values()):
        raise MlctlError.of(
            "features.nothing-online",
            "no feature view is online",
            "",
            "set `online: true` on one and run `mlctl apply`",
        )
    views, services = served["feature_views"], served["feature_services"]
    return FeatureServerJob(host=host, port=port, token=bool(token), views=views, services=services)


def serve(server: FeatureServerJob, ctx: Context) -> None:
    """Run it until `ctx.stop` is set, then let it answer what is under way. Raises MlctlError when it cannot start."""
    folder = ctx.home / "features" / f"server-{server.port}"
    job.discard(folder)  # one that lost its command, and holds the port
    try:
        job.run(_PROGRAM, server.model_dump(mode="json"), folder, ctx)
    finally:
        job.discard(folder)


def _is_online(record: Record) -> bool:
    if record.key.address.section == "feature_views":
        return bool(record.complete and record.outputs.get("online"))
    serving = record.outputs.get("serving")
    return bool(record.complete and serving)
