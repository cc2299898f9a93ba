"""What is to be in a cluster for a state of a rollout: all objects, each as it is declared. Pure, the same bytes for the same state."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from mlctl.providers.serving.kubernetes import kserve, routes, shared, workloads
from mlctl.providers.serving.kubernetes.asked import Asked
from mlctl.providers.serving.kubernetes.compare import DIGEST
from mlctl.providers.serving.kubernetes.naming import revision_name
from mlctl.rollout.routes import Backend
from mlctl.rollout.state import Release, RolloutState
from mlctl.types.jobs.rollout import Revision
from mlctl.types.value import digest


def objects(asked: Asked, state: RolloutState, stopped: Collection[int] = ()) -> list[dict[str, Any]]:
    """All that there is to be, in the order in which it is declared. A release that was stopped has nothing any more."""
    releases = [item for number, item in sorted(state.releases.items()) if number not in stopped]
    made = [*_versions(asked, state, releases), *_entries(asked, state), *shared.objects(asked)]
    return [_signed(item) for item in _once(made)]


def backend(asked: Asked, revision: Revision) -> Backend:
    """Where a version answers."""
    host = asked.owner.of(revision_name(revision.digest)) if asked.mode in ("deployment", "llm") else asked.owner.name
    return Backend(host, asked.port, revision.version)


def _versions(asked: Asked, state: RolloutState, releases: list[Release]) -> Iterator[dict[str, Any] | None]:
    for release in releases:
        yield workloads.config_map(asked, release.revision)
    if asked.mode == "deployment":
        for release in releases:
            yield workloads.deployment(asked, release.revision)
            yield workloads.service(asked, release.revision)
            yield workloads.autoscaler(asked, release.revision)
            yield workloads.disruption_budget(asked, release.revision)
    elif asked.mode == "llm":
        for release in releases:
            yield kserve.language_model(asked, release.revision, _weight(asked, state, release))
    else:
        yield kserve.inference_service(asked, state)


def _entries(asked: Asked, state: RolloutState) -> Iterator[dict[str, Any]]:
    """Where requests come in, once there is somebody to answer them."""
    if state.routes is None or asked.mode != "deployment":
        return
    if asked.route is not None:
        yield routes.http_route(asked, asked.route, state.routes)
        return
    answering = next(name for name, share in state.routes.shares.items() if share)
    number = state.variants().get(answering)
    if number is not None:
        yield workloads.front(asked, state.releases[number].revision)


def _weight(asked: Asked, state: RolloutState, release: Release) -> int:
    """The share of a version, and for the first one all of it: it need not wait for somebody to answer."""
    if state.routes is None:
        return 1
    host = backend(asked, release.revision).host
    return sum(
        share
        for name, share in state.routes.shares.items()
        if state.routes.backends.get(name) and state.routes.backends[name].host == host
    )


def _once(made: list[dict[str, Any] | None]) -> list[dict[str, Any]]:
    """Two releases of the same version are the same objects."""
    return list({(item["kind"], item["metadata"]["name"]): item for item in made if item is not None}.values())


def _signed(item: dict[str, Any]) -> dict[str, Any]:
    metadata = item["metadata"]
    annotations = {**metadata["annotations"], DIGEST: digest(item)}
    return {**item, "metadata": {**metadata, "annotations": dict(sorted(annotations.items()))}}
