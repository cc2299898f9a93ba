"""Costs in words and pictures: ranges with their unit once, differences, plots that hold whatever is drawn."""

from __future__ import annotations

import re
from datetime import date
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlctl.estimate.comparing import compare
from mlctl.estimate.options import options
from mlctl.estimate.prices import PriceRow
from mlctl.types.estimate import Estimate, Range
from mlctl.views.html import cost_compare as page
from mlctl.views.html.cost_plots import Axis, Dot, Line, around, chart
from mlctl.views.human import cost_compare
from mlctl.views.human.cost_estimate import Line as Resource
from mlctl.views.human.cost_estimate import render
from mlctl.views.human.cost_words import difference, money, share, size, span
from tests.unit.estimate.fleet import GIB, Scripted

DAY = date(2026, 11, 1)


def test_a_range_has_its_likely_figure_first_and_its_unit_once() -> None:
    assert money(Range(1.1, 2.5, 4.25)) == "$2.50 ($1.10 to $4.25)"
    assert span(Range(60.0, 3600.0, 7200.0)) == "60 min (60 s to 2.0 h)"
    assert size(Range(1 * GIB, 2 * GIB, 3 * GIB)) == "2.0 GiB (1.0 to 3.0 GiB)"
    assert money(Range.exactly(0.5)) == "$0.50"
    assert money(None) == "unknown"
    assert [share(part) for part in (0.0, 0.014, 0.0996, 0.62, 1.0)] == ["0%", "1.4%", "10%", "62%", "100%"]


def test_what_nobody_knows_hides_no_sum_of_the_rest() -> None:
    seconds, usd = Range.exactly(7200), Range.exactly(4.0)
    known = Resource("training.a", Estimate("H100", 1, seconds=seconds, usd=usd))
    told = render([known, Resource("deployments.b", None)], color=False)
    assert "The rest, made anew one after another: 2.0 h, $4.00; nothing is known of deployments.b" in told
    assert "nothing is known" not in render([known, known], color=False)


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        (Range(1, 2, 3), Range(1, 2, 3), "none"),
        (Range(1, 2, 3), Range(0, 2, 9), "none likely"),
        (Range(1, 2, 3), Range(1, 1, 3), "-50%"),
        (Range(1, 2, 3), Range(1, 2.5, 3), "+25%"),
        (Range(1, 2, 3), Range(1, 7, 9), "x 3.5"),
        (Range(0, 0, 3), Range(1, 7, 9), ""),
        (None, Range(1, 7, 9), ""),
    ],
)
def test_a_difference_is_that_of_the_likely_figures(was: Range | None, now: Range | None, said: str) -> None:
    assert difference(was, now) == said


def test_what_nobody_knows_is_unknown_and_never_nothing() -> None:
    text = render([Resource("training.m", None, why="its model is still to be made")], color=False)
    assert "unknown" in text
    assert "its model is still to be made" in text
    assert "$0" not in text


@given(
    st.lists(st.tuples(st.floats(1e-3, 1e7), st.floats(1e-3, 1e7)), min_size=1, max_size=20),
    st.booleans(),
)
def test_a_plot_keeps_everything_inside_of_its_picture(points: list[tuple[float, float]], log: bool) -> None:
    ends = [around([point[side] for point in points]) for side in (0, 1)]
    x, y = (Axis("axis", *both, str, log=log) for both in ends)
    for axis in (x, y):
        ticks = axis.ticks()
        assert len(ticks) <= 12
        assert all(0 <= axis.at(tick) <= 1 for tick in ticks)
    drawn = chart("a plot", x, y, [Line("line", points)], [Dot(*point, "told") for point in points])
    picture = ElementTree.fromstring(drawn)
    width, height = (float(value) for value in picture[0].attrib["viewBox"].split()[2:])
    for circle in picture.iter("circle"):
        assert 0 <= float(circle.attrib["cx"]) <= width
        assert 0 <= float(circle.attrib["cy"]) <= height


def test_names_beside_lines_do_not_cover_each_other() -> None:
    axis = Axis("axis", 0.0, 10.0, str)
    lines = [Line(f"line {number}", [(0.0, 5.0), (10.0, 5.0 + number / 100)]) for number in range(5)]
    found = re.findall(r'<text class="ink" x="[\d.]+" y="([\d.]+)">line', chart("a plot", axis, axis, lines))
    heights = [float(value) for value in found]
    assert len(heights) == 5
    assert all(after - before >= 12 for before, after in pairwise(sorted(heights)))


def test_names_of_others_are_text_in_a_page_and_in_a_terminal() -> None:
    rows = [PriceRow("H100", "<b>\x1b[31mEvil", "on_demand", usd, DAY, "x") for usd in (2.0, 3.0)]
    rows += [PriceRow("A100-80GB", "A", "on_demand", 1.5, DAY, "x")]
    found = [compare(Scripted(), list(options(rows, counts=(1, 2))), today=DAY)]
    drawn = page.render("p<script>", found)
    assert "<b>" not in drawn
    assert "<script" not in drawn
    assert "\x1b" not in drawn
    assert "\x1b" not in cost_compare.render(found, every=True, color=False)


def test_a_reason_that_many_devices_share_is_told_once() -> None:
    rows = [
        PriceRow(name, "A", tier, 2.0, DAY, "x") for name in ("H100", "A100-80GB") for tier in ("on_demand", "spot")
    ]
    found = compare(Scripted(lasting=True), list(options(rows, counts=(1, 2))), today=DAY)
    assert list(cost_compare.reasons(found)) == [
        "1 or 2 x A100-80GB, H100 (spot): spot devices are taken away at any time, and a service has to be there"
    ]


def test_an_old_price_is_said_to_be_old() -> None:
    rows = [PriceRow("H100", "A", "on_demand", 2.0, DAY, "x")]
    old = compare(Scripted(), list(options(rows, counts=(1,))), today=date(2027, 1, 1))
    assert "the price is 61 days old" in cost_compare.render([old], every=False, color=False)
    new = compare(Scripted(), list(options(rows, counts=(1,))), today=date(2026, 11, 30))
    assert "days old" not in cost_compare.render([new], every=False, color=False)


def test_a_long_table_shows_the_cheapest_the_best_and_where_it_is_now() -> None:
    names = ("H100", "A100-80GB", "B200", "H200", "L40S")
    rows = [PriceRow(name, "A", "on_demand", 1.0 + number, DAY, "x") for number, name in enumerate(names)]
    found = compare(Scripted(), list(options(rows, counts=(1, 2, 4, 8))), today=DAY)
    short = cost_compare.render([found], every=False, color=False)
    assert "more that cost more (`--all` shows them)" in short
    assert cost_compare.HERE in short
    long = cost_compare.render([found], every=True, color=False)
    assert "--all" not in long
    assert long.count(" on_demand ") == len(found.rows)
