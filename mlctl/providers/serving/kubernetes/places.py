"""Where a deployment stands: the namespaces of clusters that it has objects in, noted before anything is made there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mlctl.files import atomic
from mlctl.provider import Context
from mlctl.providers.serving.kubernetes.convergence import Kept, Rollout, Time, state_name
from mlctl.providers.serving.kubernetes.kubectl import OWN, RESOURCES, Cluster
from mlctl.providers.serving.kubernetes.naming import owner
from mlctl.providers.serving.spec.target import KubernetesTarget
from mlctl.types.address import ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Record

PLACES_FILE = "clusters.json"  # in the folder of the deployment: {"places": [[context, namespace], ...]}


class Place(NamedTuple):
    """A namespace of a cluster; without a context, of the one that is kubectl's current one."""

    context: str | None
    namespace: str

    @classmethod
    def of(cls, target: KubernetesTarget) -> Place:
        """Where a block is to stand."""
        return cls(target.context, target.namespace)


def stands(prior: Record) -> bool:
    """Whether what was recorded is on a cluster."""
    target: Any = prior.spec.get("target")
    return isinstance(target, Mapping) and target.get("type") == "kubernetes"


def recorded(prior: Record) -> KubernetesTarget:
    """The target of what stands on a cluster."""
    return KubernetesTarget.model_validate(prior.spec["target"])


def rollout_at(place: Place, key: ObjectKey, ctx: Context, clock: Time | None = None) -> Rollout:
    """The rollout of a deployment at one place."""
    whose = owner(ctx.made_as(key).address, place.namespace, ctx.lineage)
    cluster = Cluster(place.context, place.namespace, str(key.address), ctx.secrets)
    return Rollout(cluster, whose, ctx, clock or Time())


def note(place: Place, prior: Record | None, key: ObjectKey, ctx: Context) -> None:
    """Write down that there are to be objects, before there are any."""
    known = list(dict.fromkeys([*_noted(key, ctx), *_of(prior), place]))
    _write(known, key, ctx)


def leave_others(place: Place | None, prior: Record | None, key: ObjectKey, ctx: Context) -> None:
    """Remove what stands anywhere else than at one place, or anywhere at all. Raises MlctlError."""
    for other in dict.fromkeys([*_noted(key, ctx), *_of(prior)]):
        if other != place:
            remove(other, key, ctx)
    _write([] if place is None else [place], key, ctx)


def remove(place: Place, key: ObjectKey, ctx: Context) -> None:
    """Everything that carries our marks goes, and the state of the rollout last. What is not there is not missed."""
    rollout = rollout_at(place, key, ctx)
    empty(rollout, rollout.load() or Kept(kinds=_possible(rollout)))


def empty(rollout: Rollout, kept: Kept) -> None:
    """The same for what was loaded already."""
    state = ("ConfigMap", state_name(rollout.owner))
    found = [name for name in rollout.cluster.ours(rollout.owner, kept.kinds) if name != state]
    kinds = list(RESOURCES)
    rollout.cluster.delete(sorted(found, key=lambda name: (kinds.index(name[0]), name[1]), reverse=True))
    rollout.cluster.delete([state])


def _possible(rollout: Rollout) -> frozenset[str]:
    """The kinds that there may be objects of when the state is gone: Kubernetes' own, and those that the cluster knows besides."""
    found = set(OWN)
    for kind in RESOURCES.keys() - OWN:
        try:
            if rollout.cluster.ours(rollout.owner, {kind}):
                found.add(kind)
        except MlctlError:
            continue  # a cluster that does not know a kind has no objects of it; one that does not answer says so below
    return frozenset(found)


def _noted(key: ObjectKey, ctx: Context) -> Iterator[Place]:
    stored = atomic.read_object(_file(key, ctx)) or {}
    for context, namespace in stored.get("places", ()):
        yield Place(context, namespace)


def _of(prior: Record | None) -> list[Place]:
    return [Place.of(recorded(prior))] if prior is not None and stands(prior) else []


def _write(places: list[Place], key: ObjectKey, ctx: Context) -> None:
    path = _file(key, ctx)
    if places:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        atomic.write_json(path, {"places": [list(place) for place in places]})
    else:
        path.unlink(missing_ok=True)


def _file(key: ObjectKey, ctx: Context) -> Path:
    return ctx.folder(key) / PLACES_FILE
