"""A data check as a suite of Great Expectations in its JSON, and such a suite as a data check.

Every rule that the library has an expectation for is one there, and can be run and edited there. All rules also travel in
the suite's `meta`, which the library keeps and does not look at: a rule whose expectations come back as they went out is
itself again, and what was edited is read by what it says now.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlctl.providers.great_expectations.expectations import EXPECTATIONS, SQL_ONLY
from mlctl.providers.great_expectations.rules import rule_problems
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.checks import Expectation, Outliers, Rule, Schema, parse_rule
from mlctl.types.jobs.suites import Expected, expectations_of, mostly

META = "mlctl"
LIBRARY_VERSION = "1.24.1"  # whose JSON this is
_SEVERITIES = {"error": "critical", "warn": "warning"}

Entry = dict[str, dict[str, Any]]


@dataclass
class Imported:
    """The rules that were read, and what was not taken with the reason; `notes` are on what was taken and differs a little."""

    dataset: str = ""
    rules: list[Entry] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def export(
    name: str, dataset: str, rules: Sequence[Mapping[str, Mapping[str, Any]]]
) -> tuple[dict[str, Any], list[str]]:
    """The suite, and the names of the rules that only travel along."""
    expectations: list[dict[str, Any]] = []
    beside = []
    for index, entry in enumerate(rules):
        found = expected(parse_rule(entry), index)
        expectations += found
        beside += [] if found else list(entry)
    about = {"dataset": dataset, "rules": [dict(entry) for entry in rules]}
    suite = {
        "name": name, "id": None, "notes": None, "expectations": expectations,
        "meta": {"great_expectations_version": LIBRARY_VERSION, META: about},
    }  # fmt: skip
    return suite, beside


def expected(rule: Rule, index: int) -> list[dict[str, Any]]:
    """The expectations of a rule, as the suite's JSON has them."""
    items = []
    for kind, arguments in _of_suite(rule):
        severity = arguments.pop("severity", _SEVERITIES[rule.severity])
        items.append({"type": kind, "kwargs": arguments, "meta": {META: {"rule": index}}, "severity": severity})
    return items


def read(suite: Any) -> Imported:
    """The rules of a suite. Raises MlctlError for what is none."""
    if not isinstance(suite, Mapping) or not isinstance(suite.get("expectations"), list):
        raise MlctlError.of(
            "data.bad-suite",
            "it is no suite of Great Expectations",
            "the JSON of one is a mapping with a list of `expectations`",
            "export it with `context.suites.get(name).to_json_dict()`",
        )
    about = _about(suite)
    imported = Imported(dataset=str(about.get("dataset", "")))
    items: list[Any] = suite["expectations"]
    whole = dict(_unchanged(about, items))
    placed: list[tuple[int, Entry]] = list(whole.items())
    for place, item in enumerate(items):
        index = _index(item)
        if index in whole:
            continue
        entry, why = _rule(item)
        if entry is None:
            imported.left_out.append((_name(item), why))
        else:
            placed.append((place if index is None else index, entry))
    imported.rules = [entry for _, entry in sorted(placed, key=lambda part: part[0])]
    return imported


def _of_suite(rule: Rule) -> list[Expected]:
    """The expectations of a rule in a suite, which knows nothing of the data that it will meet."""
    if isinstance(rule, Expectation):
        return [(rule.name, dict(rule.arguments))]
    if isinstance(rule, Outliers) and rule.method != "isolation_forest":
        how: dict[str, Any] = {"threshold": rule.limit, "double_sided": True}
        name = "expect_column_value_z_scores_to_be_less_than"
        if rule.method == "iqr":
            name, how = "expect_column_values_to_not_be_outliers", {"method": "iqr", "multiplier": rule.limit}
        return [(name, {"column": column} | how | mostly(rule.max_ratio)) for column in rule.columns]
    if isinstance(rule, Schema):
        arguments = {"column_set": list(rule.columns), "exact_match": rule.exact}
        return [("expect_table_columns_to_match_set", arguments)]
    return expectations_of(rule)


def _unchanged(about: Mapping[str, Any], items: Sequence[Any]) -> Iterator[tuple[int, Entry]]:
    """The rules in the suite's `meta` whose expectations are all there as they went out, and those that never had any."""
    rules = about.get("rules")
    for index, entry in enumerate(rules if isinstance(rules, list) else ()):
        if not isinstance(entry, Mapping) or any(rule_problems(0, entry)):
            continue
        there = [_said(item) for item in items if _index(item) == index]
        if there == [_said(item) for item in expected(parse_rule(entry), index)]:
            yield index, {name: dict(arguments) for name, arguments in entry.items()}


