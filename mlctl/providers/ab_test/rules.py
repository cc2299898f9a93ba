"""What an experiment's spec must satisfy beyond its schema: a design that could not decide anything is refused."""

from __future__ import annotations

from collections.abc import Iterator

from mlctl.providers.ab_test.design import DAY, MIN_DAYS, MOST_LOOKS, Sizing
from mlctl.providers.ab_test.metric_rules import metric_problems
from mlctl.providers.ab_test.spec import CONTROL, SEQUENTIAL, ExperimentSpec
from mlctl.types.diagnostic import Diagnostic
from mlctl.types.units import format_duration

_WEEK = 7 * DAY


def problems(spec: ExperimentSpec) -> list[Diagnostic]:
    """All that is wrong; the size is looked at only when the rest is right."""
    found = [*_arms(spec), *metric_problems(spec), *_data(spec), *_duration(spec), *_looks(spec), *_units(spec)]
    return found or [*_too_long(spec), *_looks_by_time(spec)]


def _arms(spec: ExperimentSpec) -> Iterator[Diagnostic]:
    if CONTROL not in spec.arms:
        yield Diagnostic(
            "experiment.no-control",
            f"no arm is called `{CONTROL}`",
            "every other arm is compared with control, so it has to be known which one that is",
            f"call the arm that changes nothing `{CONTROL}`",
            path=("arms",),
        )


def _data(spec: ExperimentSpec) -> Iterator[Diagnostic]:
    """Blocks about data that is not there would have no effect."""
    cuped = spec.cuped
    if cuped is not None:
        if (cuped.column is None) == (cuped.before is None):
            yield Diagnostic(
                "experiment.cuped",
                "the covariate is not given in exactly one way",
                "it is a column of the exposures, or the same metric before the first exposure",
                "write `cuped: {before: 14d}` or `cuped: {column: visits_last_month}`",
                path=("cuped",),
            )
        elif cuped.before is not None and spec.outcomes is None:
            yield _without("outcomes", "`before` reads the metric before the first exposure", ("cuped", "before"))
        elif cuped.column is not None and spec.exposures is None:
            yield _without("exposures", "`column` is read from their dataset", ("cuped", "column"))
        elif spec.outcomes is None:
            yield _without("outcomes", "there is nothing to adjust", ("cuped",))
    if spec.subgroups and spec.outcomes is None:
        yield _without("outcomes", "there is nothing to compare in a subgroup", ("subgroups",))
    for index, name in enumerate(spec.subgroups):
        if name in spec.subgroups[:index] or name == spec.unit:
            yield Diagnostic(
                "experiment.subgroup",
                f"`{name}` makes no subgroups of its own",
                "it is the unit itself" if name == spec.unit else "it is there twice",
                "remove it",
                path=("subgroups", index),
            )


def _without(block: str, why: str, path: tuple[str | int, ...]) -> Diagnostic:
    return Diagnostic(
        f"experiment.no-{block}",
        f"it has no effect without `{block}`",
        why,
        f"add `{block}: {{dataset: ..., timestamp: ...}}`, or remove this",
        path=path,
    )


