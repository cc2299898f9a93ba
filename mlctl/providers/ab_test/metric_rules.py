"""What the metrics of an experiment must satisfy: each says what it measures, of units and not of rows, and nothing has no effect."""

from __future__ import annotations

from collections.abc import Iterator

from mlctl.providers.ab_test.metrics import Guardrail, Primary, Success
from mlctl.providers.ab_test.spec import ExperimentSpec
from mlctl.types.diagnostic import Diagnostic
from mlctl.types.jobs.experiment import OPERATIONS

_Path = tuple[str | int, ...]
_YES_OR_NO = ("any", "min", "max", "first", "last")  # of zeros and ones, each gives a zero or a one
_FIELDS = ("column", "aggregate", "denominator", "window")  # of a metric, that read the outcomes


def metric_problems(spec: ExperimentSpec) -> list[Diagnostic]:
    """All that is wrong with the metrics."""
    return [
        *_primary(spec),
        *(
            problem
            for index, one in enumerate(spec.success_metrics)
            for problem in _measured(spec, one, ("success_metrics", index))
        ),
        *_guardrails(spec),
        *_names(spec),
    ]


def _primary(spec: ExperimentSpec) -> Iterator[Diagnostic]:
    primary, mde, path = spec.primary, spec.primary.mde, ("primary",)
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
    yield from _measured(spec, primary, path)
    yield from _sized(primary, path)
    if primary.type == "proportion" and 0 < primary.baseline < 1 and not 0 < primary.baseline + spec.difference < 1:
        yield Diagnostic(
            "experiment.mde-too-large",
            f"the effect would make the proportion {primary.baseline + spec.difference:g}",
            "it has to stay above 0 and below 1",
            "give a smaller effect; `relative: 0.05` means 5 % of the baseline",
            path=("primary", "mde"),
        )


def _sized(metric: Primary | Guardrail, path: _Path) -> Iterator[Diagnostic]:
    """What the sizing has to know of a metric with a baseline."""
    below = metric.denominator
    if metric.type == "proportion":
        if metric.std is not None:
            yield Diagnostic(
                "experiment.std-unused",
                "`std` has no effect on a proportion",
                "the spread of a proportion follows from its baseline",
                "remove `std`, or write `type: mean`",
                path=(*path, "std"),
            )
        if metric.baseline is not None and not 0 < metric.baseline < 1:
            yield Diagnostic(
                "experiment.baseline",
                f"the baseline of a proportion cannot be {metric.baseline:g}",
                "it is a share of units: above 0 and below 1",
                "write 60 % as `0.60`, or use `type: mean`",
                path=(*path, "baseline"),
            )
    elif metric.std is None and not (metric.metric == "error_rate" and metric.type is None):
        yield Diagnostic(
            "experiment.no-std",
            f"`{metric.metric}` has a baseline and no `std`",
            "how many units it needs depends on how far its values spread between them",
            "add `std`, the standard deviation between units" + (" of the numerator" if metric.type == "ratio" else ""),
            path=path,
        )
    if metric.type == "ratio" and below is not None and None in (below.mean, below.std, below.correlation):
        yield Diagnostic(
            "experiment.denominator-unknown",
            f"the ratio `{metric.metric}` is to be sized, and its denominator is not described",
            "numerator and denominator vary together, which the number of units depends on (delta method)",
            "add `mean`, `std` and `correlation` to `denominator`, as they were before the experiment",
            path=(*path, "denominator"),
        )


