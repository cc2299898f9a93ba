"""What steps may ask of gates: gates that there are, about what is measured where they are asked. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlctl.providers.serving.spec.deployment import DeploymentSpec
from mlctl.providers.serving.spec.engines import TorchEngine
from mlctl.providers.serving.spec.gates import GateSpec
from mlctl.providers.serving.wanted import canary_steps
from mlctl.rollout.bounds import OF_ANSWERS
from mlctl.types.diagnostic import Diagnostic, Severity, did_you_mean

_OF_TOKENS = ("ttft_p50_seconds", "ttft_p95_seconds", "tokens_per_second", *OF_ANSWERS)
_OF_ROWS = ("score_shift",)
_OF_CONTENT = frozenset(("empty_rate", "mismatch_rate"))


@dataclass(frozen=True, slots=True)
class Use:
    """A gate, and the traffic of the step that asks it."""

    gate: str
    weight: float
    mirror: float
    path: tuple[str | int, ...]


def gate_problems(spec: DeploymentSpec) -> Iterator[Diagnostic]:
    """Gates that nobody asks, gates that there are not, and metrics that say nothing where they are asked for."""
    uses = list(_uses(spec))
    for use in uses:
        gate = spec.gates.get(use.gate)
        if gate is None:
            yield problem(
                "unknown-gate",
                f"there is no gate `{use.gate}`",
                "a step waits for a gate of the same deployment",
                did_you_mean(use.gate, spec.gates) or "add it to `gates`",
                use.path,
            )
        else:
            yield from _asked(use, gate)
    for name, gate in spec.gates.items():
        if name not in {use.gate for use in uses}:
            yield problem(
                "unused-gate",
                f"no step of a rollout waits for the gate `{name}`",
                "it would never be asked",
                "name it in a step, or remove it",
                ("gates", name),
            )
        yield from _of_the_engine(spec, name, gate)
    yield from _answers_unseen(spec, uses)


def _uses(spec: DeploymentSpec) -> Iterator[Use]:
    rollout = spec.rollout
    if rollout is None:
        return
    if rollout.canary is not None:
        for place, step in enumerate(canary_steps(rollout.canary)):
            if step.gate is not None:
                path = ("rollout", "canary", "steps", place, "gate")
                yield Use(step.gate, step.weight or 0.0, step.mirror or 0.0, path)
    if rollout.blue_green is not None:
        if rollout.blue_green.pre is not None:
            yield Use(rollout.blue_green.pre, 0.0, 100.0, ("rollout", "blue_green", "pre"))
        if rollout.blue_green.post is not None:
            yield Use(rollout.blue_green.post, 100.0, 0.0, ("rollout", "blue_green", "post"))
    if rollout.shadow is not None and rollout.shadow.gate is not None:
        yield Use(rollout.shadow.gate, 0.0, rollout.shadow.mirror, ("rollout", "shadow", "gate"))


def _asked(use: Use, gate: GateSpec) -> Iterator[Diagnostic]:
    """A gate that could never pass where it is asked."""
    if not use.weight and not use.mirror:
        yield problem(
            "gate-without-requests",
            f"the gate `{use.gate}` is asked before the new version has any requests",
            "no data never passes, so the step would last for ever",
            "give the step a `weight` or a `mirror`",
            use.path,
        )
    elif use.weight >= 100 and (names := gate.compared()):
        yield problem(
            "no-baseline",
            f"the gate `{use.gate}` compares `{names[0]}` with the old version, which answers nothing any more",
            "what both do at the same time can be compared, and nothing else",
            "use hard limits here (`max`, `min`), or ask this gate at a lower weight",
            use.path,
        )
    if not use.mirror and (names := gate.shadowed()):
        yield problem(
            "no-copies",
            f"the gate `{use.gate}` is about `{names[0]}`, and no copies are sent here",
            "only a request that both versions were sent can be answered differently",
            "ask it in a step with `mirror`",
            use.path,
        )


def _of_the_engine(spec: DeploymentSpec, name: str, gate: GateSpec) -> Iterator[Diagnostic]:
    """Metrics that an engine does not have."""
    rows = isinstance(spec.serve.engine, TorchEngine)
    for place, metric in enumerate(gate.metrics):
        if metric.name in (_OF_TOKENS if rows else _OF_ROWS):
            what = "rows of features, and gives no tokens" if rows else "text, and gives no scores"
            yield problem(
                "no-such-metric",
                f"the gate `{name}` is about `{metric.name}`, which the engine `{spec.serve.engine.type}` does not have",
                f"it answers {what}",
                "remove it",
                ("gates", name, "metrics", place, "name"),
            )


def _answers_unseen(spec: DeploymentSpec, uses: Sequence[Use]) -> Iterator[Diagnostic]:
    """Gates of a language model for which one that answers nothing, quickly and with status 200, is as good as any."""
    asked = [spec.gates[use.gate] for use in uses if use.gate in spec.gates]
    seen = {metric.name for gate in asked for metric in gate.metrics}
    if isinstance(spec.serve.engine, TorchEngine) or not asked or seen & _OF_CONTENT:
        return
    yield Diagnostic(
        "rollout.answers-unseen",
        "no gate looks at what the new version answers",
        "a language model that answers nothing has no errors, and is fast",
        "add `{name: empty_rate, max: 0.01}` to the `metrics` of a gate",
        Severity.WARNING,
        path=("gates", next(use.gate for use in uses if use.gate in spec.gates), "metrics"),
    )


def problem(code: str, summary: str, why: str, fix: str, path: tuple[str | int, ...]) -> Diagnostic:
    """What is wrong with a rollout or its gates, at its place in the block."""
    return Diagnostic(f"rollout.{code}", summary, why, fix, path=path)
