"""What is wrong with the rules of a data check, said before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from mlctl.providers.great_expectations.expectations import EXPECTATIONS, SQL_ONLY
from mlctl.providers.great_expectations.spec import DataCheckSpec
from mlctl.types.diagnostic import Diagnostic, did_you_mean
from mlctl.types.jobs import duckdb_types
from mlctl.types.jobs.checks import (
    SHORT_RULES,
    Distribution,
    Expectation,
    Freshness,
    RowCount,
    Rule,
    Schema,
    SchemaDrift,
    Sql,
    parse_rule,
    short_name,
)

_COLUMN_NAMES = ("column", "column_A", "column_B")
# pydantic's words for what is most often wrong, in ours.
_SAID = {"list_type": "it takes a list", "too_short": "it takes at least one item", "string_type": "it takes a text"}
_SEVERITIES = ("critical", "warning", "info")
# Of an expectation the library does not say which rows offend, but for a few.
_NOT_ABOUT_ROWS = (Schema, SchemaDrift, Distribution, Freshness, RowCount, Expectation)


def read_rules(rules: Sequence[Mapping[str, Any]]) -> list[Rule | None]:
    """The rules in order; None where `rule_problems` has something to say."""
    found: list[Rule | None] = []
    for rule in rules:
        try:
            found.append(parse_rule(rule))
        except ValueError:  # pydantic's error is one
            found.append(None)
    return found


def query_problems(dataset: str, rules: Sequence[Rule | None]) -> Iterator[Diagnostic]:
    """Queries that do not look at the dataset that is checked."""
    for index, rule in enumerate(rules):
        if isinstance(rule, Sql) and not rule.reads(dataset):
            yield Diagnostic(
                "data.bad-rule",
                f"the query does not read `{short_name(dataset)}`",
                "it would say nothing of the dataset that is checked, which stands in it under its own name",
                f"select the offending rows `FROM {short_name(dataset)}`",
                path=("rules", index, "sql", "query"),
            )


def quarantine_problems(spec: DataCheckSpec, rules: Sequence[Rule | None]) -> Iterator[Diagnostic]:
    """A quarantine that could never hold a row."""
    if spec.quarantine is not None and all(isinstance(rule, _NOT_ABOUT_ROWS) for rule in rules):
        yield Diagnostic(
            "data.no-effect",
            "`quarantine` has no effect",
            "no rule of this check is about single rows; expectations by name do not say which they are",
            "take it out",
            path=("quarantine",),
        )


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
    said = str(cause) if isinstance(cause, Exception) else _SAID.get(error["type"], error["msg"])
    where = f"`{field}` of the rule `{name}`" if field else f"the rule `{name}`"
    return Diagnostic(
        "data.bad-rule",
        f"{where}: {said}",
        f"{error['input']!r} stands there"[:200],
        f"write the item in brackets: `{field}: [{error['input']}]`" if _lone(error) else "",
        path=(*at, field) if field else at,
    )


def _lone(error: Any) -> bool:
    """Whether one item stands where a list of them is expected."""
    return error["type"] == "list_type" and isinstance(error["input"], str | int | float)


def _expectation_problems(name: str, arguments: Mapping[str, Any], at: tuple[str | int, ...]) -> Iterator[Diagnostic]:
    yield from _argument_problems(name, arguments, at)
    yield from _value_problems(name, arguments, at)


def _argument_problems(name: str, arguments: Mapping[str, Any], at: tuple[str | int, ...]) -> Iterator[Diagnostic]:
    """Arguments that there are not, that are missing, or that say nothing without others."""
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


def _value_problems(name: str, arguments: Mapping[str, Any], at: tuple[str | int, ...]) -> Iterator[Diagnostic]:
    """Arguments that hold what they cannot take."""
    mostly = arguments.get("mostly")
    if mostly is not None and (isinstance(mostly, bool) or not isinstance(mostly, int | float) or not 0 < mostly <= 1):
        yield Diagnostic(
            "data.bad-rule",
            f"`mostly` of `{name}` is no share",
            f"{mostly!r} stands there",
            "write a number above 0 and at most 1, for example 0.99",
            path=(*at, "mostly"),
        )
    severity = arguments.get("severity", "critical")
    if severity not in _SEVERITIES:
        yield Diagnostic(
            "data.bad-rule",
            f"`severity` of `{name}` is one of {_listed(_SEVERITIES)}",
            f"{severity!r} stands there; expectations have the severities of Great Expectations, and only `critical` closes the gate",
            "write `warning` where a short rule has `warn`" if severity == "warn" else "",
            path=(*at, "severity"),
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
