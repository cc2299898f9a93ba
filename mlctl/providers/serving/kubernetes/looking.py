"""What is seen of a rollout in a cluster: which versions have their pods, which answer, and where requests go. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlctl.providers.serving.kubernetes import kserve, routes, world
from mlctl.providers.serving.kubernetes.asked import Asked
from mlctl.providers.serving.kubernetes.compare import current
from mlctl.providers.serving.kubernetes.kubectl import Objects
from mlctl.providers.serving.kubernetes.naming import REVISION, ROUTES, revision_name
from mlctl.rollout.looks import NEVER_READY_DEATHS
from mlctl.rollout.routes import Routes
from mlctl.rollout.seen import Look
from mlctl.rollout.state import Release, RolloutState

Trouble = Mapping[int, tuple[str, int]]  # of releases: what their pods wait for, and how often one was started anew


def looks(asked: Asked, state: RolloutState, live: Objects, trouble: Trouble) -> dict[int, Look]:
    """Each release. One that is not ready is told as not running: that its pods are started is the cluster's to see to."""
    return {
        number: _look(asked, state, release, live, trouble.get(number, ("", 0)))
        for number, release in state.releases.items()
    }


def routes_in_effect(asked: Asked, state: RolloutState, live: Objects) -> Routes | None:
    """What requests follow, as far as it is known for sure."""
    if state.routes is None:
        return None
    if asked.mode == "deployment" and asked.route is not None:
        there = live.get(("HTTPRoute", asked.owner.name))
        declared = routes.http_route(asked, asked.route, state.routes)
        if there is None or routes.accepted(there) is not None or not _as_declared(declared, asked, state, live):
            return None
        return state.routes
    if asked.mode == "deployment":
        return state.routes if _all_current(asked, state, live, "Service") else None
    if asked.mode == "llm":
        return state.routes if _all_current(asked, state, live, "LLMInferenceService") else None
    there = live.get(("InferenceService", asked.owner.name))
    annotations = {} if there is None else there["metadata"].get("annotations", {})
    told = routes.read(annotations.get(ROUTES))
    return state.routes if there is not None and told == state.routes and _ready(there) else None


def problem(asked: Asked, live: Objects) -> str:
    """Why no requests come in although there is somebody to answer them; empty while nothing is known of it."""
    there = live.get(("HTTPRoute", asked.owner.name))
    if asked.route is None or there is None:
        return ""
    said = routes.accepted(there)
    return (
        ""
        if said is None
        else said or f"no controller has said anything about the route at the Gateway {asked.route.gateway}"
    )


def _look(asked: Asked, state: RolloutState, release: Release, live: Objects, trouble: tuple[str, int]) -> Look:
    if asked.mode == "deployment":
        found = live.get(("Deployment", asked.owner.of(revision_name(release.revision.digest))))
        ready = found is not None and _has_pods(found, all_of_them=not release.was_ready)
    elif asked.mode == "llm":
        found = live.get(("LLMInferenceService", asked.owner.of(revision_name(release.revision.digest))))
        ready = found is not None and _ready(found)
    else:
        found = live.get(("InferenceService", asked.owner.name))
        ready = found is not None and _stands(state, release, found)
    if ready:
        return Look(running=True, backend=world.backend(asked, release.revision))
    why, restarts = trouble
    late = _late(found)
    deaths = NEVER_READY_DEATHS if late else restarts
    return Look(running=False, deaths=deaths, why="; ".join(filter(None, [late, why])))


def _has_pods(found: Mapping[str, Any], *, all_of_them: bool) -> bool:
    """Whether a Deployment has its pods: all, before it gets its first requests, and one of them after that."""
    status, generation = found.get("status", {}), found["metadata"].get("generation", 0)
    available = int(status.get("availableReplicas", 0))
    if not all_of_them:
        return available > 0
    asked = int(found["spec"].get("replicas", 1))
    updated = int(status.get("updatedReplicas", 0))
    return status.get("observedGeneration", 0) >= generation and updated >= asked and available >= max(asked, 1)


def _stands(state: RolloutState, release: Release, found: Mapping[str, Any]) -> bool:
    """Whether a version answers behind the one object of all: the newest when it is ready, the one before all along."""
    newest = kserve.shown(state)
    of_this = found["metadata"].get("labels", {}).get(REVISION) == revision_name(release.revision.digest)
    if newest is not None and newest.number == release.number:
        return of_this and _ready(found)
    return release.was_ready and release.number in state.slots()


def _ready(found: Mapping[str, Any]) -> bool:
    status, generation = found.get("status", {}), found["metadata"].get("generation", 0)
    if status.get("observedGeneration", generation) < generation:
        return False
    return any(item["type"] == "Ready" and item["status"] == "True" for item in status.get("conditions", ()))


def _late(found: Mapping[str, Any] | None) -> str:
    """What a Deployment says when its pods have not become ready in the time that they have."""
    for item in {} if found is None else found.get("status", {}).get("conditions", ()):
        if item["type"] == "Progressing" and item["status"] == "False":
            return ": ".join(filter(None, [item.get("reason"), item.get("message")]))
    return ""


def _as_declared(declared: Mapping[str, Any], asked: Asked, state: RolloutState, live: Objects) -> bool:
    wanted = {(item["kind"], item["metadata"]["name"]): item for item in world.objects(asked, state)}
    name = (declared["kind"], declared["metadata"]["name"])
    return current(wanted[name], live[name])


def _all_current(asked: Asked, state: RolloutState, live: Objects, kind: str) -> bool:
    wanted = [item for item in world.objects(asked, state) if item["kind"] == kind]
    found = [live.get((kind, item["metadata"]["name"])) for item in wanted]
    return all(there is not None and current(item, there) for item, there in zip(wanted, found, strict=True))
