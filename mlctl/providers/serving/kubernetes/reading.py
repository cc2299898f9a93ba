"""What a plan sees of a deployment on a cluster: every object against what was declared, pods, and how the rollout stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlctl.provider import Condition, Context, Observed
from mlctl.providers.serving.kubernetes import world
from mlctl.providers.serving.kubernetes.asked import Asked
from mlctl.providers.serving.kubernetes.compare import differences
from mlctl.providers.serving.kubernetes.convergence import Kept
from mlctl.providers.serving.kubernetes.kubectl import Objects
from mlctl.providers.serving.kubernetes.naming import revision_name
from mlctl.providers.serving.kubernetes.places import Place, recorded, rollout_at
from mlctl.providers.serving.rollouts import UNDER_WAY, Standing
from mlctl.rollout.state import RolloutState
from mlctl.types.jobs.rollout import Revision, Stepwise
from mlctl.types.state import Record
from mlctl.types.value import Json

_SHOWN = 4  # differences that a plan lists


def read(prior: Record, ctx: Context) -> Observed | None:
    """None when the cluster knows nothing of it. Raises MlctlError when it cannot be asked."""
    rollout = rollout_at(Place.of(recorded(prior)), prior.key, ctx)
    kept = rollout.load()
    if kept is None or kept.asked is None:
        return None
    live = rollout.cluster.ours(rollout.owner, kept.kinds)
    found = _differences(kept.asked, kept.state, live)
    if found:
        more = f", and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        detail = "; ".join(found[:_SHOWN]) + more
        return Observed(fields=_fields(prior, kept.asked, live), condition=Condition.BROKEN, detail=detail)
    if waiting := _without_pods(kept.asked, kept.state, live):
        return Observed(condition=Condition.BROKEN, detail=waiting)
    standing = standing_of(kept)
    closed = prior.gate is not None and not prior.gate.open
    if closed and prior.complete and standing.held is None:
        return Observed(condition=Condition.BROKEN, detail="what was held back is not held any more")
    says = standing.says()
    condition = Condition.RUNNING if kept.state.phase in UNDER_WAY else Condition.READY
    return Observed(condition=condition, detail=says or _ready(live), note="" if closed else says)


def standing_of(kept: Kept) -> Standing:
    """How a rollout stands, as it is told of every deployment."""
    wanted = None if kept.asked is None else kept.asked.wanted
    if wanted is None:
        return Standing(kept.state, {})
    if isinstance(wanted.strategy, Stepwise):
        return Standing(kept.state, {}, () if wanted.revision is None else (wanted.revision.digest,))
    return Standing(kept.state, {}, tuple(rule.revision.digest for rule in wanted.strategy.arms.values()))


def _differences(asked: Asked, state: RolloutState, live: Objects) -> list[str]:
    found = []
    for item in world.objects(asked, state):
        there = live.get((item["kind"], item["metadata"]["name"]))
        what = f"{item['kind']} {item['metadata']['name']}"
        found += [f"{what} is gone"] if there is None else [f"{what}: {one}" for one in differences(item, there)]
    return found


def _fields(prior: Record, asked: Asked, live: Objects) -> dict[str, Json]:
    """Fields of the block that somebody has changed in the cluster, with what is there."""
    target: Any = prior.spec["target"]
    found: dict[str, Json] = {}
    for (kind, name), there in sorted(live.items()):
        if kind != "Deployment":
            continue
        count = there["spec"].get("replicas")
        if asked.scale.replicas is not None and count != asked.scale.replicas and "replicas" in target:
            found["replicas"] = count
        image = there["spec"]["template"]["spec"]["containers"][0]["image"]
        wanted: Revision | None = asked.wanted.revision
        if wanted is not None and name.endswith(revision_name(wanted.digest)) and image != target["image"]:
            found["image"] = image
    return {"target": found} if found else {}


def _without_pods(asked: Asked, state: RolloutState, live: Objects) -> str:
    """Versions that should answer and of which no pod is ready."""
    for number in sorted(state.slots()):
        release = state.releases[number]
        there = live.get(("Deployment", asked.owner.of(revision_name(release.revision.digest))))
        if there is not None and not there.get("status", {}).get("availableReplicas"):
            return "; ".join(
                [f"no pod of {release.revision.model} v{release.revision.version} is ready", *_said(there)]
            )
    return ""


def _said(there: Mapping[str, Any]) -> list[str]:
    """What the conditions of an object that are not met say."""
    return [
        ": ".join(filter(None, [item.get("reason"), item.get("message")]))
        for item in there.get("status", {}).get("conditions", ())
        if item["status"] == "False"
    ]


def _ready(live: Objects) -> str:
    counts = [
        f"{there.get('status', {}).get('availableReplicas', 0)} of {there['spec'].get('replicas', 1)} pods ready"
        for (kind, _), there in sorted(live.items())
        if kind == "Deployment"
    ]
    return ", ".join(counts)
