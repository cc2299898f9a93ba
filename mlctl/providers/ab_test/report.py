"""What `mlctl experiment size` prints: the size of a design, and what it would find in fewer or more weeks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlctl.providers.ab_test.design import Sizing
from mlctl.providers.ab_test.experiment import design_outputs, salt_of, size_outputs
from mlctl.providers.ab_test.spec import ExperimentSpec
from mlctl.providers.ab_test.traffic import Traffic
from mlctl.types.value import Json

_BAR = 32
_SPOKEN = {"obrien_fleming": "O'Brien-Fleming bounds", "pocock": "Pocock bounds"}


def size_report(spec: ExperimentSpec, project: str, name: str, traffic: Traffic | None = None) -> dict[str, Json]:
    """The outputs of the experiment, applied or not, and its curve of smallest effects by weeks. The spec must have passed its check.

    `traffic` is what was counted, for a design that does not say how many units come by.
    """
    baseline = spec.primary.baseline
    sizing = Sizing(spec, None if traffic is None else traffic.daily_units)
    curve = [
        {
            "weeks": point,
            "absolute": found,
            "relative": found / abs(baseline) if found is not None and baseline else None,
        }
        for point, found in sizing.curve()
    ]
    return {
        "experiment": name,
        **design_outputs(spec, salt_of(spec, project, name), project, {}),
        **size_outputs(sizing),
        "baseline": baseline,
        "type": spec.primary.type,
        "daily_units": sizing.daily,
        "traffic": None if traffic is None else traffic.to_json(),
        "curve": curve,
    }


def size_text(report: Mapping[str, Any]) -> str:
    """The report for a person."""
    arms = "  ".join(f"{name} {count:,}" for name, count in report["n_per_arm"].items())
    target = f"{report['metric']} {report['baseline']:g} -> {report['baseline'] + report['difference']:g}"
    count, tails = len(report["guardrails"]), report["tails"]
    lines = [
        f"{report['experiment']}: {report['n_total']:,} {report['unit']}{_duration(report)}",
        f"  arms        {arms}",
        f"  to find     {target} ({report['type']}), alpha {report['alpha']:g}{' on one side' if tails == 1 else ''}, power {report['power']:.0%}",
        f"  guardrails  {count}: {report['inflated_for_guardrails']:.3f} times the units, so that each test has power {report['power_per_test']:.1%}",
        f"  looks       {_looks(report)}",
        f"  exact power {report['power_exact']:.2%} of the primary test, looked at once at {sum(report['n_per_arm_at_once'].values()):,}",
    ]
    if report["daily_units"] is None:
        lines.append("  traffic     not known: give `daily_units`, or log predictions with a unit")
    elif report["traffic"] is not None:
        found = report["traffic"]
        lines.append(
            f"  traffic     {found['daily_units']:,.0f} a day, counted in {found['days']} day{'s' if found['days'] > 1 else ''} of the prediction log"
        )
    if report["curve"]:
        largest = max(
            (abs(point["absolute"]) for point in report["curve"] if point["absolute"] is not None), default=0.0
        )
        lines += [
            "",
            "  weeks  smallest effect found",
            *(_line(point, report["weeks"], largest) for point in report["curve"]),
        ]
    return "\n".join(lines)


def _duration(report: Mapping[str, Any]) -> str:
    if report["weeks"] is None:
        return ""
    return f" in {report['weeks']} week{'s' if report['weeks'] > 1 else ''} ({report['duration_days']} days)"


def _looks(report: Mapping[str, Any]) -> str:
    if report["sequential"] == "fixed":
        return "1, at the end: what is seen before decides nothing"
    more = f"{report['inflated_for_looks']:.3f} times the units"
    if report["sequential"] == "always_valid":
        return f"any number, at any time: {more}"
    return f"{report['looks']} at most ({_SPOKEN[report['sequential']]}): {more}"


def _line(point: Mapping[str, Any], planned: int, largest: float) -> str:
    found, bar = "none", ""
    if point["absolute"] is not None:
        found = f"{point['absolute']:+.4g}" + (f"  ({point['relative']:+.2%})" if point["relative"] is not None else "")
        bar = "█" * max(1, round(_BAR * abs(point["absolute"]) / largest)) if largest else ""
    line = f"  {point['weeks']:>5}  {found:<22}  {bar}"
    return f"{line}{'   <- planned' if point['weeks'] == planned else ''}".rstrip()
