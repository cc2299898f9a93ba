"""Soda's checks as rules: the classic language (`checks for X:`) and the newer contracts (`dataset:` with `columns:`).

What has a rule here is taken, and everything else is listed with the reason. What a check calls a percentage of rows is one
of values here, so that shares of invalid values are only taken where they mean the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlctl.providers.great_expectations.rules import rule_problems
from mlctl.providers.great_expectations.soda_thresholds import Limits, of_contract, of_text
from mlctl.providers.great_expectations.suite import Entry, Imported
from mlctl.types.diagnostic import MlctlError

_CHECKS_FOR = re.compile(r"checks for (?P<name>\S+)")
_METRIC = re.compile(r"(?P<metric>\w+)(?:\((?P<columns>[^)]*)\))?\s*(?P<limit>.*)", re.DOTALL)
_REFERENCE = re.compile(r"values in \(?(?P<columns>[^)]+?)\)? must exist in (?P<dataset>\S+) \(?(?P<others>[^)]+?)\)?")
_AGE = re.compile(r"<=?\s*(?:(?P<days>\d+)d)?\s*(?:(?P<hours>\d+)h)?\s*(?:(?P<minutes>\d+)m)?")
_UNITS = {"minute": "m", "hour": "h", "day": "d"}

_NO_CHECK = "it is no check"
_NO_SAME = "there is no rule that says the same"
_NOT_ALL = "it lets a number of rows pass, and rules here let a share pass"
_OTHER_SHARE = "its share is of all rows, and here of the values that are not null"


class _Refused(Exception):
    """Why a check is not taken."""


def read(document: Any) -> list[Imported]:
    """What each dataset of a file of Soda's is checked by. Raises MlctlError for another file."""
    if isinstance(document, Mapping) and "dataset" in document:
        return [_contract(document)]
    found = []
    for key, checks in document.items() if isinstance(document, Mapping) else ():
        named = _CHECKS_FOR.fullmatch(str(key))
        if named is not None:
            found.append(_classic(named["name"], checks))
    if not found:
        raise MlctlError.of(
            "data.bad-soda",
            "it is no file of Soda checks",
            "one has `checks for DATASET:`, or is a contract with `dataset:` and `columns:`",
            "give the file with the checks themselves",
        )
    others = [str(key) for key in document if not _CHECKS_FOR.fullmatch(str(key))]
    found[0].left_out += [(key, "only `checks for DATASET` is read") for key in others]
    return found


def _classic(name: str, checks: Any) -> Imported:
    imported = Imported(dataset=name)
    for text, options in _named(checks, imported):
        _take(imported, text, _classic_rules, text.strip(), options)
    return imported


def _contract(document: Mapping[str, Any]) -> Imported:
    imported = Imported(dataset=str(document["dataset"]).rpartition("/")[2])
    types = {}
    columns = document.get("columns")
    for column in columns if isinstance(columns, list) else ():
        if not isinstance(column, Mapping):
            imported.left_out.append((str(column), _NO_CHECK))
            continue
        name = str(column.get("name"))
        if column.get("data_type"):
            types[name] = str(column["data_type"]).lower()
        for kind, options in _named(column.get("checks"), imported):
            _take(imported, f"{kind} of {name}", _column_rules, kind, name, _mapping(options))
    for kind, options in _named(document.get("checks"), imported):
        _take(imported, kind, _dataset_rules, kind, _mapping(options), types)
    return imported


def _named(checks: Any, imported: Imported) -> Iterator[tuple[str, Any]]:
    """The name of each check, and what is said of it."""
    for check in checks if isinstance(checks, list) else ():
        if isinstance(check, str):
            yield check, {}
        elif isinstance(check, Mapping) and check:
            name, options = next(iter(check.items()))
            yield str(name), options
        else:
            imported.left_out.append((str(check), _NO_CHECK))


def _texts(items: Any) -> list[str]:
    return [str(item) for item in items] if isinstance(items, list) else []


def _mapping(options: Any) -> Mapping[str, Any]:
    return options if isinstance(options, Mapping) else {}


def _take(imported: Imported, what: str, read_by: Any, *arguments: Any) -> None:
    """Take the rules of a check, or say why not."""
    try:
        made: list[Entry] = list(read_by(imported, *arguments))
    except _Refused as error:
        imported.left_out.append((what, str(error)))
        return
    for entry in made:
        problems = list(rule_problems(0, entry))
        if problems:
            imported.left_out.append((what, problems[0].summary))
        else:
            imported.rules.append(entry)


