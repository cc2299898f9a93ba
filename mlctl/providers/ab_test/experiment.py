"""The kind `experiments`: the design of an A/B test, fixed before the first unit is assigned. It needs no tool."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from mlctl.provider import Context, Desired, Family, Observed, Outcome, Spec, diff_fields
from mlctl.providers.ab_test.beginning import begun, clear
from mlctl.providers.ab_test.design import Sizing
from mlctl.providers.ab_test.rules import problems
from mlctl.providers.ab_test.spec import ExperimentSpec
from mlctl.providers.ab_test.together import problems_together
from mlctl.stats.assignment import holdout_salt
from mlctl.stats.sticky import anchored
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
        """A unit is in the same arm for the gateway and for the analysis, and in no two experiments that must not meet."""
        return problems_together(specs, uses, ctx)

    def read(self, prior: Record, ctx: Context) -> Observed | None:
        """The definition is in the state, so it is there as long as the state is."""
        return Observed()

    def diff(self, desired: Desired, prior: Record, seen: Observed) -> Sequence[FieldChange]:
        """Field by field."""
        return diff_fields(desired, prior, seen)

    def apply(self, desired: Desired, prior: Record | None, ctx: Context) -> Outcome:
        """Compute the design. The same spec gives the same outputs, but for the ranges: units keep the arms that they have."""
        spec: ExperimentSpec = desired.spec
        salt = salt_of(spec, ctx.project, ctx.made_as(desired.key).address.name)
        # a gateway that splits the traffic itself knows weights alone
        split = "arms" in desired.input("deployments", spec.deployment).outputs
        before = {} if split or prior is None else assigned(prior.outputs, spec.unit, salt)
        outputs = design_outputs(spec, salt, ctx.project, before)
        return Outcome(str(desired.address), {**outputs, "started": begun(spec, salt, prior, ctx)})

    def delete(self, prior: Record, ctx: Context) -> None:
        """Remove what analyses have left; the decisions stay in the ledger."""
        clear(prior, ctx)

    def describe(self, prior: Record) -> str:
        """Units and weeks."""
        units, unit, weeks, power = (prior.outputs.get(name) for name in ("n_total", "unit", "weeks", "power"))
        if units is None or power is None:
            return ""
        time = "" if weeks is None else f" in {weeks} weeks"
        return f"{units:,} {unit}{time}, power {power:.0%}"


def salt_of(spec: ExperimentSpec, project: str, name: str) -> str:
    """What keeps this experiment's assignment independent of all others."""
    return spec.salt or f"{project}.{name}"


def assigned(outputs: Mapping[str, Any], unit: str, salt: str) -> dict[str, list[tuple[float, float]]]:
    """The ranges that an experiment gave to its arms, as long as it draws the same units by the same salt."""
    if outputs.get("unit") != unit or outputs.get("salt") != salt:
        return {}
    return {name: ranges_of(item) for name, item in outputs.get("arms", {}).items()}


def ranges_of(arm: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Of one arm, as outputs hold them; an mlctl before 0.6 wrote a single one."""
    found = arm["ranges"] if "ranges" in arm else [arm["range"]]
    return [(float(start), float(end)) for start, end in found]


def design_outputs(
    spec: ExperimentSpec, salt: str, project: str, before: Mapping[str, list[tuple[float, float]]]
) -> dict[str, Json]:
    """Everything that follows from the spec. `digest` covers what an analysis or an assignment depends on."""
    sizing = Sizing(spec)
    outputs: dict[str, Any] = {
        "deployment": spec.deployment,
        "unit": spec.unit,
        "salt": salt,
        "arms": {
            name: {"weight": spec.arms[name], "ranges": [list(piece) for piece in pieces]}
            for name, pieces in anchored(before, spec.weights, spec.coverage).items()
        },
        **_reserved(spec, project),
        "metric": spec.primary.metric,
        "better": spec.better,
        "difference": spec.difference,
        "guardrails": [item.model_dump(mode="json", exclude_none=True) for item in spec.guardrails],
        **size_outputs(sizing),
        "analysis": spec.model_dump(
            mode="json",
            exclude_none=True,
            include={"primary", "success_metrics", "exposures", "outcomes", "cuped", "subgroups"},
        ),
        "rules": sizing.rules().to_json(),
    }
    return {**outputs, "digest": digest(outputs)}


def _reserved(spec: ExperimentSpec, project: str) -> dict[str, Json]:
    """Who can be in the experiment at all."""
    found: dict[str, Json] = {}
    if spec.namespace is not None:
        found["namespace"] = {"name": spec.namespace.name, "range": list(spec.namespace.range)}
    if spec.holdout is not None:
        found["holdout"] = {"salt": holdout_salt(project), "share": spec.holdout}
    return found


def size_outputs(sizing: Sizing) -> dict[str, Any]:
    """The figures of a design; `weeks` is None where the traffic is not known."""
    design, weeks = sizing.spec.design, sizing.weeks
    return {
        "n_per_arm": sizing.units,
        "n_total": sum(sizing.units.values()),
        "n_per_arm_at_once": sizing.units_at_once,
        "looks": sizing.looks,
        "sequential": design.sequential,
        "tails": design.tails,
        "weeks": weeks,
        "duration_days": None if weeks is None else 7 * weeks,
        "min_days": design.min_duration / 86400,
        "max_weeks": design.max_weeks,
        "alpha": design.alpha,
        "alpha_per_comparison": sizing.alpha,
        "power": design.power,
        "power_per_test": sizing.power,
        "power_exact": sizing.exact_power,
        "inflated_for_guardrails": sizing.inflation,
        "inflated_for_looks": sizing.inflated_for_looks,
    }
