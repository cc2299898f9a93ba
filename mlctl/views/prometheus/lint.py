"""What is wrong with metrics: names and units that mislead, labels that grow without end, help that is missing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from mlctl.views.prometheus.page import Page, Series

MOST_SERIES = 1000  # of one metric: a page that is read every 15 s, by a server that keeps each series in memory
OURS = "mlctl_"
_NAME = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
_UNITS = {
    "seconds": ("ms", "millis", "milliseconds", "us", "micros", "microseconds", "ns", "nanoseconds", "minutes", "hours", "days"),
    "bytes": ("kb", "mb", "gb", "kib", "mib", "gib", "kilobytes", "megabytes", "gigabytes", "bits"),
    "ratio": ("percent", "pct", "percentage"),
}  # fmt: skip
_IDS = ("id", "request_id", "trace_id", "span_id", "user", "user_id", "unit", "unit_id", "session", "session_id", "customer_id", "email", "ip", "uuid", "key")  # fmt: skip
_ID_VALUE = re.compile(
    r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-f]{32}|[0-9a-f]{16}|[\w.+%-]+@[\w-]+\.[\w.-]+|\d{9,}"
)
_PARTS = {"histogram": ("_bucket", "_count", "_sum"), "summary": ("_count", "_sum"), "counter": ("_total", "_created")}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong; `line` is 1 for the first of the page."""

    rule: str
    metric: str
    text: str
    line: int


def lint(page: Page, *, everything: bool = False) -> list[Problem]:
    """Look over our own metrics, or over all on the page, in the order of its lines."""
    wanted = {name for name in (*page.types, *page.helps) if everything or name.startswith(OURS)}
    series = [item for item in page.series if everything or item.name.startswith(OURS)]
    found = [Problem("unreadable", "", f"no metric: {text[:80]}", line) for line, text in page.broken]
    for name in sorted({_family(item.name, page) for item in series} | wanted):
        found += _of_metric(name, page, next((item.line for item in series if _family(item.name, page) == name), 1))
    found += _of_series(series)
    found += _of_numbers(series, page)
    return sorted(found, key=lambda item: (item.line, item.rule, item.metric))


def _of_metric(name: str, page: Page, seen: int) -> Iterator[Problem]:
    line, kind = page.lines.get(name, seen), page.types.get(name)
    if not page.helps.get(name):
        yield Problem("help", name, "has no help text: nobody can tell what it counts", line)
    if kind is None:
        yield Problem("type", name, "has no type: nobody can tell whether a rate of it makes sense", line)
    if not _NAME.fullmatch(name):
        yield Problem("name", name, "is not written in small letters with single underscores", line)
    if kind == "counter" and not name.endswith("_total") and not _is_open(name, page):
        yield Problem("total", name, "is a counter, and its name does not end with `_total`", line)
    if kind not in ("counter", None) and name.endswith("_total"):
        yield Problem("total", name, f"is a {kind}, and `_total` is for counters", line)
    if kind == "gauge" and name.endswith(("_count", "_sum", "_bucket")):
        yield Problem("suffix", name, "ends like a part of a histogram, and is a gauge", line)
    words = name.split("_")
    for base, others in _UNITS.items():
        if (unit := next((word for word in words if word in others), None)) is not None:
            yield Problem("unit", name, f"is in {unit}: base units are for all, here `{base}`", line)


def _of_series(series: list[Series]) -> Iterator[Problem]:
    told: set[tuple[str, str]] = set()
    seen: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
    for item in series:
        mark = (item.name, tuple(sorted(item.labels.items())))
        if mark in seen:
            yield Problem("duplicate", item.name, f"is there twice with labels {dict(item.labels)}", item.line)
        seen.add(mark)
        for name, value in item.labels.items():
            if name in ("le", "quantile") or (item.name, name) in told:
                continue
            if name.lower() in _IDS:
                told.add((item.name, name))
                yield Problem(
                    "id-label",
                    item.name,
                    f"has the label `{name}`: each id would be a series; ids belong into traces and logs",
                    item.line,
                )
            elif _ID_VALUE.fullmatch(value):
                told.add((item.name, name))
                yield Problem(
                    "id-value",
                    item.name,
                    f"has an id in the label `{name}` (`{value[:40]}`): each would be a series",
                    item.line,
                )


def _of_numbers(series: list[Series], page: Page) -> Iterator[Problem]:
    """A histogram is counted once for all its buckets."""
    numbers: Counter[str] = Counter()
    first: dict[str, int] = {}
    for item in series:
        if not item.name.endswith("_bucket"):
            name = _family(item.name, page)
            numbers[name] += 1
            first.setdefault(name, item.line)
    for name, number in numbers.items():
        if number > MOST_SERIES:
            yield Problem(
                "cardinality",
                name,
                f"has {number:,} series, and more than {MOST_SERIES:,} make a server slow: drop a label",
                first[name],
            )


def _family(name: str, page: Page) -> str:
    """The metric that a series is of."""
    if name in page.types:
        return name
    for kind, endings in _PARTS.items():
        for ending in endings:
            short = name.removesuffix(ending)
            if short != name and page.types.get(short) == kind:
                return short
    return name


def _is_open(name: str, page: Page) -> bool:
    """In OpenMetrics the family of a counter is named without `_total`, and its series with it."""
    return any(item.name == f"{name}_total" for item in page.series)