def _classic_rules(imported: Imported, text: str, options: Any) -> Iterator[Entry]:
    """The rules of one check of the classic language."""
    if found := _REFERENCE.fullmatch(text):
        yield _reference(found["columns"], found["dataset"], found["others"])
        return
    if text == "schema":
        yield from _classic_schema(imported, options)
        return
    if text == "failed rows":
        if not isinstance(options, Mapping) or "fail query" not in options:
            raise _Refused("its condition is in the SQL of another database; write a `sql` rule")
        imported.notes.append("a failed-rows query is taken as it stands: see that it is in the SQL of DuckDB")
        yield {"sql": {"query": str(options["fail query"]).strip()}}
        return
    levels = {key: options[key] for key in ("warn", "fail") if isinstance(options, Mapping) and key in options}
    if levels:
        for level, condition in levels.items():
            limits = of_text(str(condition).removeprefix("when ").strip(), fails=True)
            yield from _metric(imported, text, limits, options, warn=level == "warn")
        return
    match = _METRIC.fullmatch(text)
    if match is None:
        raise _Refused(_NO_SAME)
    if match["metric"] == "freshness":
        yield _freshness(match["columns"], match["limit"])
        return
    head = text[: match.start("limit")].strip()
    yield from _metric(imported, head, of_text(match["limit"]), options, warn=False)


def _metric(imported: Imported, head: str, limits: Limits | None, options: Any, *, warn: bool) -> Iterator[Entry]:
    match = _METRIC.fullmatch(head)
    if match is None or limits is None:
        raise _Refused(_NO_SAME)
    columns = [item.strip() for item in (match["columns"] or "").split(",") if item.strip()]
    given = options if isinstance(options, Mapping) else {}
    if any(key in given for key in ("filter", "samples columns")):
        raise _Refused("it looks at a part of the rows only; write a `sql` rule")
    severity = {"severity": "warn"} if warn else {}
    for entry in _of_metric(imported, match["metric"], columns, limits, given):
        yield {name: fields | severity for name, fields in entry.items()}


def _of_metric(
    imported: Imported, metric: str, columns: Sequence[str], limits: Limits, options: Mapping[str, Any]
) -> Iterator[Entry]:
    """The rules that one metric with its limits means."""
    if metric == "row_count" and not columns:
        yield {"row_count": limits.whole()}
    elif metric in ("missing_count", "missing_percent") and len(columns) == 1:
        if any(key.startswith("missing") for key in options):
            raise _Refused("it counts more than nulls as missing")
        yield {"not_null": {"columns": list(columns)} | _share(imported, metric, limits)}
    elif metric in ("duplicate_count", "duplicate_percent") and columns:
        _only_none(metric, limits)
        yield {"unique": {"columns": list(columns)}}
    elif metric in ("invalid_count", "invalid_percent") and len(columns) == 1:
        _only_none(metric, limits, _OTHER_SHARE if metric.endswith("percent") else _NOT_ALL)
        yield from _valid(columns[0], {key.replace(" ", "_"): item for key, item in options.items()})
    elif metric in ("min", "max") and len(columns) == 1:
        bound = limits.one_sided(low=metric == "min")
        if bound is None:
            raise _Refused(_NO_SAME)
        yield {"range": {"column": columns[0], metric: bound}}
    elif metric in ("avg", "sum", "stddev") and len(columns) == 1:
        name = {"avg": "mean", "sum": "sum", "stddev": "stdev"}[metric]
        yield {f"expect_column_{name}_to_be_between": {"column": columns[0]} | limits.arguments()}
    else:
        raise _Refused(_NO_SAME)


def _share(imported: Imported, metric: str, limits: Limits) -> dict[str, float]:
    """How many of the rows may be missing."""
    if limits.none(counted=metric.endswith("count")):
        return {}
    if not metric.endswith("percent") or limits.low is not None or limits.high is None:
        raise _Refused(_NOT_ALL if metric.endswith("count") else _NO_SAME)
    if limits.strict:
        imported.notes.append(f"`{metric}` below {limits.high:g} % is taken as at most {limits.high:g} %")
    return {"max_ratio": round(limits.high / 100, 12)}


def _only_none(metric: str, limits: Limits, why: str = _NOT_ALL) -> None:
    if not limits.none(counted=metric.endswith("count")):
        raise _Refused(why)


def _valid(column: str, options: Mapping[str, Any]) -> Iterator[Entry]:
    """The rules that say what a valid value is."""
    known = {
        "valid_values", "valid_regex", "valid_format", "valid_min", "valid_max", "valid_length", "valid_min_length",
        "valid_max_length", "valid_reference_data", "name", "attributes", "threshold",
    }  # fmt: skip
    unknown = sorted(options.keys() - known)
    if unknown:
        raise _Refused(f"`{unknown[0].replace('_', ' ')}` has no rule here")
    rules = list(_valid_rules(column, options))
    if not rules:
        raise _Refused("it does not say which values are valid")
    yield from rules


def _valid_rules(column: str, options: Mapping[str, Any]) -> Iterator[Entry]:
    if "valid_values" in options:
        yield {"set": {"column": column, "values": options["valid_values"]}}
    pattern = options.get("valid_regex")
    if isinstance(options.get("valid_format"), Mapping):
        pattern = options["valid_format"].get("regex")
    elif "valid_format" in options:
        raise _Refused(f"the format `{options['valid_format']}` is Soda's own; write it as a `regex`")
    if pattern is not None:
        yield {"regex": {"column": column, "pattern": str(pattern).removeprefix("^").removesuffix("$")}}
    for rule, infix in (("range", ""), ("length", "_length")):
        bounds = {side: options[f"valid_{side}{infix}"] for side in ("min", "max") if f"valid_{side}{infix}" in options}
        if rule == "length" and "valid_length" in options:
            bounds = {"min": options["valid_length"], "max": options["valid_length"]}
        if bounds:
            yield {rule: {"column": column} | bounds}
    reference = options.get("valid_reference_data")
    if isinstance(reference, Mapping):
        yield _reference(column, str(reference.get("dataset")).rpartition("/")[2], str(reference.get("column")))


