"""What is wrong with the rules of a data check, said before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from mlctl.providers.great_expectations.expectations import EXPECTATIONS, SQL_ONLY
from mlctl.types.diagnostic import Diagnostic, did_you_mean
from mlctl.types.jobs import duckdb_types
from mlctl.types.jobs.checks import SHORT_RULES, Rule, Schema

_COLUMN_NAMES = ("column", "column_A", "column_B")


def rule_problems(index: int, rule: Mapping[str, Any]) -> Iterator[Diagnostic]:
    """The problems of one entry of `rules`."""
    at: tuple[str | int, ...] = ("rules", index)
    if len(rule) != 1:
        yield Diagnostic(
            "data.bad-rule",
            f"rule {index + 1} has {len(rule)} names",
            f"each is one name with its arguments; here: {_listed(rule)}",
            "write each as an entry of its own",
            path=at,
        )
        return
    [(name, arguments)] = rule.items()
    at = (*at, name)
    if name in SHORT_RULES:
        yield from _short_problems(name, SHORT_RULES[name], arguments, at)
    elif name in SQL_ONLY:
        yield Diagnostic(
            "data.unknown-rule",
            f"`{name}` cannot run here",
            "it needs a SQL engine, and expectations run on a data frame",
            "patterns: `expect_column_values_to_match_regex`; other tables: `foreign_key`",
            path=at,
        )
    elif name in EXPECTATIONS:
        yield from _expectation_problems(name, arguments, at)
    else:
        known = [*SHORT_RULES, *(item for item in EXPECTATIONS if item not in SQL_ONLY)]
        fix = did_you_mean(name, known) or f"the short rules are {_listed(SHORT_RULES)}"
        yield Diagnostic(
            "data.unknown-rule",
            f"there is no rule `{name}`",
            "it is neither a short rule nor an expectation of Great Expectations",
            fix,
            path=at,
        )


def _short_problems(
    name: str, model: type[Rule], arguments: Mapping[str, Any], at: tuple[str | int, ...]
) -> Iterator[Diagnostic]:
    try:
        made = model.model_validate(dict(arguments))
    except ValidationError as error:
        for item in error.errors(include_url=False):
            yield _problem(name, model, item, at)
        return
    if isinstance(made, Schema):
        for column, found in made.columns.items():
            if duckdb_types.base(found) is None:
                known = [word for canonical, others in duckdb_types.TYPES.items() for word in (canonical, *others)]
                fix = (
                    did_you_mean(found.lower(), known)
                    or "common ones are bigint, double, varchar, boolean, date, timestamp"
                )
                yield Diagnostic(
                    "data.bad-rule",
                    f"there is no column type `{found}`",
                    "types are those of DuckDB",
                    fix,
                    path=(*at, "columns", column),
                )


def _problem(name: str, model: type[Rule], error: Any, at: tuple[str | int, ...]) -> Diagnostic:
    """One of pydantic's errors in our words."""
    inside = [part for part in error["loc"] if isinstance(part, int) or part.isidentifier()]
    field = str(inside[0]) if inside else ""
    if error["type"] == "extra_forbidden":
        fix = did_you_mean(field, model.model_fields)
        return Diagnostic(
            "spec.unknown-field",
            f"unknown field `{field}` in the rule `{name}`",
            f"it takes {_listed(model.model_fields)}",
            fix,
            path=(*at, field),
        )
    if error["type"] == "missing":
        return Diagnostic(
            "spec.missing-field",
            f"the rule `{name}` needs the field `{field}`",
            "it has no default",
            f"add `{field}: …`",
            path=at,
        )
    cause = error.get("ctx", {}).get("error")
    said = str(cause) if isinstance(cause, Exception) else error["msg"]
    where = f"`{field}` of the rule `{name}`" if field else f"the rule `{name}`"
    return Diagnostic(
        "data.bad-rule",
        f"{where}: {said}",
        f"{error['input']!r} stands there"[:200],
        "",
        path=(*at, field) if field else at,
    )


def _expectation_problems(name: str, arguments: Mapping[str, Any], at: tuple[str | int, ...]) -> Iterator[Diagnostic]:
    known = EXPECTATIONS[name]
    takes = sorted(known.required | known.optional)
    for field in arguments:
        if field not in takes:
            yield Diagnostic(
                "spec.unknown-field",
                f"unknown argument `{field}` of `{name}`",
                f"it takes {_listed(takes)}",
                did_you_mean(field, takes),
                path=(*at, field),
            )
    for field in sorted(known.required - arguments.keys()):
        yield Diagnostic(
            "spec.missing-field",
            f"`{name}` needs the argument `{field}`",
            f"it takes {_listed(takes)}",
            f"add `{field}: …`",
            path=at,
        )
    bounded = {"min_value", "max_value"} <= known.optional and "threshold" not in known.optional
    if bounded and arguments.get("min_value") is None and arguments.get("max_value") is None:
        yield Diagnostic(
            "data.bad-rule",
            f"`{name}` has no bound",
            "without one it would hold of anything",
            "give `min_value`, `max_value`, or both",
            path=at,
        )
    if "condition_parser" in arguments and "row_condition" not in arguments:
        yield Diagnostic(
            "data.bad-rule",
            "`condition_parser` has no effect without `row_condition`",
            "",
            "add `row_condition`, or take it out",
            path=(*at, "condition_parser"),
        )
    mostly = arguments.get("mostly")
    if mostly is not None and (isinstance(mostly, bool) or not isinstance(mostly, int | float) or not 0 < mostly <= 1):
        yield Diagnostic(
            "data.bad-rule",
            f"`mostly` of `{name}` is no share",
            f"{mostly!r} stands there",
            "write a number above 0 and at most 1, for example 0.99",
            path=(*at, "mostly"),
        )
    for field in _COLUMN_NAMES:
        if field in arguments and not isinstance(arguments[field], str):
            yield Diagnostic(
                "data.bad-rule",
                f"`{field}` of `{name}` takes the name of a column",
                f"{arguments[field]!r} stands there",
                "",
                path=(*at, field),
            )
    names = arguments.get("column_list", [])
    if not isinstance(names, list) or not all(isinstance(item, str) for item in names):
        said = f"`column_list` of `{name}` takes a list of column names"
        yield Diagnostic("data.bad-rule", said, f"{names!r} stands there", "", path=(*at, "column_list"))


def _listed(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in names)
