"""The analysis of an experiment as one page: verdict, intervals, units by day, the effect by week and by subgroup. It loads nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from mlctl.providers.ab_test.analysis import Analysis
from mlctl.providers.ab_test.marks import marks
from mlctl.views.html.plots import text
from mlctl.views.html.profile import page
from mlctl.views.human.experiment import HEADS, blamed, headline, look, row, shares, subgroups, units, weeks

_WIDTH, _ROW, _LABEL, _FOOT = 640, 26, 190, 24
_HEIGHT = 180
_TWO_SIDED = 1.959963984540054


def render(analysis: Analysis) -> str:
    """The page."""
    outputs, moments = analysis.outputs, analysis.moments
    facts = "".join(
        f"<tr><th scope='row'>{name}</th><td>{text(value)}</td></tr>"
        for name, value in (
            ("Rule", outputs["rule"]), ("Units", units(outputs)), ("Look", look(outputs)), ("Shares", shares(outputs)),
            ("First exposure", outputs["first"] or "-"), ("Until", outputs["until"]), ("Kept as", analysis.decision),
        )
    )  # fmt: skip
    reasons = "".join(f"<li>{text(one)}</li>" for one in (*outputs["reasons"], *blamed(outputs)))
    notes = "".join(f"<li>{text(one)}</li>" for one in marks(moments, outputs))
    body = (
        f"<h1>{text(analysis.experiment)}: {text(headline(outputs))}</h1><ul>{reasons}</ul><table>{facts}</table>"
        + (f"<h2>Not counted, and worth a look</h2><ul class='remarks'>{notes}</ul>" if notes else "")
        + _metrics(outputs)
        + _looks(outputs)
        + _units(moments)
        + _parts(outputs)
    )
    return page(f"{analysis.experiment}: {headline(outputs)}", body)


def _metrics(outputs: Mapping[str, Any]) -> str:
    if not outputs["metrics"]:
        return ""
    heads = "".join(f"<th>{text(head)}</th>" for head in HEADS)
    rows = "".join(f"<tr>{''.join(f'<td>{text(cell)}</td>' for cell in row(one))}</tr>" for one in outputs["metrics"])
    shown = [
        (f"{one['metric']}, {one['arm']}", one["relative"], one["relative_low"], one["relative_high"])
        for one in outputs["metrics"] if one["relative"] is not None and one["relative_low"] is not None
    ]  # fmt: skip
    plot = _intervals("Relative difference, with intervals that hold over all looks", shown, "{:+.2%}")
    return f"<h2>Metrics</h2><div class='wide'><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>{plot}"


def _looks(outputs: Mapping[str, Any]) -> str:
    """The statistic of the first metric at each look, against the last critical value."""
    if not outputs["looks"] or not outputs["metrics"]:
        return ""
    first = outputs["metrics"][0]
    readings = [
        (look["at"], one["z"])
        for look in outputs["looks"] for one in look["readings"] if (one["arm"], one["metric"]) == (first["arm"], first["metric"])
    ]  # fmt: skip
    rows = "".join(
        f"<tr><td>{number}</td><td>{text(at)}</td><td class='n'>{z:+.3f}</td></tr>"
        for number, (at, z) in enumerate(readings, 1)
    )
    critical = "" if first["critical"] is None else f" At the last look it is held against {first['critical']:.3f}."
    return (
        f"<h2>Looks</h2><p>The statistic of {text(first['metric'])} of {text(first['arm'])}, positive when it is better.{critical}</p>"
        f"<table><thead><tr><th>Look</th><th>Until</th><th class='n'>z</th></tr></thead><tbody>{rows}</tbody></table>"
    )


def _units(moments: Mapping[str, Any]) -> str:
    """Each arm's units so far, by day."""
    days = sorted(moments["days"])
    if len(days) < 2:
        return ""
    arms = list(dict.fromkeys(arm for day in days for arm in moments["days"][day]))
    lines = {arm: list(accumulate(moments["days"][day].get(arm, 0) for day in days)) for arm in arms}
    most = max(line[-1] for line in lines.values())
    drawn = ""
    for index, (arm, line) in enumerate(lines.items()):
        path = " ".join(f"{_x(place, len(days)):.1f},{_y(value / most):.1f}" for place, value in enumerate(line))
        dashes = f" stroke-dasharray='{4 + index} {2 * index}'" if index else ""
        drawn += f"<polyline points='{path}' fill='none' stroke='currentColor' stroke-width='2'{dashes}><title>{text(arm)}: {line[-1]:,}</title></polyline>"
        drawn += f"<text x='{_WIDTH - 4}' y='{_y(line[-1] / most) + 12 * index - 4:.1f}' text-anchor='end'>{text(arm)} {line[-1]:,}</text>"
    ends = f"<text x='0' y='{_HEIGHT - 4}'>{text(days[0])}</text><text x='{_WIDTH}' y='{_HEIGHT - 4}' text-anchor='end'>{text(days[-1])}</text>"
    return f"<h2>Units so far</h2>{_svg('Units of each arm by day', drawn + ends, _HEIGHT)}"


