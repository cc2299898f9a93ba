"""What an experiment's spec must satisfy beyond its schema: a design that could not decide anything is refused."""

from __future__ import annotations

from collections.abc import Iterator

from mlctl.providers.ab_test.design import MIN_DAYS, Sizing
from mlctl.providers.ab_test.spec import CONTROL, ExperimentSpec
from mlctl.types.diagnostic import Diagnostic
from mlctl.types.units import format_duration


def problems(spec: ExperimentSpec) -> list[Diagnostic]:
    """All that is wrong; the size is looked at only when the rest is right."""
    found = [*_arms(spec), *_primary(spec), *_guardrails(spec), *_design(spec)]
    return found or list(_too_long(spec))


def _arms(spec: ExperimentSpec) -> Iterator[Diagnostic]:
    if CONTROL not in spec.arms:
        yield Diagnostic(
            "experiment.no-control",
            f"no arm is called `{CONTROL}`",
            "every other arm is compared with control, so it has to be known which one that is",
            f"call the arm that changes nothing `{CONTROL}`",
            path=("arms",),
        )


def _primary(spec: ExperimentSpec) -> Iterator[Diagnostic]:
    primary, mde = spec.primary, spec.primary.mde
    if (mde.absolute is None) == (mde.relative is None):
        yield Diagnostic(
            "experiment.mde",
            "the smallest effect worth finding is not given in exactly one way",
            "the sample size follows from it",
            "write `mde: {relative: 0.05}` (5 % of the baseline) or `mde: {absolute: 0.01}` (in the metric's unit)",
            path=("primary", "mde"),
        )
    elif spec.difference == 0:
        why = "no number of units tells two equal arms apart" if primary.baseline else "a share of a baseline of 0 is 0"
        yield Diagnostic(
            "experiment.no-effect",
            "the smallest effect worth finding is 0",
            why,
            "give an effect that would be worth acting on",
            path=("primary", "mde"),
        )
    if primary.type == "mean" and primary.std is None:
        yield Diagnostic(
            "experiment.no-std",
            f"`{primary.metric}` is a mean and has no `std`",
            "how many units a mean needs depends on how far its values spread",
            "add `std`, the standard deviation of the metric between units",
            path=("primary",),
        )
    if primary.type == "proportion":
        yield from _proportion(spec)


def _proportion(spec: ExperimentSpec) -> Iterator[Diagnostic]:
    primary = spec.primary
    if primary.std is not None:
        yield Diagnostic(
            "experiment.std-unused",
            "`std` has no effect on a proportion",
            "the spread of a proportion follows from its baseline",
            "remove `std`, or write `type: mean`",
            path=("primary", "std"),
        )
    if not 0 < primary.baseline < 1:
        yield Diagnostic(
            "experiment.baseline",
            f"the baseline of a proportion cannot be {primary.baseline:g}",
            "it is a share of units: above 0 and below 1",
            "write 60 % as `0.60`, or use `type: mean`",
            path=("primary", "baseline"),
        )
    elif not 0 < primary.baseline + spec.difference < 1:
        yield Diagnostic(
            "experiment.mde-too-large",
            f"the effect would make the proportion {primary.baseline + spec.difference:g}",
            "it has to stay above 0 and below 1",
            "give a smaller effect; `relative: 0.05` means 5 % of the baseline",
            path=("primary", "mde"),
        )


def _guardrails(spec: ExperimentSpec) -> Iterator[Diagnostic]:
    if not spec.guardrails:
        yield Diagnostic(
            "experiment.no-guardrail",
            "the experiment has no guardrail",
            "one metric alone can be improved at the cost of all others: slower answers, more errors, more complaints",
            "add at least one, for example `guardrails: [{metric: error_rate, margin: 0.002}]`",
            path=("guardrails",),
        )
    taken = {spec.primary.metric: "the primary metric"}
    for index, guardrail in enumerate(spec.guardrails):
        if (guardrail.margin is None) == (guardrail.max_ratio is None):
            yield Diagnostic(
                "experiment.guardrail-margin",
                f"the guardrail `{guardrail.metric}` does not say in exactly one way how much worse is too much",
                "without a margin non-inferiority cannot be shown by any number of units",
                "write `margin: 0.002` (in the metric's unit) or `max_ratio: 1.1` (ten per cent worse)",
                path=("guardrails", index),
            )
        if guardrail.metric in taken:
            yield Diagnostic(
                "experiment.guardrail-twice",
                f"`{guardrail.metric}` is already {taken[guardrail.metric]}",
                "each guardrail raises the number of units, so one that adds nothing costs time",
                "remove it, or name another metric",
                path=("guardrails", index, "metric"),
            )
        taken.setdefault(guardrail.metric, "a guardrail")


def _design(spec: ExperimentSpec) -> Iterator[Diagnostic]:
    design = spec.design
    if design.min_duration < MIN_DAYS * 86400:
        yield Diagnostic(
            "experiment.too-short",
            f"{format_duration(design.min_duration)} is shorter than a week",
            "people behave differently on different weekdays: less than a whole week measures those days",
            "write `min_duration: 7d` or longer",
            path=("design", "min_duration"),
        )
    elif design.max_weeks is not None and design.min_duration > design.max_weeks * 7 * 86400:
        yield Diagnostic(
            "experiment.min-over-max",
            f"it has to run {format_duration(design.min_duration)} and may run {design.max_weeks} weeks",
            "no duration is both",
            "raise `max_weeks` or lower `min_duration`",
            path=("design", "max_weeks"),
        )


def _too_long(spec: ExperimentSpec) -> Iterator[Diagnostic]:
    limit = spec.design.max_weeks
    if limit is None:
        return
    sizing = Sizing(spec)
    if sizing.weeks <= limit:
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
