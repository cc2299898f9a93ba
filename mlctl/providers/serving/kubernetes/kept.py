"""A deployment on a cluster, as the kind `deployments` and `mlctl rollout` use it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlctl.provider import Context, Desired, Outcome
from mlctl.providers.serving.behind_gateway import Served
from mlctl.providers.serving.gatewayed import gate
from mlctl.providers.serving.kubernetes import asking, models, world
from mlctl.providers.serving.kubernetes.asked import Asked
from mlctl.providers.serving.kubernetes.convergence import Kept, Rollout, Time
from mlctl.providers.serving.kubernetes.naming import Owner, owner
from mlctl.providers.serving.kubernetes.places import (
    Place,
    empty,
    leave_others,
    note,
    recorded,
    rollout_at,
    stands,
)
from mlctl.providers.serving.kubernetes.pods import needed_variables
from mlctl.providers.serving.kubernetes.reading import read, standing_of
from mlctl.providers.serving.kubernetes.transportable import in_pod
from mlctl.providers.serving.kubernetes.validate import refuse_invalid
from mlctl.providers.serving.rollouts import Standing
from mlctl.providers.serving.spec.deployment import DeploymentSpec
from mlctl.providers.serving.spec.target import KubernetesTarget
from mlctl.rollout.routes import TOTAL, Routes
from mlctl.rollout.state import Arm, Release, RolloutState
from mlctl.rollout.strategies import by_weights
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.rollout import STABLE, Order, Stepwise
from mlctl.types.ownership import differs, not_found
from mlctl.types.state import Record
from mlctl.types.value import Json, digest

__all__ = [
    "adopt", "apply", "approved", "delete", "give", "history", "is_target", "leave", "manifests", "read", "standing", "stands",
]  # fmt: skip


def is_target(spec: DeploymentSpec) -> bool:
    """Whether a deployment is to run on a cluster."""
    return isinstance(spec.target, KubernetesTarget)


def apply(
    desired: Desired, prior: Record | None, served: Mapping[str, Served], ctx: Context, clock: Time | None = None
) -> Outcome:
    """Have the cluster do what is wanted, and wait until the first step holds, or all is done. Raises MlctlError."""
    target = _target(desired.spec)
    place = Place.of(target)
    rollout = rollout_at(place, desired.key, ctx, clock)
    asked = _asked(desired.spec, rollout.owner, served, ctx)
    for model, storage in _storages(target, served, ctx).items():
        models.publish(target.models, storage, ctx.path(served[model].job.model.folder), ctx, asked.address)
    kept = rollout.load() or Kept()
    note(place, prior, desired.key, ctx)
    if kept.asked is not None and kept.asked.mode != asked.mode:
        empty(rollout, kept)  # the other mode's objects would answer beside ours
        kept = Kept()
    found = rollout.move(kept, asked, _again(kept, prior))
    leave_others(place, prior, desired.key, ctx)
    standing = standing_of(found)
    if standing.held is not None and found.state.stable is None and not found.state.arms:
        raise _never_came_up(standing, rollout.owner)
    return Outcome(_id(target, rollout.owner), _outputs(asked, target, standing), gate(standing))


def delete(prior: Record, ctx: Context) -> None:
    """Remove it from every cluster that it may be on."""
    leave_others(None, prior, prior.key, ctx)


def leave(prior: Record | None, desired: Desired, ctx: Context) -> None:
    """Remove what stood on clusters, of a deployment that runs on this machine now."""
    leave_others(None, prior, desired.key, ctx)


def adopt(desired: Desired, id: str, served: Mapping[str, Served], ctx: Context) -> Outcome:
    """Take a deployment over whose record was lost: the cluster knows it by our marks. Raises MlctlError."""
    target, address = _target(desired.spec), str(desired.address)
    rollout = rollout_at(Place.of(target), desired.key, ctx)
    wanted = _id(target, rollout.owner)
    kept = rollout.load() if id == wanted else None
    if kept is None or kept.asked is None:
        why = f"on this cluster, it would be `{wanted}`"
        raise not_found(f"deployment `{id}` of this environment", why, address, "`mlctl apply` makes one")
    asked = _asked(desired.spec, rollout.owner, served, ctx)
    there, here = kept.asked.model_dump(mode="json"), asked.model_dump(mode="json")
    if there != here:
        fields = [(name, there[name], here[name]) for name in here if there[name] != here[name]]
        raise differs(f"`{id}`", address, fields)
    note(Place.of(target), None, desired.key, ctx)
    standing = standing_of(kept)
    return Outcome(wanted, _outputs(asked, target, standing), gate(standing))


def approved(prior: Record, ctx: Context) -> Outcome:
    """Let a held version answer all requests all the same: a person said so."""
    approval = None if prior.gate is None else prior.gate.approval
    who, why = ("", "") if approval is None else (approval.who, approval.why)
    if standing(prior, ctx).held is not None:
        give(prior, Order(what="retry", who=who, why=why), ctx)
        give(prior, Order(what="promote", full=True, who=who, why=why), ctx)
    return Outcome(prior.id, {**prior.outputs, **_answering(standing(prior, ctx))}, prior.gate)


def give(prior: Record, order: Order, ctx: Context, clock: Time | None = None) -> str:
    """Carry out what a person asks of the rollout, and wait until its next step holds. Gives why it was refused, or empty text."""
    rollout, kept, asked = _known(prior, ctx, clock)
    found = rollout.move(kept, asked, order)
    return next((str(item["text"]) for item in found.said if item["what"] == "refused"), "")


def standing(prior: Record, ctx: Context) -> Standing:
    """How the rollout stands, as the cluster keeps it."""
    return standing_of(_known(prior, ctx, None)[1])


def history(prior: Record, ctx: Context) -> tuple[Mapping[str, Any], ...]:
    """What happened, oldest first."""
    return _known(prior, ctx, None)[1].notes


def manifests(desired: Desired, served: Mapping[str, Served], ctx: Context) -> list[dict[str, Any]]:
    """All objects as they are once a first apply is done, for those who bring them to a cluster by themselves. Raises MlctlError."""
    target = _target(desired.spec)
    whose = owner(ctx.made_as(desired.key).address, target.namespace, ctx.lineage)
    asked = _asked(desired.spec, whose, served, ctx)
    made = world.objects(asked, _done(asked))
    refuse_invalid(made, whose.address)
    return made


def _asked(spec: DeploymentSpec, whose: Owner, served: Mapping[str, Served], ctx: Context) -> Asked:
    """What is asked of the cluster. Raises MlctlError for a model that cannot be served there."""
    target, auth = _target(spec), spec.serve.auth
    sealed = [] if auth is None else needed_variables(ctx.secrets.masked(auth.model_dump(mode="json")))
    token = sealed[0] if sealed else None
    revisions = {
        model: asking.revision(
            in_pod(served[model].job, spec, target, whose.address),
            served[model].job.model.name,
            served[model].job.model.version,
            storage,
            spec,
            target,
            seal=ctx.secrets.masked,
            token=token,
        )
        for model, storage in _storages(target, served, ctx).items()
    }
    return asking.asked(whose, spec, target, revisions, token)


def _storages(target: KubernetesTarget, served: Mapping[str, Served], ctx: Context) -> dict[str, str]:
    return {model: models.storage(target.models, item.evaluation, ctx.lineage) for model, item in served.items()}


def _done(asked: Asked) -> RolloutState:
    """The state in which everything that is wanted answers."""
    strategy, unit = asked.wanted.strategy, asked.wanted.unit
    if isinstance(strategy, Stepwise):
        if asked.wanted.revision is None:
            raise ValueError("a strategy of steps has a revision")
        backend = world.backend(asked, asked.wanted.revision)
        routes = Routes({STABLE: backend}, {STABLE: TOTAL}, unit)
        return RolloutState(releases={1: Release(1, asked.wanted.revision)}, stable=1, routes=routes)
    shares = by_weights({name: rule.weight for name, rule in strategy.arms.items()})
    releases = {number: Release(number, rule.revision) for number, rule in enumerate(strategy.arms.values(), 1)}
    arms = tuple(Arm(name, current=number) for number, name in enumerate(strategy.arms, 1))
    routes = Routes({name: world.backend(asked, rule.revision) for name, rule in strategy.arms.items()}, shares, unit)
    return RolloutState(releases=releases, arms=arms, arm_shares=shares, routes=routes)


def _target(spec: DeploymentSpec) -> KubernetesTarget:
    if not isinstance(spec.target, KubernetesTarget):
        raise TypeError("not on a cluster")
    return spec.target


def _known(prior: Record, ctx: Context, clock: Time | None) -> tuple[Rollout, Kept, Asked]:
    rollout = rollout_at(Place.of(recorded(prior)), prior.key, ctx, clock)
    kept = rollout.load()
    if kept is None or kept.asked is None:
        address = str(prior.key.address)
        raise MlctlError.of(
            "rollout.unknown", f"the cluster knows nothing of {address}", "", "run `mlctl apply`", address=address
        )
    return rollout, kept, kept.asked


def _again(kept: Kept, prior: Record | None) -> Order | None:
    """What never came up is tried once more by an apply: it stands in nobody's way."""
    never = kept.asked is not None and kept.state.stable is None and not kept.state.arms and kept.state.held
    return Order(what="retry", who="mlctl apply") if never and (prior is None or not prior.complete) else None