def _reference(columns: str, dataset: str, others: str) -> Entry:
    if "," in columns or "," in others:
        raise _Refused("a foreign key of several columns has no rule here; write a `sql` rule")
    return {"foreign_key": {"column": columns.strip(), "references": f"{dataset}.{others.strip()}"}}


def _freshness(column: str | None, limit: str) -> Entry:
    match = _AGE.fullmatch(limit.strip())
    if match is None or not column or not any(match.groupdict().values()):
        raise _Refused(_NO_SAME)
    minutes = int(match["days"] or 0) * 1440 + int(match["hours"] or 0) * 60 + int(match["minutes"] or 0)
    return {"freshness": {"column": column.strip(), "max_age": f"{minutes}m"}}


def _classic_schema(imported: Imported, options: Any) -> Iterator[Entry]:
    """Schema checks that name columns or types; those that compare with the last scan are `schema_drift` here."""
    for level in ("fail", "warn"):
        conditions = options.get(level) if isinstance(options, Mapping) else None
        for key, wanted in conditions.items() if isinstance(conditions, Mapping) else ():
            warned = {"severity": "warn"} if level == "warn" else {}
            if key == "when wrong column type" and isinstance(wanted, Mapping):
                yield {"schema": {"columns": {str(name): str(kind) for name, kind in wanted.items()}} | warned}
            elif key == "when required column missing" and isinstance(wanted, list):
                for name in wanted:
                    yield {
                        "expect_column_to_exist": {"column": str(name)} | ({"severity": "warning"} if warned else {})
                    }
            elif key == "when schema changes" and wanted == "any":
                imported.notes.append(
                    "`schema changes` compares with the recorded contract: `mlctl data contract record`"
                )
                yield {"schema_drift": dict(warned)}
            else:
                imported.left_out.append((f"schema, {level} {key}", _NO_SAME))


def _column_rules(imported: Imported, kind: str, column: str, options: Mapping[str, Any]) -> Iterator[Entry]:
    """The rules of one check on a column of a contract."""
    if options.get("filter"):
        raise _Refused("it looks at a part of the rows only; write a `sql` rule")
    limits, unit = of_contract(options.get("threshold"))
    if limits is None:
        raise _Refused(_NO_SAME)
    metric = f"{kind}_{'percent' if unit == 'percent' else 'count'}"
    if kind == "missing":
        extra = {key: item for key, item in options.items() if key.startswith("missing")}
        yield from _of_metric(imported, metric, [column], limits, extra)
    elif kind in ("invalid", "duplicate"):
        yield from _of_metric(imported, metric, [column], limits, options)
    elif kind == "aggregate":
        yield from _of_metric(imported, str(options.get("function")), [column], limits, {})
    else:
        raise _Refused(_NO_SAME)


def _dataset_rules(
    imported: Imported, kind: str, options: Mapping[str, Any], types: Mapping[str, str]
) -> Iterator[Entry]:
    """The rules of one check on the whole dataset of a contract."""
    limits, _ = of_contract(options.get("threshold"))
    if options.get("filter"):
        raise _Refused("it looks at a part of the rows only; write a `sql` rule")
    if kind == "schema":
        if not types:
            raise _Refused("no column states a `data_type`")
        yield {"schema": {"columns": dict(types)} | ({} if options.get("allow_extra_columns") else {"exact": True})}
        if not options.get("allow_other_column_order"):
            imported.notes.append("the order of the columns is not looked at")
    elif kind == "row_count" and limits is not None:
        # without a threshold: not empty
        yield {"row_count": limits.whole() if options.get("threshold") else {"min": 1}}
    elif kind == "duplicate" and limits is not None:
        yield from _of_metric(imported, "duplicate_count", _texts(options.get("columns")), limits, {})
    elif kind == "freshness":
        threshold = _mapping(options.get("threshold"))
        limit, unit = (
            threshold.get("must_be_less_than", threshold.get("must_be_less_than_or_equal")),
            str(threshold.get("unit", "hour")),
        )
        if not isinstance(limit, int) or unit not in _UNITS:
            raise _Refused(_NO_SAME)
        yield {"freshness": {"column": str(options.get("column")), "max_age": f"{limit}{_UNITS[unit]}"}}
    elif kind == "failed_rows" and options.get("query"):
        imported.notes.append("a failed-rows query is taken as it stands: see that it is in the SQL of DuckDB")
        yield {"sql": {"query": str(options["query"]).strip()}}
    else:
        raise _Refused(_NO_SAME)
