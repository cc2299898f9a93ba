"""What a rollout and its gates may not say: what contradicts itself, and what would have no effect. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence

from mlctl.providers.serving.gate_rules import gate_problems, problem
from mlctl.providers.serving.spec.deployment import DeploymentSpec
from mlctl.providers.serving.spec.rollout import BanditSpec, Canary, CanaryStep, Rollout
from mlctl.providers.serving.wanted import canary_steps
from mlctl.types.address import Address
from mlctl.types.diagnostic import Diagnostic
from mlctl.types.jobs.rollout import Step

# Why a field that strategies share has no effect on some of them.
_WITHOUT_UNIT = {
    "all_at_once": "all requests go to one version",
    "blue_green": "all requests go to one version, and then all to the other",
    "shadow": "the stable version answers all requests",
    "bandit": "a bandit draws each request anew, so that its shares can follow the rewards",
}
_WITHOUT_KEEP = {
    "all_at_once": "the old version ends when the new one is ready",
    "ab": "arms run beside each other, and a new version of one replaces the old one for good",
    "bandit": "arms run beside each other, and a new version of one replaces the old one for good",
}


def rollout_problems(spec: DeploymentSpec) -> Iterator[Diagnostic]:
    """Everything that is wrong with `rollout` and `gates` of one deployment."""
    rollout = spec.rollout
    if rollout is not None:
        yield from _shared(rollout)
        yield from _arms(spec, rollout)
        if rollout.canary is not None:
            yield from _canary(rollout.canary)
        if rollout.blue_green is not None:
            told = rollout.blue_green.side_effects
            yield from _copies(told, rollout.blue_green.pre is not None, ("rollout", "blue_green"), "a gate `pre`")
        if rollout.shadow is not None and rollout.shadow.length is None and rollout.shadow.gate is None:
            yield problem(
                "endless",
                "the shadow has neither `for` nor `gate`",
                "it would be at its end as soon as it begins",
                "say how long copies are sent (`for: 1h`), or by which gate they are judged",
                ("rollout", "shadow"),
            )
    yield from gate_problems(spec)


def reward_port_problems(deployments: Mapping[Address, DeploymentSpec]) -> Iterator[tuple[Address, Diagnostic]]:
    """Bandits that want to take rewards on a port that somebody else has."""
    taken = {_place(spec, spec.serve.port): (address, "serve.port") for address, spec in sorted(deployments.items())}
    for address, spec in sorted(deployments.items()):
        bandit = None if spec.rollout is None else spec.rollout.bandit
        if bandit is None:
            continue
        other = taken.setdefault(_place(spec, bandit.rewards_port), (address, "rewards_port"))
        if other != (address, "rewards_port"):
            yield (
                address,
                problem(
                    "same-port",
                    f"`rewards_port: {bandit.rewards_port}` is the `{other[1]}` of {other[0]}",
                    "one server listens on a port",
                    "give each its own port",
                    ("rollout", "bandit", "rewards_port"),
                ),
            )


def _place(spec: DeploymentSpec, port: int) -> tuple[str, int]:
    return str(ipaddress.ip_address(spec.serve.host)), port


def _shared(rollout: Rollout) -> Iterator[Diagnostic]:
    """Fields beside the strategy that have no effect on it."""
    given = rollout.model_fields_set
    name = rollout.strategy
    if "unit" in given and name in _WITHOUT_UNIT:
        yield _no_effect("unit", name, _WITHOUT_UNIT[name])
    if "salt" in given and (rollout.unit is None or name in _WITHOUT_UNIT):
        yield _no_effect("salt", name, "nothing is hashed without `unit`")
    if "keep_old" in given and name in _WITHOUT_KEEP:
        yield _no_effect("keep_old", name, _WITHOUT_KEEP[name])
    if "gateway" in given and name == "all_at_once":
        yield _no_effect("gateway", name, "the server stands on the port itself")
    if name == "ab" and rollout.unit is None:
        yield problem(
            "no-unit",
            "the A/B test does not say what it splits",
            "who comes twice has to meet the same arm, or no effect can be measured",
            "name the request header that tells who asks, for example `unit: x-user-id`",
            ("rollout",),
        )


def _canary(canary: Canary) -> Iterator[Diagnostic]:
    steps = canary_steps(canary)
    yield from _copies(
        canary.side_effects, any(step.mirror for step in steps), ("rollout", "canary"), "a step with `mirror`"
    )
    for place, (given, step) in enumerate(zip(canary.steps, steps, strict=True)):
        path = ("rollout", "canary", "steps", place)
        before = steps[place - 1] if place else Step(weight=0.0, mirror=0.0)
        yield from _step(given, step, before, path)
        if not _waits(step) and _is_left_behind(canary.steps, place):
            yield problem(
                "step-without-effect",
                f"step {place + 1} waits for nothing",
                "it is over as soon as it is in force"
                + ("; after the last step the new version answers all requests anyway" if _last(steps, place) else ""),
                "give it a `pause` or a `gate`, or remove it",
                path,
            )


def _step(given: CanaryStep, step: Step, before: Step, path: tuple[str | int, ...]) -> Iterator[Diagnostic]:
    weight, former = step.weight or 0.0, before.weight or 0.0
    if weight < former:
        yield problem(
            "weight-falls",
            f"the weight falls from {former:g} to {weight:g} %",
            "a rollout goes forward; when something is wrong, its gates and `mlctl rollout abort` take all requests back",
            "let the weights rise",
            (*path, "weight"),
        )
    if given.mirror and weight:
        yield problem(
            "mirror-and-weight",
            f"the step has a mirror beside a weight of {weight:g} %",
            "copies are for a version that answers nothing yet; beside real requests they only take its time",
            "remove `mirror`, or put it into a step before the first weight",
            (*path, "mirror"),
        )
    if given.mirror == 0 and not before.mirror:
        yield problem(
            "step-without-effect",
            "`mirror: 0` has no effect",
            "no copies are sent here",
            "remove it",
            (*path, "mirror"),
        )
    same_weight = given.weight is not None and given.weight == former and len(path) and path[-1] != 0
    if same_weight:
        yield problem(
            "step-without-effect",
            f"`weight: {weight:g}` has no effect",
            "the step before has the same weight",
            "remove it, or raise it",
            (*path, "weight"),
        )


def _waits(step: Step) -> bool:
    return step.gate is not None or step.confirm or step.pause_seconds is not None


def _is_left_behind(given: Sequence[CanaryStep], place: int) -> bool:
    """Whether nothing of a step reaches a later one: the next one sets what this one has set."""
    following = given[place + 1 : place + 2]
    step = given[place]
    return not any(
        (step.weight is not None and after.weight is None)
        or (step.mirror is not None and after.mirror is None and not after.weight)
        for after in following
    )


def _last(steps: Sequence[Step], place: int) -> bool:
    return place == len(steps) - 1


def _copies(told: str | None, sent: bool, path: tuple[str | int, ...], what: str) -> Iterator[Diagnostic]:
    """Copies of requests have to be harmless, and nobody else has to say so."""
    if sent and told is None:
        yield problem(
            "side-effects",
            f"{what} sends each request twice, and nothing says that this does no harm",
            "a model that writes, pays or counts would do it twice",
            "write `side_effects: none` when a request sent twice does no harm, or do without copies",
            path,
        )
    if told is not None and not sent:
        yield problem(
            "no-effect", "`side_effects` has no effect", "no copies are sent", "remove it", (*path, "side_effects")
        )


def _arms(spec: DeploymentSpec, rollout: Rollout) -> Iterator[Diagnostic]:
    found = rollout.ab or rollout.bandit
    if found is None:
        return
    name, control = next(iter(found.arms.items()))
    path = ("rollout", rollout.strategy, "arms")
    if control.model != spec.model:
        yield problem(
            "control",
            f"the first arm `{name}` serves `{control.model}`, and the deployment `{spec.model}`",
            "the first arm is the one that the others are compared with, and what is left when the arms are removed",
            "let `model` of the deployment be that of the first arm",
            (*path, name, "model"),
        )
    if isinstance(found, BanditSpec):
        if found.floor * len(found.arms) > 1:
            yield problem(
                "floor",
                f"{len(found.arms)} arms cannot have at least {found.floor:g} each",
                "shares sum up to 1",
                f"set `floor` to {1 / len(found.arms):.3g} at most",
                ("rollout", "bandit", "floor"),
            )
        elif found.floor * len(found.arms) == 1:
            yield problem(
                "floor",
                f"with `floor: {found.floor:g}` the shares of {len(found.arms)} arms can never change",
                "each has its least share, and there is nothing else to give away",
                "set a smaller `floor`, or use `ab`",
                ("rollout", "bandit", "floor"),
            )


def _no_effect(field: str, strategy: str, why: str) -> Diagnostic:
    return problem("no-effect", f"`{field}` has no effect on `{strategy}`", why, "remove it", ("rollout", field))
