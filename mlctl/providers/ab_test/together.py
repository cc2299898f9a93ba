"""An experiment and the gateway of its deployment assign the same units to the same arms, or the project is refused."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from mlctl.provider import Context
from mlctl.providers.ab_test.spec import ExperimentSpec
from mlctl.stats.assignment import ranges
from mlctl.types.address import Address, ObjectKey
from mlctl.types.diagnostic import Diagnostic


def split_problems(
    specs: Mapping[Address, Any], uses: Mapping[Address, Collection[Address]], ctx: Context
) -> Iterator[tuple[Address, Diagnostic]]:
    """What differs between an experiment and the A/B split of the deployment it is on, one that has such a split."""
    for address, spec in specs.items():
        if not isinstance(spec, ExperimentSpec):
            continue
        for deployment in uses[address]:
            rollout = getattr(specs.get(deployment), "rollout", None)
            if deployment.section == "deployments" and rollout is not None and rollout.ab is not None:
                name = ctx.made_as(ObjectKey(address, "")).address.name
                split = rollout.salt or ctx.made_as(ObjectKey(deployment, "")).address.name
                for problem in _between(spec, spec.salt or f"{ctx.project}.{name}", deployment, rollout, split):
                    yield address, problem


def _between(
    spec: ExperimentSpec, salt: str, deployment: Address, rollout: Any, split_salt: str
) -> Iterator[Diagnostic]:
    weights = {name: arm.weight for name, arm in rollout.ab.arms.items()}
    if ranges(spec.weights) != ranges(weights):
        told = ", ".join(f"{name}: {weight:g}" for name, weight in spec.weights.items())
        yield Diagnostic(
            "experiment.arms-differ",
            f"the arms are not those of {deployment}",
            f"its `rollout.ab` splits {', '.join(f'{name}: {weight:g}' for name, weight in weights.items())}, "
            f"and the experiment {told}; the analysis would look for units in arms they were never in",
            "give both the same arms and weights, in `rollout.ab` with `control` first and the others by name",
            path=("arms",),
        )
    if spec.coverage != 1:
        yield Diagnostic(
            "experiment.coverage",
            f"`coverage` has no effect on the split of {deployment}",
            "its gateway sends every request to an arm",
            "remove `coverage`, or make the arms of `rollout.ab` smaller than the control",
            path=("coverage",),
        )
    if rollout.unit is None:
        yield Diagnostic(
            "experiment.no-unit",
            f"{deployment} draws an arm for each request, and not for each `{spec.unit}`",
            "a unit that sees several arms belongs to none",
            f"name the request header that holds the {spec.unit}: `rollout: {{unit: x-{spec.unit.replace('_', '-')}}}`",
            path=("unit",),
        )
    elif salt != split_salt:
        yield Diagnostic(
            "experiment.salt-differs",
            f"the salt is not that of {deployment}",
            f"the experiment assigns by `{salt}` and the gateway by `{split_salt}`, so that they disagree about half of the units",
            f"write `salt: {split_salt}` here, or `rollout: {{salt: {salt}}}` there",
            path=("salt",) if spec.salt else (),
        )
