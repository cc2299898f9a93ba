"""A page of metrics: what one is made of, how it is written, and how it is read."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

_SERIES = re.compile(r"(?P<name>[^\s{]+)(?:\{(?P<labels>.*)\})?\s+(?P<value>\S+)(?:\s+-?[\d.]+)?(?:\s+#\s.*)?")
_LABEL = re.compile(r'\s*(?P<name>[^=,\s]+)\s*=\s*"(?P<value>(?:[^"\\]|\\.)*)"\s*(?:,|$)')


@dataclass(frozen=True)
class Family:
    """A metric with all its series. Labels come in the order in which they are written."""

    name: str
    text: str
    samples: tuple[tuple[Mapping[str, str], float], ...]
    kind: Literal["gauge", "counter"] = "gauge"


@dataclass(frozen=True)
class Series:
    """One line of a page that was read."""

    line: int
    name: str
    labels: Mapping[str, str]
    value: str


@dataclass
class Page:
    """A page that was read: by metric its type and its help, and all series. `broken` are lines that are none of these."""

    types: dict[str, str] = field(default_factory=dict)
    helps: dict[str, str] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)  # where each metric is first spoken of
    series: list[Series] = field(default_factory=list)
    broken: list[tuple[int, str]] = field(default_factory=list)


def render(families: Iterable[Family]) -> str:
    """As Prometheus reads it. A metric without a series is left out, and so is a value that is no finite number."""
    lines: list[str] = []
    for family in families:
        samples = [(labels, value) for labels, value in family.samples if math.isfinite(value)]
        if not samples:
            continue
        lines += [f"# HELP {family.name} {_escaped(family.text)}", f"# TYPE {family.name} {family.kind}"]
        for labels, value in samples:
            inside = ",".join(f'{name}="{_quoted(text)}"' for name, text in labels.items())
            lines.append(f"{family.name}{{{inside}}} {value!r}" if inside else f"{family.name} {value!r}")
    return "\n".join(lines) + "\n" if lines else ""


def read(text: str) -> Page:
    """Read a page, of this format or of OpenMetrics."""
    page = Page()
    for number, line in enumerate(text.split("\n"), start=1):
        if line.startswith(("# HELP ", "# TYPE ")):
            what, _, rest = line[2:].partition(" ")
            name, _, told = rest.partition(" ")
            (page.helps if what == "HELP" else page.types)[name] = told.strip()
            page.lines.setdefault(name, number)
        elif line.strip() and not line.startswith("#"):
            found = _SERIES.fullmatch(line.strip())
            if found is None:
                page.broken.append((number, line))
                continue
            page.series.append(Series(number, found["name"], dict(_labels(found["labels"] or "")), found["value"]))
    return page


def _labels(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while (found := _LABEL.match(text, at)) is not None and found.end() > at:
        yield found["name"], re.sub(r"\\(.)", lambda item: "\n" if item[1] == "n" else item[1], found["value"])
        at = found.end()


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', '\\"')
