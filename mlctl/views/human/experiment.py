"""The analysis of an experiment as text: the verdict and why, each metric with its interval, and what stands beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mlctl.providers.ab_test.analysis import Analysis
from mlctl.providers.ab_test.marks import marks
from mlctl.views.human.style import Paint
from mlctl.views.human.table import table
from mlctl.views.human.text import safe

_COLOURS = {"ship": "green", "stop": "red", "continue": "yellow", "invalid": "red"}
HEADS = ("metric", "arm", "control", "treatment", "difference", "interval", "relative", "says")
_RIGHT = ("control", "treatment", "difference", "interval", "relative")
_TOLD = 0.05  # level of what is only told


def render(analysis: Analysis, *, color: bool) -> str:
    """All of it."""
    paint, outputs = Paint(color), analysis.outputs
    lines = [
        f"{safe(analysis.experiment)}: {paint(headline(outputs), 'bold', _COLOURS[outputs['verdict']])}",
        f"  rule      {safe(outputs['rule'])}",
        *(f"            {safe(reason)}" for reason in outputs["reasons"]),
        f"  units     {safe(units(outputs))}",
        f"  look      {safe(look(outputs))}",
        f"  shares    {safe(shares(outputs))}",
        *(f"            {safe(one)}" for one in blamed(outputs)),
        "",
    ]
    rows = [row(one) for one in outputs["metrics"]]
    shown = table(HEADS, rows, right=_RIGHT, color=color).splitlines() if rows else []
    lines += [f"  {line}" for line in shown] + ([""] if shown else [])
    lines += [f"  {safe(one)}" for one in (*subgroups(outputs), *weeks(outputs))]
    lines += [f"  {paint('note', 'yellow')} {safe(one)}" for one in marks(analysis.moments, outputs)]
    lines.append(f"  kept as   {analysis.decision}")
    return "\n".join(lines) + "\n"


def headline(outputs: Mapping[str, Any]) -> str:
    """The verdict, with the arm that is shipped."""
    return f"{outputs['verdict']}{' ' + outputs['arm'] if outputs['arm'] else ''}"


def units(outputs: Mapping[str, Any]) -> str:
    """How many came to each arm, and how many of the planned ones are old enough."""
    each = ", ".join(f"{arm} {count:,}" for arm, count in outputs["units"].items())
    return f"{each}; {outputs['fraction']:.0%} of the planned ones are old enough to count"


def look(outputs: Mapping[str, Any]) -> str:
    """Which look this is, or when the next one is made."""
    made = len(outputs["looks"])
    if outputs["looked"]:
        return f"number {made}, until {outputs['until']}"
    return f"none now ({made} so far); the next one {outputs['next_look']}"


def shares(outputs: Mapping[str, Any]) -> str:
    """Whether units came to the arms as asked for."""
    ratio = outputs["ratio"]
    told = f"p {ratio['p_value']:.2g}, alpha {ratio['alpha']:g}, over all days"
    if ratio["passed"]:
        return f"as asked for ({told})"
    return f"not as asked for since {ratio['first_bad_day']} ({told})"


def blamed(outputs: Mapping[str, Any]) -> Iterator[str]:
    """The segments that are furthest off."""
    for one in outputs["ratio"]["blame"]:
        counts = ", ".join(f"{arm} {count:,}" for arm, count in one["units"].items())
        yield f"{one['segment']}: {counts} (p {one['p_value']:.2g})"


def row(one: Mapping[str, Any]) -> list[str]:
    """One line of the table. Intervals hold over all looks; of a guardrail, that of its own level."""
    name = f"{one['metric']} (guardrail)" if one["role"] == "guardrail" else one["metric"]
    interval = "-" if one["low"] is None else f"{one['low']:+.4g} .. {one['high']:+.4g}"
    relative = "-" if one["relative"] is None else f"{one['relative']:+.2%}"
    cuped = f" (covariate explains {one['explained']:.0%})" if one["adjusted"] else ""
    figures = [f"{one['control']:.5g}", f"{one['treatment']:.5g}", f"{one['difference']:+.4g}", interval, relative]
    return [name, one["arm"], *figures, one["says"] + cuped]


def subgroups(outputs: Mapping[str, Any]) -> Iterator[str]:
    """Where the effect differs, or that it does not."""
    for one in outputs["subgroups"]:
        if one["p_value"] is None:
            continue
        differs = "differs" if one["p_value"] < _TOLD else "does not differ"
        yield f"{one['subgroup']}: the effect of {one['arm']} {differs} between its values (Cochran's Q, p {one['p_value']:.2g})"
        for value in one["values"]:
            if value["p_adjusted"] < _TOLD:
                yield f"  {value['value']}: {value['difference']:+.4g} ({value['units']:,} units, adjusted p {value['p_adjusted']:.2g})"


def weeks(outputs: Mapping[str, Any]) -> Iterator[str]:
    """Whether the effect wears off."""
    for one in outputs["novelty"]:
        if one["fades"]:
            first, last = one["weeks"][0], one["weeks"][-1]
            yield (
                f"the effect of {one['arm']} wears off: {first['difference']:+.4g} in week {first['week']}, "
                f"{last['difference']:+.4g} in week {last['week']} (p {one['p_value']:.2g})"
            )