def _said(item: Any) -> tuple[Any, Any, Any]:
    """What an expectation says, without what the library adds."""
    return _type(item), _arguments(item), item.get("severity") or "critical"


def _rule(item: Any) -> tuple[Entry | None, str]:
    """The rule that an expectation means, or why it means none here."""
    if not isinstance(item, Mapping) or not isinstance(item.get("kwargs"), Mapping):
        return None, "it has no `kwargs`"
    name, arguments = _type(item), _arguments(item)
    severity = str(item.get("severity") or "critical")
    if name in SQL_ONLY:
        return None, "it needs a SQL engine; a `sql` rule can say the same"
    if name not in EXPECTATIONS:
        return None, "it is none of the library's own expectations"
    short = _short(name, arguments)
    if short is not None:
        entry = {
            rule: fields | ({} if severity == "critical" else {"severity": "warn"}) for rule, fields in short.items()
        }
        if not any(rule_problems(0, entry)):
            return entry, ""
    entry = {name: arguments | ({"severity": severity} if severity != "critical" else {})}
    problems = list(rule_problems(0, entry))
    return (None, problems[0].summary) if problems else (entry, "")


def _short(name: str, arguments: Mapping[str, Any]) -> Entry | None:
    """The short rule that says exactly the same, if there is one.

    None for patterns, outliers and sets of columns: what those say in the library is not what they say here.
    """
    known = {"column", "mostly", *_ARGUMENTS.get(name, ())}
    if name not in _ARGUMENTS or not arguments.keys() <= known:
        return None
    share = arguments.get("mostly", 1)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        return None
    ratio = {"max_ratio": round(1 - share, 12)} if share < 1 else {}
    bounds = (("min_value", "min"), ("max_value", "max"))
    kept = {short: arguments[key] for key, short in bounds if key in arguments}
    column = {"column": arguments.get("column")}
    made: dict[str, Entry | None] = {
        "expect_column_values_to_not_be_null": {"not_null": {"columns": [arguments.get("column")]} | ratio},
        "expect_column_values_to_be_between": {"range": column | kept | ratio},
        "expect_column_value_lengths_to_be_between": {"length": column | kept | ratio},
        "expect_column_values_to_be_in_set": {"set": column | {"values": arguments.get("value_set")} | ratio},
        "expect_table_row_count_to_be_between": {"row_count": kept},
        "expect_column_values_to_be_unique": None if ratio else {"unique": {"columns": [arguments.get("column")]}},
    }
    if name in made:
        return made[name]
    fits = not ratio and arguments.get("ignore_row_if") == "any_value_is_missing"
    return {"unique": {"columns": arguments.get("column_list")}} if fits else None


def _type(item: Any) -> str:
    return str(item.get("type") or item.get("expectation_type") or "an expectation")


def _arguments(item: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that say something; the library writes those that were not given as null, and strictness as false."""
    ignored = {"batch_id", "strict_min", "strict_max"}
    given = item.get("kwargs") or {}
    return {key: value for key, value in given.items() if value is not None and (key not in ignored or value is True)}


def _index(item: Any) -> int | None:
    index = _about(item).get("rule")
    return index if isinstance(index, int) else None


def _about(item: Any) -> Mapping[str, Any]:
    """What of a `meta` is ours."""
    meta = item.get("meta") if isinstance(item, Mapping) else None
    found = meta.get(META) if isinstance(meta, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _name(item: Any) -> str:
    if not isinstance(item, Mapping):
        return "an expectation"
    kwargs = item.get("kwargs")
    column = kwargs.get("column") if isinstance(kwargs, Mapping) else None
    return f"{_type(item)} {column}" if column else _type(item)


# Expectations that a short rule can mean, and the arguments beside `column` and `mostly` with which it does.
_ARGUMENTS: Mapping[str, Sequence[str]] = {
    "expect_column_values_to_not_be_null": (),
    "expect_column_values_to_be_between": ("min_value", "max_value"),
    "expect_column_value_lengths_to_be_between": ("min_value", "max_value"),
    "expect_column_values_to_be_in_set": ("value_set",),
    "expect_column_values_to_be_unique": (),
    "expect_compound_columns_to_be_unique": ("column_list", "ignore_row_if"),
    "expect_table_row_count_to_be_between": ("min_value", "max_value"),
}
