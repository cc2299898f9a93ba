"""From what a project says of a deployment to what its controller is told. Pure: equal specs and jobs give equal text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mlctl.providers.serving.spec.deployment import DeploymentSpec
from mlctl.providers.serving.spec.gates import GateSpec
from mlctl.providers.serving.spec.rollout import AB, ArmSpec, BanditSpec, BlueGreen, Canary, Rollout, Shadow
from mlctl.types.jobs.llm import LlmJob
from mlctl.types.jobs.rollout import (
    ArmRule,
    Bandit,
    GateRule,
    GatewaySpec,
    MetricRule,
    Revision,
    Split,
    Step,
    Stepwise,
    Strategy,
    Unit,
    Wanted,
)
from mlctl.types.jobs.server import ServerJob
from mlctl.types.value import digest

_HOST, _ANY_PORT = "127.0.0.1", 0  # of a release: only the gateway talks to it


def has_gateway(spec: DeploymentSpec) -> bool:
    """Whether a gateway stands on the port, and not a server."""
    return spec.rollout is not None and spec.rollout.all_at_once is None


def models_of(spec: DeploymentSpec) -> list[str]:
    """The models that are served, as `name@alias`: the one, or those of the arms, each once."""
    arms = _arms(spec.rollout)
    return list(dict.fromkeys(arm.model for arm in arms.values())) if arms else [spec.model]


def revision_of(
    job: ServerJob | LlmJob, provenance: Mapping[str, Any], seal: Callable[[Any], Any] = lambda value: value
) -> Revision:
    """What is served by a job, wherever it listens. `seal` hides secrets: one that is another makes another revision.

    Where its model came from is kept with it, and does not make it another.
    """
    program = "server" if isinstance(job, ServerJob) else "llm_server"
    params = {**job.model_dump(mode="json"), "host": _HOST, "port": _ANY_PORT}
    adapter = None if isinstance(job, ServerJob) else job.adapter
    return Revision(
        digest=digest([program, seal(params)]),
        model=job.model.name,
        version=job.model.version,
        program=program,
        params=params,
        adapter=None if adapter is None else adapter.name,
        engine_digest=None if adapter is None else digest([program, seal(_engine(params))]),
        provenance=dict(provenance),
    )


def wanted(address: str, name: str, spec: DeploymentSpec, revisions: Mapping[str, Revision], serial: int = 0) -> Wanted:
    """What the controller is told. `revisions` has the ones of `models_of`; `name` is the deployment's, whatever it was moved to."""
    rollout = spec.rollout
    if rollout is None or rollout.all_at_once:
        raise ValueError(f"{address} has no gateway")
    arms = _arms(rollout)
    return Wanted(
        serial=serial,
        deployment=name,
        address=address,
        gateway=GatewaySpec(
            type=rollout.gateway,
            host=spec.serve.host,
            port=spec.serve.port,
            timeout_seconds=spec.serve.timeout,
            max_body_bytes=spec.serve.max_body,
            traced=spec.observe.traces is not None,
        ),
        unit=None if rollout.unit is None else Unit(header=rollout.unit.lower(), salt=rollout.salt or name),
        revision=None if arms else revisions[spec.model],
        strategy=_strategy(rollout, revisions),
        gates={gate: _rule(given) for gate, given in sorted(spec.gates.items())},
        rewards_port=None if rollout.bandit is None else rollout.bandit.rewards_port,
        json_logs=spec.observe.logs == "json",
    )


def canary_steps(canary: Canary) -> list[Step]:
    """The steps with what each takes over from the one before. Copies are sent until the version answers requests itself."""
    steps: list[Step] = []
    weight = mirror = 0.0
    for given in canary.steps:
        weight = weight if given.weight is None else given.weight
        mirror = given.mirror if given.mirror is not None else 0.0 if weight else mirror
        what = f"{weight:g} %" if weight or not mirror else f"copies of {mirror:g} %"
        steps.append(_step(what, weight, mirror, given.pause, given.gate))
    return steps


def blue_green_steps(rules: BlueGreen) -> list[Step]:
    """A preview when there is something to wait for, and the switch when it has to prove itself."""
    steps = []
    if rules.pre is not None or rules.preview is not None:
        mirror = 0.0 if rules.pre is None else 100.0
        steps.append(_step("preview", 0.0, mirror, rules.preview, rules.pre))
    if rules.post is not None:
        steps.append(_step("switched", 100.0, 0.0, None, rules.post))
    return steps


def shadow_steps(shadow: Shadow) -> list[Step]:
    """Copies, for as long as was asked for and until the gate has passed."""
    return [_step("shadow", 0.0, shadow.mirror, shadow.length, shadow.gate)]


def _strategy(rollout: Rollout, revisions: Mapping[str, Revision]) -> Strategy:
    keep = rollout.keep_old
    if rollout.canary is not None:
        return Stepwise(type="canary", steps=canary_steps(rollout.canary), keep_old_seconds=keep)
    if rollout.blue_green is not None:
        return Stepwise(type="blue_green", steps=blue_green_steps(rollout.blue_green), keep_old_seconds=keep)
    if rollout.shadow is not None:
        promote = rollout.shadow.then == "promote"
        steps = shadow_steps(rollout.shadow)
        return Stepwise(type="shadow", steps=steps, promote=promote, keep_old_seconds=keep)
    if rollout.bandit is not None:
        return _bandit(rollout.bandit, revisions)
    return Split(type="ab", arms=_rules(_arms(rollout), revisions))


def _bandit(given: BanditSpec, revisions: Mapping[str, Revision]) -> Bandit:
    return Bandit(
        type="bandit",
        arms=_rules(given.arms, revisions),
        reward=given.reward,
        floor=given.floor,
        update_seconds=given.update,
        min_rewards=given.min_rewards,
        window_seconds=given.window,
        seed=given.seed,
    )


def _arms(rollout: Rollout | None) -> Mapping[str, ArmSpec]:
    found: Sequence[AB | BanditSpec | None] = [] if rollout is None else [rollout.ab, rollout.bandit]
    return next((item.arms for item in found if item is not None), {})


def _rules(arms: Mapping[str, ArmSpec], revisions: Mapping[str, Revision]) -> dict[str, ArmRule]:
    return {name: ArmRule(revision=revisions[arm.model], weight=arm.weight) for name, arm in arms.items()}


def _step(name: str, weight: float, mirror: float, pause: float | str | None, gate: str | None) -> Step:
    seconds = pause if isinstance(pause, float | int) else None
    return Step(name=name, weight=weight, mirror=mirror, pause_seconds=seconds, confirm=pause == "confirm", gate=gate)


def _rule(gate: GateSpec) -> GateRule:
    return GateRule(
        metrics=[MetricRule(name=metric.name, **dict(metric.bounds())) for metric in gate.metrics],
        alpha=gate.alpha,
        min_requests=gate.min_requests,
        on_no_data=gate.on_no_data,
        no_data_seconds=gate.no_data_after,
        interval_seconds=gate.interval,
    )


def _engine(params: Mapping[str, Any]) -> dict[str, Any]:
    """What an engine is told that can have several adapters, as in `LlmJob.engine_digest`: all but which, of which version."""
    return {name: value for name, value in params.items() if name not in ("adapter", "model", "host", "port")}