def _measured(spec: ExperimentSpec, metric: Primary | Success | Guardrail, path: _Path) -> Iterator[Diagnostic]:
    """How a unit comes to its one value."""
    if (metric.type == "ratio") != (metric.denominator is not None):
        ratio = metric.type == "ratio"
        yield Diagnostic(
            "experiment.denominator" if ratio else "experiment.denominator-unused",
            f"the ratio `{metric.metric}` has no denominator"
            if ratio
            else f"`denominator` has no effect on a {metric.type or 'metric of the log'}",
            "a ratio is a sum over another sum, each of the same units",
            "add for example `denominator: {column: sessions}`" if ratio else "remove it, or write `type: ratio`",
            path=path if ratio else (*path, "denominator"),
        )
    if metric.type == "proportion" and metric.aggregate is not None and metric.aggregate not in _YES_OR_NO:
        yield Diagnostic(
            "experiment.row-level",
            f"`aggregate: {metric.aggregate}` makes `{metric.metric}` no yes or no of a `{spec.unit}`",
            f"the rows of one {spec.unit} belong together: a test that takes them for independent finds effects that are none, "
            "in a fifth of all experiments without any",
            "write `type: ratio` with a `denominator` for a share of rows, `type: mean` for a figure of units, or `aggregate: any`",
            path=(*path, "aggregate"),
        )
    if spec.outcomes is None:
        for name in _FIELDS:
            given = getattr(metric, name)
            if given is not None and not (name == "denominator" and metric.baseline is not None):
                yield Diagnostic(
                    "experiment.no-outcomes",
                    f"`{name}` has no effect without `outcomes`",
                    "it says what is read from them",
                    "add `outcomes: {dataset: ..., timestamp: ...}`, or remove it",
                    path=(*path, name),
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
    for index, guardrail in enumerate(spec.guardrails):
        path: _Path = ("guardrails", index)
        if (guardrail.margin is None) == (guardrail.max_ratio is None):
            yield Diagnostic(
                "experiment.guardrail-margin",
                f"the guardrail `{guardrail.metric}` does not say in exactly one way how much worse is too much",
                "without a margin non-inferiority cannot be shown by any number of units",
                "write `margin: 0.002` (in the metric's unit) or `max_ratio: 1.1` (ten per cent worse)",
                path=path,
            )
        yield from _measured(spec, guardrail, path)
        yield from _source(spec, guardrail, path)
        if guardrail.baseline is not None:
            yield from _sized(guardrail, path)
        elif guardrail.std is not None:
            yield Diagnostic(
                "experiment.std-unused",
                "`std` has no effect without `baseline`",
                "both together say how many units the guardrail needs",
                "add `baseline`, or remove `std`",
                path=(*path, "std"),
            )


def _source(spec: ExperimentSpec, guardrail: Guardrail, path: _Path) -> Iterator[Diagnostic]:
    """A guardrail is read from the prediction log, or from the outcomes."""
    if guardrail.metric in OPERATIONS:
        given = next((name for name in ("type", *_FIELDS) if getattr(guardrail, name) is not None), None)
        if given is not None:
            yield Diagnostic(
                "experiment.operation",
                f"`{given}` has no effect on `{guardrail.metric}`",
                "it is read from the prediction log, which knows what it is",
                f"remove `{given}`, or call the metric something else",
                path=(*path, given),
            )
        elif guardrail.better == "higher":
            yield Diagnostic(
                "experiment.operation",
                f"a higher `{guardrail.metric}` is not better",
                "errors and waiting are what one wants less of",
                "remove `better`",
                path=(*path, "better"),
            )
    elif guardrail.type is None and spec.outcomes is not None:
        yield Diagnostic(
            "experiment.guardrail-type",
            f"the guardrail `{guardrail.metric}` has no `type`",
            f"the prediction log does not tell it (it tells {', '.join(OPERATIONS)}), so it is read from the outcomes",
            "add `type: proportion`, `mean` or `ratio`",
            path=path,
        )
    elif guardrail.type is None and guardrail.baseline is not None:
        yield Diagnostic(
            "experiment.guardrail-type",
            f"the guardrail `{guardrail.metric}` has a baseline and no `type`",
            "how many units it needs depends on what it is",
            "add `type: proportion`, `mean` or `ratio`",
            path=path,
        )


def _names(spec: ExperimentSpec) -> Iterator[Diagnostic]:
    """Each metric once: a second one takes alpha or units and adds nothing."""
    taken = {spec.primary.metric: "the primary metric"}
    for index, success in enumerate(spec.success_metrics):
        if success.metric in taken:
            yield _twice(
                success.metric, taken[success.metric], "each shares alpha", ("success_metrics", index, "metric")
            )
        taken.setdefault(success.metric, "a success metric")
    for index, guardrail in enumerate(spec.guardrails):
        if guardrail.metric in taken:
            why = "each guardrail raises the number of units, so one that adds nothing costs time"
            yield _twice(guardrail.metric, taken[guardrail.metric], why, ("guardrails", index, "metric"))
        taken.setdefault(guardrail.metric, "a guardrail")


def _twice(metric: str, what: str, why: str, path: _Path) -> Diagnostic:
    code = "experiment.guardrail-twice" if path[0] == "guardrails" else "experiment.metric-twice"
    return Diagnostic(code, f"`{metric}` is already {what}", why, "remove it, or name another metric", path=path)
