"""What `mlctl experiment size` prints: the size of a design, and what it would find in fewer or more weeks."""

from __future__ import annotations

from typing import Any

from mlctl.providers.ab_test.design import Sizing
from mlctl.providers.ab_test.experiment import design_outputs, salt_of
from mlctl.providers.ab_test.spec import ExperimentSpec
from mlctl.types.value import Json


def size_report(spec: ExperimentSpec, project: str, name: str) -> dict[str, Json]:
    """The outputs of the experiment, applied or not, and its curve of smallest effects by weeks. The spec must have passed its check."""
    baseline = spec.primary.baseline
    curve = [
        {"weeks": point, "absolute": found, "relative": found / baseline if found is not None and baseline else None}
        for point, found in Sizing(spec).curve()
    ]
    return {
        "experiment": name,
        **design_outputs(spec, salt_of(spec, project, name)),
        "baseline": baseline,
        "type": spec.primary.type,
        "curve": curve,
    }


def size_text(report: dict[str, Any]) -> str:
    """The report for a person."""
    arms = "  ".join(f"{name} {count:,}" for name, count in report["n_per_arm"].items())
    target = f"{report['metric']} {report['baseline']:g} -> {report['baseline'] + report['difference']:g}"
    count = len(report["guardrails"])
    lines = [
        f"{report['experiment']}: {report['n_total']:,} {report['unit']} in {report['weeks']} weeks ({report['duration_days']} days)",
        f"  arms        {arms}",
        f"  to find     {target} ({report['type']}), alpha {report['alpha']:g}, power {report['power']:.0%}",
        f"  guardrails  {count}: {report['inflated_for_guardrails']:.3f} times the units, so that each test has power {report['power_per_test']:.1%}",
        f"  exact power {report['power_exact']:.2%} of the primary test at these units",
        "",
        "  weeks  smallest effect found",
        *(_line(point, report["weeks"]) for point in report["curve"]),
    ]
    return "\n".join(lines)


def _line(point: dict[str, Any], planned: int) -> str:
    found = "none"
    if point["absolute"] is not None:
        found = f"{point['absolute']:+.4g}" + (f"  ({point['relative']:+.2%})" if point["relative"] is not None else "")
    return f"  {point['weeks']:>5}  {found}" + ("   <- planned" if point["weeks"] == planned else "")
