"""Plots of money as inline SVG: lines over months or use, and points of time against money. No script, nothing to load."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mlctl.views.html.plots import text

WIDTH, HEIGHT = 760, 340
_LEFT, _RIGHT, _TOP, _FOOT = 78, 130, 18, 44
_TICKS, _MOST_TICKS = 6, 9
_COLOURS = ("var(--bar)", "var(--other)", "#3a9d5d", "#9a5fb4", "var(--null)")
_APART = 13  # between names beside lines


@dataclass(frozen=True, slots=True)
class Axis:
    """What is drawn along one side. `log` is for what spans several powers of ten, all of it above 0."""

    label: str
    low: float
    high: float
    spoken: Callable[[float], str]
    log: bool = False
    marks: Sequence[float] = ()  # values to be named, where round numbers are not what people count in

    def at(self, value: float) -> float:
        """The place of a value between 0 and 1."""
        low, high, value = (math.log10(item) if self.log else item for item in (self.low, self.high, value))
        return (value - low) / (high - low) if high > low else 0.5

    def ticks(self) -> list[float]:
        """Round values inside."""
        if self.marks:
            found = list(self.marks)
        elif self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            steps = (1, 2, 5) if last - first <= 2 else (1,)
            found = [step * 10.0**power for power in range(first, last + 1) for step in steps]
        else:
            step = _round_step((self.high - self.low) / _TICKS)
            found = [step * number for number in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]
        inside = [value for value in found if self.low <= value <= self.high]
        return inside[:: math.ceil(len(inside) / _MOST_TICKS)] if inside else []


@dataclass(frozen=True, slots=True)
class Line:
    """A line with its name; a dashed one is a bound or a level."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: int = 0
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Dot:
    """A point with all that a reader may want to know of it, and a name beside it where one is to be read."""

    x: float
    y: float
    title: str
    colour: int = 0
    name: str = ""
    filled: bool = True


def around(values: Sequence[float]) -> tuple[float, float]:
    """Ends of a logarithmic axis with some room around what is drawn."""
    low, high = min(values), max(values)
    return low / 1.3, high * 1.3


def chart(title: str, x: Axis, y: Axis, lines: Sequence[Line] = (), dots: Sequence[Dot] = ()) -> str:
    """One plot with its axes."""
    drawn = "".join(
        [
            *_axes(x, y),
            *(_line(item, x, y) for item in lines),
            *_names(lines, x, y),
            *(_dot(item, x, y) for item in dots),
        ]
    )
    return f'<figure><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img"><title>{text(title)}</title>{drawn}</svg><figcaption>{text(title)}</figcaption></figure>'


def colour(number: int) -> str:
    """The colour of a series."""
    return _COLOURS[number % len(_COLOURS)]


def _place(x: Axis, y: Axis, point: tuple[float, float]) -> tuple[float, float]:
    across, up = x.at(point[0]), y.at(point[1])
    return _LEFT + (WIDTH - _LEFT - _RIGHT) * across, HEIGHT - _FOOT - (HEIGHT - _FOOT - _TOP) * up


def _axes(x: Axis, y: Axis) -> Iterator[str]:
    ground, right = HEIGHT - _FOOT, WIDTH - _RIGHT
    for value in x.ticks():
        across, _ = _place(x, y, (value, y.low))
        yield f'<line class="axis" x1="{across:.1f}" y1="{_TOP}" x2="{across:.1f}" y2="{ground}"/>'
        yield f'<text x="{across:.1f}" y="{ground + 15}" text-anchor="middle">{text(x.spoken(value))}</text>'
    for value in y.ticks():
        _, up = _place(x, y, (x.low, value))
        yield f'<line class="axis" x1="{_LEFT}" y1="{up:.1f}" x2="{right}" y2="{up:.1f}"/>'
        yield f'<text x="{_LEFT - 6}" y="{up + 4:.1f}" text-anchor="end">{text(y.spoken(value))}</text>'
    yield f'<text class="ink" x="{right}" y="{HEIGHT - 10}" text-anchor="end">{text(x.label)}</text>'
    yield f'<text class="ink" x="4" y="12">{text(y.label)}</text>'


def _inside(item: Line, x: Axis, y: Axis) -> list[tuple[float, float]]:
    return [_place(x, y, point) for point in item.points if y.low <= point[1] <= y.high]


def _line(item: Line, x: Axis, y: Axis) -> str:
    path = " ".join(f"{across:.1f},{up:.1f}" for across, up in _inside(item, x, y))
    dashes = ' stroke-dasharray="5 4"' if item.dashed else ""
    return f'<polyline points="{path}" fill="none" stroke="{colour(item.colour)}" stroke-width="2"{dashes}/>'


def _names(lines: Sequence[Line], x: Axis, y: Axis) -> Iterator[str]:
    """The name of each line at its end, pushed down where another one is."""
    ends = [(places[-1], item) for item in lines if item.name and (places := _inside(item, x, y))]
    last = -math.inf
    for (across, up), item in sorted(ends, key=lambda end: end[0][1]):
        last = max(up + 4, last + _APART)
        yield f'<text class="ink" x="{across + 6:.1f}" y="{last:.1f}">{text(item.name)}</text>'


def _dot(item: Dot, x: Axis, y: Axis) -> str:
    across, up = _place(x, y, (item.x, item.y))
    paint = colour(item.colour)
    fill = paint if item.filled else "none"
    name = f'<text class="ink" x="{across + 8:.1f}" y="{up - 5:.1f}">{text(item.name)}</text>' if item.name else ""
    return f'<g><title>{text(item.title)}</title><circle cx="{across:.1f}" cy="{up:.1f}" r="5" fill="{fill}" stroke="{paint}" stroke-width="1.5"/>{name}</g>'


def _round_step(least: float) -> float:
    """1, 2 or 5 times a power of ten, and no less."""
    if least <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= least)
