"""The kind `experiments`: the design of an A/B test, fixed before the first unit is assigned. It needs no tool."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from mlctl.provider import Context, Desired, Family, Observed, Outcome, Spec, diff_fields
from mlctl.providers.ab_test.design import Sizing
from mlctl.providers.ab_test.rules import problems
from mlctl.providers.ab_test.spec import ExperimentSpec
from mlctl.providers.ab_test.together import split_problems
from mlctl.stats.assignment import ranges
from mlctl.types.address import Address
from mlctl.types.change import FieldChange, FieldClass
from mlctl.types.diagnostic import Diagnostic
from mlctl.types.state import Record
from mlctl.types.value import Json, digest


class Experiment:
    """An experiment lives in the state alone: arms, ranges, units and duration are outputs that others read."""

    section: ClassVar[str] = "experiments"
    family: ClassVar[Family] = Family.DEFINITION
    spec: ClassVar[type[Spec]] = ExperimentSpec
    identity: ClassVar[frozenset[str]] = frozenset()
    field_class: ClassVar[FieldClass] = FieldClass.DESIGN
    settings: ClassVar[frozenset[str]] = frozenset()

    def check(self, spec: ExperimentSpec, ctx: Context) -> Sequence[Diagnostic]:
        """Refuse designs that could not decide anything."""
        return problems(spec)

    def check_together(
        self, specs: Mapping[Address, Any], uses: Mapping[Address, Collection[Address]], ctx: Context
    ) -> Iterable[tuple[Address, Diagnostic]]:
        """A unit is in the same arm for the gateway and for the analysis."""
        return split_problems(specs, uses, ctx)

    def read(self, prior: Record, ctx: Context) -> Observed | None:
        """The definition is in the state, so it is there as long as the state is."""
        return Observed()

    def diff(self, desired: Desired, prior: Record, seen: Observed) -> Sequence[FieldChange]:
        """Field by field."""
        return diff_fields(desired, prior, seen)

    def apply(self, desired: Desired, prior: Record | None, ctx: Context) -> Outcome:
        """Compute the design. Pure: the same spec gives the same outputs."""
        spec: ExperimentSpec = desired.spec
        outputs = design_outputs(spec, salt_of(spec, ctx.project, ctx.made_as(desired.key).address.name))
        return Outcome(str(desired.address), outputs)

    def delete(self, prior: Record, ctx: Context) -> None:
        """There is nothing outside the state."""

    def describe(self, prior: Record) -> str:
        """Units and weeks."""
        units, unit, weeks, power = (prior.outputs.get(name) for name in ("n_total", "unit", "weeks", "power_exact"))
        if units is None or weeks is None or power is None:
            return ""
        return f"{units:,} {unit} in {weeks} weeks, power {power:.1%}"


def salt_of(spec: ExperimentSpec, project: str, name: str) -> str:
    """What keeps this experiment's assignment independent of all others."""
    return spec.salt or f"{project}.{name}"


def design_outputs(spec: ExperimentSpec, salt: str) -> dict[str, Json]:
    """Everything that follows from the spec. `digest` covers what an analysis or an assignment depends on."""
    sizing = Sizing(spec)
    arms = {
        arm.name: {"weight": spec.arms[arm.name], "range": [arm.start, arm.end]}
        for arm in ranges(spec.weights, spec.coverage)
    }
    outputs: dict[str, Any] = {
        "deployment": spec.deployment,
        "unit": spec.unit,
        "salt": salt,
        "arms": arms,
        "metric": spec.primary.metric,
        "difference": spec.difference,
        "guardrails": [item.model_dump(mode="json", exclude_none=True) for item in spec.guardrails],
        "n_per_arm": sizing.units,
        "n_total": sum(sizing.units.values()),
        "weeks": sizing.weeks,
        "duration_days": 7 * sizing.weeks,
        "alpha": spec.design.alpha,
        "alpha_per_comparison": sizing.alpha,
        "power": spec.design.power,
        "power_per_test": sizing.power,
        "power_exact": sizing.exact_power,
        "inflated_for_guardrails": sizing.inflation,
    }
    return {**outputs, "digest": digest(outputs)}
