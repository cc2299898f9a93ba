"""What experiments, deployments and datasets must agree on, or the project is refused: who is in which arm, and what a row is."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from mlctl.provider import Context
from mlctl.providers.ab_test.spec import ExperimentSpec
from mlctl.stats.assignment import ranges
from mlctl.types.address import Address, ObjectKey
from mlctl.types.diagnostic import Diagnostic


def problems_together(
    specs: Mapping[Address, Any], uses: Mapping[Address, Collection[Address]], ctx: Context
) -> Iterator[tuple[Address, Diagnostic]]:
    """All of them."""
    yield from split_problems(specs, uses, ctx)
    experiments = {address: spec for address, spec in specs.items() if isinstance(spec, ExperimentSpec)}
    for address, spec in sorted(experiments.items()):
        yield from ((address, problem) for problem in _rows(spec, specs))
        yield from ((address, problem) for problem in _log(spec, specs))
        yield from ((address, problem) for problem in _meeting(address, spec, experiments))


def _rows(spec: ExperimentSpec, specs: Mapping[Address, Any]) -> Iterator[Diagnostic]:
    """A row of the outcomes is a unit, or the spec says how the rows of a unit become one value."""
    if spec.outcomes is None:
        return
    key = getattr(specs.get(Address("datasets", spec.outcomes.dataset)), "key", ())
    unit = spec.outcomes.unit or spec.unit
    if not key or set(key) <= {unit, spec.outcomes.timestamp}:
        return
    measured: list[tuple[Any, tuple[str | int, ...]]] = [(spec.primary, ("primary",))]
    measured += [(one, ("success_metrics", index)) for index, one in enumerate(spec.success_metrics)]
    measured += [(one, ("guardrails", index)) for index, one in enumerate(spec.guardrails)]
    for metric, path in measured:
        if metric.type in ("proportion", "mean") and metric.aggregate is None:
            share = "a share of rows" if metric.type == "proportion" else "a mean of rows"
            yield Diagnostic(
                "experiment.row-level",
                f"a row of `{spec.outcomes.dataset}` is a {', '.join(key)} and no `{unit}`, and `{metric.metric}` does not say which it counts",
                f"arms are drawn for each {unit}, so its rows are not independent: a test of rows finds effects that are none",
                f"add `aggregate: {'any' if metric.type == 'proportion' else 'sum'}` for a figure of each {unit}, "
                f"or `type: ratio` with a `denominator` for {share}",
                path=path,
            )


def _log(spec: ExperimentSpec, specs: Mapping[Address, Any]) -> Iterator[Diagnostic]:
    """Exposures without a dataset come from the log of a deployment that writes one."""
    log = getattr(specs.get(Address("deployments", spec.deployment)), "log", None)
    if spec.outcomes is not None and spec.exposures is None and log is not None and not log.predictions:
        yield Diagnostic(
            "experiment.no-log",
            f"`{spec.deployment}` logs no predictions, and there are no `exposures`",
            "who was shown which arm is read from one or the other",
            "remove `log: {predictions: false}` there, or add `exposures: {dataset: ..., timestamp: ...}` here",
            path=("deployment",),
        )


def _meeting(
    address: Address, spec: ExperimentSpec, experiments: Mapping[Address, ExperimentSpec]
) -> Iterator[Diagnostic]:
    """Slices of a namespace that overlap, and holdouts that others run into; told once, of the later of two."""
    for other, theirs in experiments.items():
        if other >= address or theirs.unit != spec.unit:
            continue
        mine, slice_ = spec.namespace, theirs.namespace
        if mine is not None and slice_ is not None and mine.name == slice_.name:
            low, high = max(mine.range[0], slice_.range[0]), min(mine.range[1], slice_.range[1])
            if low < high:
                yield Diagnostic(
                    "experiment.namespace-overlap",
                    f"its range of the namespace `{mine.name}` overlaps with that of {other} from {low:g} to {high:g}",
                    f"a {spec.unit} there would be in both experiments, which the namespace is there to prevent",
                    f"give it a range outside of {slice_.range[0]:g} to {slice_.range[1]:g}",
                    path=("namespace", "range"),
                )
        if spec.holdout != theirs.holdout:
            told = "none" if theirs.holdout is None else f"{theirs.holdout:.0%}"
            own = "none" if spec.holdout is None else f"{spec.holdout:.0%}"
            yield Diagnostic(
                "experiment.holdout-differs",
                f"it holds out {own} of all units, and {other} {told}",
                f"a held-out {spec.unit} is to see no experiment at all, or it shows nothing about all of them",
                "give all experiments on the same unit the same `holdout`",
                path=("holdout",) if spec.holdout is not None else (),
            )


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
    for name in ("namespace", "holdout"):
        if getattr(spec, name) is not None:
            yield Diagnostic(
                f"experiment.{name}",
                f"`{name}` has no effect on the split of {deployment}",
                "its gateway sends every unit to an arm",
                f"remove `{name}`, or assign units by `mlctl experiment assign` or a GrowthBook SDK and give their `exposures`",
                path=(name,),
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
