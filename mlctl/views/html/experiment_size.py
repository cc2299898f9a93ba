"""The size of an experiment as a page: its figures, and the smallest effect that it finds by weeks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlctl.views.html.plots import text
from mlctl.views.html.profile import page

_WIDTH, _HEIGHT, _LEFT, _FOOT, _TOP, _RIGHT = 640, 280, 74, 40, 16, 24


def render(report: Mapping[str, Any], told: str) -> str:
    """The page; `told` is the report as the terminal shows it."""
    name = report["experiment"]
    plot = _curve(report) if any(point["absolute"] is not None for point in report["curve"]) else ""
    figures = "\n".join(line for line in told.splitlines()[: len(told.splitlines()) - len(report["curve"]) - 2 or None])
    arms = "".join(
        f"<tr><th scope='row'>{text(arm)}</th><td class='n'>{count:,}</td><td class='n'>{report['n_per_arm_at_once'][arm]:,}</td></tr>"
        for arm, count in report["n_per_arm"].items()
    )
    rows = "".join(
        f"<tr><th scope='row'>{point['weeks']}</th><td class='n'>{_effect(point)}</td></tr>"
        for point in report["curve"]
    )
    weeks = f"<h2>Smallest effect found, by weeks</h2>{plot}<table><thead><tr><th>Weeks</th><th class='n'>Effect</th></tr></thead><tbody>{rows}</tbody></table>"
    return page(
        f"Size of {name}",
        f"<h1>Size of {text(name)}</h1><pre>{text_lines(figures if report['curve'] else told)}</pre>"
        f"<h2>Units</h2><table><thead><tr><th>Arm</th><th class='n'>With all looks</th><th class='n'>Looked at once</th></tr></thead><tbody>{arms}</tbody></table>"
        + (weeks if report["curve"] else ""),
    )


def text_lines(told: str) -> str:
    """Lines of text as HTML holds them."""
    return "\n".join(text(line) for line in told.splitlines())


def _effect(point: Mapping[str, Any]) -> str:
    if point["absolute"] is None:
        return "none"
    relative = "" if point["relative"] is None else f" ({point['relative']:+.2%})"
    return f"{point['absolute']:+.4g}{relative}"


def _curve(report: Mapping[str, Any]) -> str:
    """The effect's size over weeks, with the planned week marked."""
    points = [point for point in report["curve"] if point["absolute"] is not None]
    last, highest = report["curve"][-1]["weeks"], max(abs(point["absolute"]) for point in points)
    places = [(_x(point["weeks"], last), _y(abs(point["absolute"]), highest), point) for point in points]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in places)
    marks = "".join(
        f"<circle cx='{x:.1f}' cy='{y:.1f}' r='{5 if point['weeks'] == report['weeks'] else 3}' fill='currentColor'>"
        f"<title>{point['weeks']} weeks: {_effect(point)}</title></circle>"
        for x, y, point in places
    )
    wanted, planned = _y(min(abs(report["difference"]), highest), highest), _x(report["weeks"], last)
    return (
        f"<figure><svg viewBox='0 0 {_WIDTH} {_HEIGHT}' role='img'><title>Smallest effect found, by weeks</title>"
        f"<path d='M{_LEFT} {_TOP}V{_HEIGHT - _FOOT}H{_WIDTH - _RIGHT}' fill='none' stroke='currentColor' opacity='.4'/>"
        f"<path d='M{_LEFT} {wanted:.1f}H{_WIDTH - _RIGHT}M{planned:.1f} {_TOP}V{_HEIGHT - _FOOT}' fill='none' stroke='currentColor' stroke-dasharray='4 4' opacity='.5'/>"
        f"<polyline points='{line}' fill='none' stroke='currentColor' stroke-width='2'/>{marks}"
        f"<g fill='currentColor'><text x='{_LEFT - 6}' y='{_TOP + 8}' text-anchor='end'>{highest:.3g}</text>"
        f"<text x='{_LEFT - 6}' y='{wanted:.1f}' text-anchor='end'>{abs(report['difference']):.3g}</text>"
        f"<text x='{_WIDTH - _RIGHT}' y='{_HEIGHT - 14}' text-anchor='end'>{last} weeks</text>"
        f"<text x='{planned:.1f}' y='{_HEIGHT - 14}' text-anchor='middle'>{report['weeks']}</text></g></svg>"
        f"<figcaption>Dashed: the effect asked for, and the weeks planned.</figcaption></figure>"
    )


def _x(weeks: float, last: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * weeks / last


def _y(effect: float, highest: float) -> float:
    return _TOP + (_HEIGHT - _FOOT - _TOP) * (1 - effect / highest)
