"""Take over a server of this project whose state was lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mlctl.provider import flatten
from mlctl.providers.serving.client import health
from mlctl.providers.serving.port import holder
from mlctl.providers.serving.releases import Release, releases
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.llm import AnyServerJob
from mlctl.types.jobs.server import server_url
from mlctl.types.ownership import differs, not_found
from mlctl.types.secret import Secrets

_HEALTH_SECONDS = 2.0


def running_release(id: str, job: AnyServerJob, folder: Path, address: str, secrets: Secrets) -> Release:
    """The release of ours that serves at the address `id` what the job asks for. Raises MlctlError."""
    url = server_url(job.host, job.port)
    if id.rstrip("/") != url:
        raise differs(f"`{id}`", address, [("serve.host and serve.port", id.rstrip("/"), url)])
    found = health(url, _HEALTH_SECONDS)
    if found is None:
        who = holder(job.port)
        if who:
            raise _foreign(url, who, address)
        raise not_found(
            f"server at {url}", "nothing answers there", address, "start none by hand: `mlctl apply` deploys it"
        )
    release = next((item for item in releases(folder) if item.name == found.release and item.state.running), None)
    if found.deployment != job.deployment or release is None or (release.state.ready or {}).get("url") != url:
        raise _foreign(url, holder(job.port), address)
    if not release.serves(job, secrets):
        asked = secrets.masked(job.model_dump(mode="json"))
        raise differs(f"the server at {url}", address, _differences(release.state.params or {}, asked))
    return release


def _foreign(url: str, who: str, address: str) -> MlctlError:
    return MlctlError.of(
        "import.not-ours",
        f"what answers at {url} is no server of this project",
        who or "its process runs in no folder of this environment",
        "stop that program and run `mlctl apply`, or set another `serve.port`",
        address=address,
    )


def _differences(params: Mapping[str, Any], job: Mapping[str, Any]) -> Iterator[tuple[str, object, object]]:
    there, asked = flatten(params), flatten(job)
    for name in sorted(there.keys() | asked.keys()):
        if there.get(name) != asked.get(name):
            yield name, there.get(name), asked.get(name)