def _never_came_up(found: Standing, whose: Owner) -> MlctlError:
    held = found.held
    return MlctlError.of(
        "rollout.never-ready",
        "it did not come up" if held is None else f"{held.model} v{held.version} did not come up",
        "" if held is None else held.why,
        f"look at its pods (`kubectl -n {whose.namespace} get pods -l {whose.selector}`), mend it, and run `mlctl apply` again",
        address=whose.address,
    )


def _id(target: KubernetesTarget, whose: Owner) -> str:
    """As `mlctl import` takes it: NAMESPACE/NAME, with the context in front where there is one."""
    return "/".join(filter(None, [target.context, whose.namespace, whose.name]))


def _outputs(asked: Asked, target: KubernetesTarget, found: Standing) -> dict[str, Json]:
    """Where it is asked, and what answers."""
    if target.route is not None:
        host = target.route.hostnames[0] if target.route.hostnames else target.route.gateway.name
        url = f"http://{host}{target.route.path.rstrip('/')}"
    else:
        url = f"http://{asked.name}.{asked.namespace}.svc:{asked.port}"
    return {
        "url": url,
        "port": asked.port,
        "namespace": asked.namespace,
        "name": asked.name,
        **_answering(found),
        "predictions": None,
        "digest": digest([url, None]),
    }


def _answering(found: Standing) -> dict[str, Json]:
    """The version that answers; of arms, the first one."""
    state = found.state
    first = state.release(state.stable) or next(iter(state.releases.values()), None)
    return {
        "model": None if first is None else first.revision.model,
        "version": None if first is None else first.revision.version,
    }