def _parts(outputs: Mapping[str, Any]) -> str:
    found = ""
    for one in outputs["novelty"]:
        shown = [_with_error(f"week {week['week']}", week) for week in one["weeks"]]
        if len(shown) > 1:
            found += f"<h2>Effect of {text(one['arm'])} by week of the first exposure</h2>{_intervals('Difference by week', shown, '{:+.4g}')}"
    for one in outputs["subgroups"]:
        shown = [_with_error(value["value"], value) for value in one["values"]]
        if shown:
            found += f"<h2>Effect of {text(one['arm'])} by {text(one['subgroup'])}</h2>{_intervals('Difference by subgroup', shown, '{:+.4g}')}"
    told = "".join(f"<li>{text(line)}</li>" for line in (*subgroups(outputs), *weeks(outputs)))
    return found + (
        f"<ul>{told}</ul><p class='soft'>Intervals of parts are of 95 %, each by itself.</p>" if told else ""
    )


_Interval = tuple[str, float, float | None, float | None]


def _with_error(name: str, one: Mapping[str, Any]) -> _Interval:
    half = _TWO_SIDED * one["error"]
    return name, one["difference"], one["difference"] - half, one["difference"] + half


def _intervals(title: str, shown: Sequence[_Interval], form: str) -> str:
    """A line for each with its middle, and a line at nothing."""
    ends = [value for _, middle, low, high in shown for value in (middle, low, high, 0.0) if value is not None]
    if not shown:
        return ""
    low_end, high_end = min(ends), max(ends)
    room = (high_end - low_end) or 1.0
    drawn = "".join(_drawn(shown, low_end, room, form))
    zero, height = _at(0.0, low_end, room), len(shown) * _ROW + _FOOT
    axis = f"<line class='axis' x1='{zero:.1f}' y1='0' x2='{zero:.1f}' y2='{height - _FOOT}'/><text x='{zero:.1f}' y='{height - 8}' text-anchor='middle'>0</text>"
    return _svg(title, axis + drawn, height)


def _drawn(shown: Sequence[_Interval], low_end: float, room: float, form: str) -> Iterator[str]:
    for index, (name, middle, low, high) in enumerate(shown):
        y = index * _ROW + _ROW / 2
        told = form.format(middle) + (
            "" if low is None or high is None else f" ({form.format(low)} .. {form.format(high)})"
        )
        yield f"<text class='ink' x='{_LABEL - 8}' y='{y + 4:.1f}' text-anchor='end'>{text(name)}</text>"
        if low is not None and high is not None:
            left, right = _at(low, low_end, room), _at(high, low_end, room)
            yield f"<line x1='{left:.1f}' x2='{right:.1f}' y1='{y:.1f}' y2='{y:.1f}' stroke='currentColor' stroke-width='2'/>"
        yield f"<circle cx='{_at(middle, low_end, room):.1f}' cy='{y:.1f}' r='4' class='bar'><title>{text(f'{name}: {told}')}</title></circle>"


def _at(value: float, low: float, room: float) -> float:
    return _LABEL + (_WIDTH - _LABEL - 20) * (value - low) / room


def _x(index: int, number: int) -> float:
    return (_WIDTH - 4) * index / (number - 1)


def _y(share: float) -> float:
    return (_HEIGHT - 20) - (_HEIGHT - 40) * share


def _svg(title: str, drawn: str, height: float) -> str:
    return f"<figure><svg viewBox='0 0 {_WIDTH} {height:g}' role='img'><title>{text(title)}</title>{drawn}</svg><figcaption>{text(title)}</figcaption></figure>"
