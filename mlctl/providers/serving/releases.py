"""The server processes of one deployment. Each start is a release with a folder of its own, `releases/<number>`.

What runs is told by the locks in those folders and never by what was written down, so an apply that was cut off at any
point leaves nothing that the next one cannot find: it keeps the process that is wanted and stops the others.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.launch import service
from mlctl.processes import service as services
from mlctl.processes import worker
from mlctl.provider import Context
from mlctl.providers.serving.client import health
from mlctl.providers.serving.port import refuse_taken
from mlctl.types.diagnostic import MlctlError
from mlctl.types.event import Progress
from mlctl.types.jobs.llm import AnyServerJob, LlmJob
from mlctl.types.jobs.server import server_url
from mlctl.types.secret import Secrets
from mlctl.types.value import Json

PROVENANCE_FILE = "release.json"

_START_SECONDS = 150.0
_HEALTH_SECONDS = 5.0
_HUNG_GRACE_SECONDS = 2.0
_KEPT = 3  # folders of ended releases that stay, for their logs


@dataclass(frozen=True, slots=True)
class Release:
    """One server process, running or ended."""

    number: int
    folder: Path
    state: services.ServiceState

    @property
    def name(self) -> str:
        """How the release is called in records, health answers and paths."""
        return self.folder.name

    def serves(self, job: AnyServerJob, secrets: Secrets) -> bool:
        """Whether this process is what the job asks for."""
        wanted: dict[str, Any] = secrets.masked(job.model_dump(mode="json"))  # as the job file keeps it
        return self.state.params == wanted

    def grace_seconds(self) -> float:
        """How long it may take to finish what is under way: a request may last as long as its timeout."""
        return float((self.state.params or {}).get("timeout_seconds", 30.0)) + 10.0


def releases(folder: Path) -> list[Release]:
    """All releases of a deployment whose folders are still there, oldest first."""
    if not folder.is_dir():
        return []
    found = [(int(path.name), path) for path in folder.iterdir() if path.name.isdecimal()]
    return [Release(number, path, services.find(path)) for number, path in sorted(found)]


def converge(
    job: AnyServerJob, folder: Path, provenance: dict[str, Json], ctx: Context, address: str, *, port_held: bool = False
) -> Release:
    """End with exactly one process, the one the job asks for; the old one serves until the new one does. Raises MlctlError.

    With `port_held` it is the caller who has the port, and gives it to the server.
    """
    running = [release for release in releases(folder) if release.state.running]
    working = [release for release in running if release.state.ready is None or _answers(release, job.deployment)]
    wanted = next((release for release in reversed(working) if release.serves(job, ctx.secrets)), None)
    if wanted is None:
        predecessor = next((release for release in reversed(working) if release.state.ready is not None), None)
        if not port_held and not any(_listens_on(release, job) for release in running):
            refuse_taken(job.host, job.port, address)
        stop_all([release for release in working if release is not predecessor])
        for release in running:
            if release not in working:  # it would not use a longer grace to finish anything
                worker.stop(release.folder, _HUNG_GRACE_SECONDS)
        wanted = _start(job, folder, provenance, ctx)
    if wanted.state.ready is None:
        ctx.progress(Progress(f"starting the server with {job.model.name} version {job.model.version}"))
    patience = job.engine.start_seconds if isinstance(job, LlmJob) else 0.0
    service.wait_ready(wanted.folder, ctx, _START_SECONDS + patience)
    others = [release for release in releases(folder) if release.number != wanted.number]
    if any(release.state.running for release in others):
        ctx.progress(Progress("the new server takes requests; the old one finishes its own"))
    stop_all(others)
    _await_answer(wanted, job, address)
    for release in others[: -_KEPT or None]:
        shutil.rmtree(release.folder, ignore_errors=True)
    return Release(wanted.number, wanted.folder, services.find(wanted.folder))


def stop_all(found: list[Release]) -> None:
    """Let servers finish what is under way and end."""
    for release in found:
        worker.stop(release.folder, release.grace_seconds())


def _start(job: AnyServerJob, folder: Path, provenance: dict[str, Json], ctx: Context) -> Release:
    number = max((release.number for release in releases(folder)), default=0) + 1
    path = folder / str(number)
    path.mkdir(parents=True, mode=0o700)
    atomic.write_json(path / PROVENANCE_FILE, {**provenance, "release": path.name})
    params: dict[str, Any] = job.model_dump(mode="json")
    program = "llm_server" if isinstance(job, LlmJob) else "server"
    service.start(program, params, path, ctx, environment={"OMP_NUM_THREADS": "1"})
    return Release(number, path, services.find(path))


def _listens_on(release: Release, job: AnyServerJob) -> bool:
    """Whether the port the job wants is one that this release of ours holds."""
    params = release.state.params or {}
    return release.state.ready is not None and (params.get("host"), params.get("port")) == (job.host, job.port)


def _answers(release: Release, deployment: str) -> bool:
    """Whether a server that was ready still answers. Two of ours may share the port for a moment, so any of ours will do."""
    found = health(str((release.state.ready or {}).get("url")), _HEALTH_SECONDS)
    return found is not None and found.deployment == deployment


def _await_answer(release: Release, job: AnyServerJob, address: str) -> None:
    url = server_url(job.host, job.port)
    deadline = time.monotonic() + _HEALTH_SECONDS
    while time.monotonic() < deadline:
        found = health(url, _HEALTH_SECONDS)
        if found is not None and (found.deployment, found.release) == (job.deployment, release.name):
            return
        time.sleep(0.05)
    raise MlctlError.of(
        "deploy.not-answering",
        f"the server does not answer at {url}",
        "it was ready, and then did not answer",
        f"see its log in {release.folder}",
        address=address,
    )