def _duration(spec: ExperimentSpec) -> Iterator[Diagnostic]:
    design = spec.design
    if design.min_duration < MIN_DAYS * DAY:
        yield Diagnostic(
            "experiment.too-short",
            f"{format_duration(design.min_duration)} is shorter than a week",
            "people behave differently on different weekdays: less than a whole week measures those days",
            "write `min_duration: 7d` or longer",
            path=("design", "min_duration"),
        )
    elif design.min_duration % _WEEK:
        whole = int(design.min_duration // _WEEK) + 1
        yield Diagnostic(
            "experiment.not-weeks",
            f"{format_duration(design.min_duration)} is not a number of whole weeks",
            "some weekdays would count more often than others",
            f"write `min_duration: {7 * whole}d`",
            path=("design", "min_duration"),
        )
    elif design.max_weeks is not None and design.min_duration > design.max_weeks * _WEEK:
        yield Diagnostic(
            "experiment.min-over-max",
            f"it has to run {format_duration(design.min_duration)} and may run {design.max_weeks} weeks",
            "no duration is both",
            "raise `max_weeks` or lower `min_duration`",
            path=("design", "max_weeks"),
        )


def _looks(spec: ExperimentSpec) -> Iterator[Diagnostic]:
    design = spec.design
    given = [name for name in ("looks", "every") if getattr(design, name) is not None]
    if given and design.sequential not in SEQUENTIAL and not (design.sequential == "fixed" and design.looks == 1):
        why = (
            "its one look is at the end: looking earlier, and stopping for what one sees, is what makes false positives"
            if design.sequential == "fixed"
            else "it may be looked at any time, at no price"
        )
        yield Diagnostic(
            "experiment.looks-unused",
            f"`{given[0]}` has no effect with `sequential: {design.sequential}`",
            why,
            f"remove `{given[0]}`, or write `sequential: obrien_fleming`",
            path=("design", given[0]),
        )
    elif len(given) == 2:
        yield Diagnostic(
            "experiment.looks-twice",
            "`looks` and `every` both say how often one looks",
            "one follows from the other",
            "keep one of them",
            path=("design", "every"),
        )
    elif design.sequential in SEQUENTIAL and design.looks is not None and not 2 <= design.looks <= MOST_LOOKS:
        yield Diagnostic(
            "experiment.looks",
            f"{design.looks} looks make no sense with `sequential: {design.sequential}`",
            "a single look is a fixed design" if design.looks == 1 else "so many tell hardly more than half of them",
            "write `sequential: fixed`" if design.looks == 1 else f"write at most `looks: {MOST_LOOKS}`",
            path=("design", "looks"),
        )
    elif design.every is not None and design.daily_units is None:
        yield Diagnostic(
            "experiment.every-without-traffic",
            "`every` does not say how many looks there are, as long as the duration is not known",
            "the bounds, and so the number of units, depend on it",
            "add `daily_units`, or write `looks: 5` instead",
            path=("design", "every"),
        )


def _units(spec: ExperimentSpec) -> Iterator[Diagnostic]:
    """Namespaces and holdouts."""
    if spec.namespace is not None and not spec.namespace.range[0] < spec.namespace.range[1]:
        low, high = spec.namespace.range
        yield Diagnostic(
            "experiment.namespace-empty",
            f"no unit is in the range from {low:g} to {high:g}",
            "a range begins below its end",
            "write for example `range: [0, 0.5]`",
            path=("namespace", "range"),
        )


def _too_long(spec: ExperimentSpec) -> Iterator[Diagnostic]:
    limit, sizing = spec.design.max_weeks, Sizing(spec)
    if limit is None or sizing.weeks is None or sizing.daily is None or sizing.weeks <= limit:
        return
    fits = sizing.detectable(limit)
    found = (
        f"in {limit} weeks it finds an effect of {fits:.4g} (this one is {spec.difference:.4g})"
        if fits is not None
        else f"in {limit} weeks it finds no effect at all"
    )
    yield Diagnostic(
        "experiment.too-long",
        f"the experiment needs {sizing.weeks} weeks and may run {limit}",
        f"{sum(sizing.units.values())} units are needed and {sizing.daily:g} come a day; {found}",
        "look for a larger effect, raise `max_weeks` or `daily_units`, or see the trade-off with `mlctl experiment size`",
        path=("design", "max_weeks"),
    )


def _looks_by_time(spec: ExperimentSpec) -> Iterator[Diagnostic]:
    every = spec.design.every
    looks = Sizing(spec).looks if every is not None else None
    if every is not None and looks is not None and not 2 <= looks <= MOST_LOOKS:
        yield Diagnostic(
            "experiment.looks",
            f"looking every {format_duration(every)} makes {looks} look{'s' if looks > 1 else ''} in the planned time",
            "a single look is a fixed design"
            if looks == 1
            else f"more than {MOST_LOOKS} tell hardly more than half of them",
            "write `sequential: fixed`, or look more often"
            if looks == 1
            else "look less often, for example `every: 1d`",
            path=("design", "every"),
        )
