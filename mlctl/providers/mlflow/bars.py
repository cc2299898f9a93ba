"""Rules of the bars of an evaluation. Pure."""

from __future__ import annotations

from mlctl.providers.mlflow.spec import Bar, EvaluationSpec
from mlctl.types.diagnostic import Diagnostic, Severity, did_you_mean
from mlctl.types.jobs.evaluate import ANSWER_METRICS, BINARY_METRICS, LANGUAGE_METRICS, METRICS

_METRICS = sorted(name for names in METRICS.values() for name in names)
_SHARES = BINARY_METRICS - {"log_loss"} | ANSWER_METRICS


def bar_problems(name: str, bar: Bar, *, registered: bool) -> list[Diagnostic]:
    """What is wrong with what one metric must reach."""
    path = ("require", name)
    if name not in _METRICS:
        return [
            Diagnostic(
                "eval.unknown-metric", f"there is no metric `{name}`", "", did_you_mean(name, _METRICS), path=path
            )
        ]
    found = []
    if bar.min is None and bar.max is None and bar.not_worse_than is None and bar.better_than is None:
        found.append(
            Diagnostic(
                "eval.empty-bar",
                f"`{name}` asks for nothing",
                "every model would pass",
                "add `min`, `max` or `not_worse_than: champion`",
                path=path,
            )
        )
    if bar.margin is not None and bar.not_worse_than is None and bar.better_than is None:
        found.append(
            Diagnostic(
                "eval.margin-unused",
                f"the margin of `{name}` has no effect",
                "it is the distance allowed to a champion",
                "add `not_worse_than: champion`, or remove `margin`",
                path=(*path, "margin"),
            )
        )
    found += _base_problems(name, bar, path)
    if bar.not_worse_than is not None and not registered:
        found.append(
            Diagnostic(
                "eval.no-champion",
                f"`{name}` is compared with a champion, and there is none",
                "the champion is the model that holds the alias under `register`",
                "add `register: {name: ..., alias: champion}`",
                path=(*path, "not_worse_than"),
            )
        )
    return found + _limit_problems(name, bar, path)


def champion_unheld(spec: EvaluationSpec) -> list[Diagnostic]:
    """A word where an alias moves to whatever meets the bars, be it worse than the model that has it."""
    given = spec.register_as
    if given is None or any(bar.not_worse_than is not None for bar in spec.require.values()):
        return []
    known = [name for name in spec.require if name in _METRICS]
    example = "`not_worse_than: champion`" + (f" to `{known[0]}`" if known else "")
    return [
        Diagnostic(
            "eval.champion-unheld",
            f"a model that is worse than the holder of `{given.name}@{given.alias}` could take it over",
            "no bar is held against the model that has the alias, so that any model that meets the bars takes its place",
            f"add {example}, with a `margin` for what chance moves",
            severity=Severity.WARNING,
            path=("register", "alias"),
        )
    ]


def _limit_problems(name: str, bar: Bar, path: tuple[str, ...]) -> list[Diagnostic]:
    """Limits that no model can keep."""
    found = []
    if bar.min is not None and bar.max is not None and bar.min > bar.max:
        found.append(
            Diagnostic(
                "eval.impossible-bar",
                f"`{name}` cannot be both at least {bar.min:g} and at most {bar.max:g}",
                "",
                "correct one of them",
                path=path,
            )
        )
    for field, value in (("min", bar.min), ("max", bar.max)):
        if value is not None and name in _SHARES and not 0 <= value <= 1:
            found.append(
                Diagnostic(
                    "eval.impossible-bar",
                    f"`{name}` lies between 0 and 1, never at {value:g}",
                    "",
                    "write it as a share, such as 0.75",
                    path=(*path, field),
                )
            )
    return found


def _base_problems(name: str, bar: Bar, path: tuple[str, ...]) -> list[Diagnostic]:
    if bar.better_than is None:
        return []
    found = []
    if name not in LANGUAGE_METRICS:
        found.append(
            Diagnostic(
                "eval.no-base",
                f"`{name}` cannot be compared with a base",
                "only a language model is trained from one",
                "remove `better_than`",
                path=(*path, "better_than"),
            )
        )
    if bar.margin is not None and bar.not_worse_than is not None:
        found.append(
            Diagnostic(
                "eval.margin-unclear",
                f"the margin of `{name}` stands for two things",
                "beside `not_worse_than` it is how much worse is let pass, beside `better_than` how much better is asked for",
                "keep one of the two, or remove `margin`",
                path=(*path, "margin"),
            )
        )
    return found
