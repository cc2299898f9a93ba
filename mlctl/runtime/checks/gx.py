"""Rules that are Great Expectations expectations: one suite, one validation, on a pandas frame of only the columns they need.

Great Expectations hashes the whole frame at each validation and holds several copies of it, so nothing here is done
once per rule. Its results come grouped by column, and are put back in order by an index in each expectation's `meta`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import psutil

from mlctl.runtime.checks.sql import SAMPLE, rows_query
from mlctl.runtime.checks.verdict import Verdict, failed, of_rows
from mlctl.runtime.profile.database import all_rows, quote
from mlctl.runtime.profile.statistics import family
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.checks import Expectation
from mlctl.types.value import Json

# Expectations that look at the names of all columns; those of columns nobody reads are enough.
_WHOLE_TABLE = re.compile(r"expect_table_column.*|expect_column_to_exist")
_NUMBER_BYTES, _TEXT_BYTES, _COPIES = 8, 90, 3


def run(
    connection: Any,
    relation: str,
    rules: Mapping[int, Expectation],
    columns: Mapping[str, str],
    key: Sequence[str],
    rows: int,
) -> dict[int, Verdict]:
    """The verdict of each rule, by its index. Raises MlctlError for arguments an expectation does not take, and for too much data."""
    import great_expectations as gx

    frame = _frame(connection, relation, list(rules.values()), columns, rows)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("data").add_dataframe_asset("table")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch(batch_parameters={"dataframe": frame})
    suite = gx.ExpectationSuite(name="rules", expectations=[_build(index, rule) for index, rule in rules.items()])
    # Not through a ValidationDefinition: that also stores the result as JSON, which fails on the numpy booleans in some.
    results = batch.validate(suite, result_format={"result_format": "SUMMARY", "partial_unexpected_count": SAMPLE})
    verdicts = {}
    for result in results.results:
        item = json.loads(json.dumps(result.to_json_dict(), default=_native))
        index = item["expectation_config"]["meta"]["index"]
        verdict = _no_rows(rules[index], frame) or judge(rules[index], item)
        if positions := _positions(item):
            verdict.sample = all_rows(connection, rows_query(relation, positions, key, columns))
        verdicts[index] = verdict
    return verdicts


def judge(rule: Expectation, item: Mapping[str, Any]) -> Verdict:
    """The verdict that one result of Great Expectations (as JSON) stands for."""
    result = item["result"]
    severity = str(rule.arguments.get("severity", ""))
    if (error := _exception(item["exception_info"])) is not None:
        verdict = failed(rule.name, rule.columns, error)
    elif "element_count" in result:
        checked = int(result["element_count"]) - int(result.get("missing_count") or 0)
        allowed = 1 - float(rule.arguments.get("mostly", 1))
        verdict = of_rows(rule.name, rule.columns, checked, int(result["unexpected_count"]), allowed, "do not meet it")
        if not checked:
            verdict.reason = "no values: no row is left once nulls and rows outside `row_condition` are taken out"
        elif item["success"]:  # the library's own word decides; it rounds `mostly` in its own way
            verdict.passed, verdict.reason = True, ""
    else:
        observed = _plain(result.get("observed_value"))
        verdict = Verdict(rule.name, rule.columns, passed=bool(item["success"]), observed=observed)
        if not verdict.passed:
            verdict.reason = _unlike(rule, result, observed)
    verdict.severity = severity
    return verdict


def load_columns(rules: Sequence[Expectation], columns: Mapping[str, str]) -> list[str]:
    """The columns, in file order, whose values the rules read."""
    needed = {name for rule in rules for name in rule.columns}
    conditions = json.dumps([rule.arguments.get("row_condition") for rule in rules])
    return [name for name in columns if name in needed or re.search(rf"(?<!\w){re.escape(name)}(?!\w)", conditions)]


def _frame(connection: Any, relation: str, rules: Sequence[Expectation], columns: Mapping[str, str], rows: int) -> Any:
    loaded = load_columns(rules, columns)
    size = (
        rows
        * _COPIES
        * sum(_TEXT_BYTES if family(columns[name]) in ("text", "other") else _NUMBER_BYTES for name in loaded)
    )
    available = psutil.virtual_memory().available
    if size > available:
        raise MlctlError.of(
            "data.too-large",
            f"expectations on {rows:,} rows need about {size / 1e9:.0f} GB of memory, and {available / 1e9:.0f} GB are free",
            f"Great Expectations works on a pandas frame in memory, here of {', '.join(loaded)}",
            "use the short rules (not_null, range, unique, schema, foreign_key), which stream, or a machine with more memory",
        )
    if any(_WHOLE_TABLE.fullmatch(rule.name) for rule in rules):
        parts = [quote(name) if name in loaded else f"false AS {quote(name)}" for name in columns]
    else:
        parts = [quote(name) for name in loaded] or ["false AS nothing"]
    return connection.execute(f"SELECT {', '.join(parts)} FROM {relation}").df()  # noqa: S608


def _build(index: int, rule: Expectation) -> Any:
    from great_expectations.expectations.registry import get_expectation_impl

    try:
        return get_expectation_impl(rule.name)(**rule.arguments, meta={"index": index})
    except ValueError as error:  # pydantic's errors are of this class
        said = "; ".join(dict.fromkeys(line.strip() for line in str(error).splitlines()[1:]))
        raise MlctlError.of(
            "data.bad-rule",
            f"the arguments of `{rule.name}` (rule {index + 1}) do not fit",
            said,
            "see the expectation in the gallery of Great Expectations",
        ) from None


def _native(item: Any) -> Json:
    """A numpy value that Great Expectations leaves in its results."""
    return item.item() if hasattr(item, "item") else str(item)


def _positions(item: Mapping[str, Any]) -> list[int]:
    """The rows that Great Expectations names, counted from 0."""
    found = item["result"].get("partial_unexpected_index_list") or []
    return [] if item["success"] else [position for position in found if isinstance(position, int)][:SAMPLE]


def _exception(info: Mapping[str, Any]) -> str | None:
    """What was raised while an expectation was evaluated: it stands in `info` itself or, by metric, one level down."""
    raised = [
        item
        for item in (info, *info.values())
        if isinstance(item, Mapping) and str(item.get("raised_exception")) == "True"
    ]
    if not raised:
        return None
    return "it could not be evaluated: " + str(raised[0].get("exception_message") or "no reason given").strip()


def _unlike(rule: Expectation, result: Mapping[str, Any], observed: Json) -> str:
    counted = (("unexpected_count", "values outside the set"), ("missing_count", "values missing"))
    outside = [f"{result[name]} {what}" for name, what in counted if result.get(name)]
    if outside:
        return ", ".join(outside)
    expected = ", ".join(
        f"{name} {item}" for name, item in rule.arguments.items() if name not in ("column", "severity")
    )
    seen = f"observed {observed}" if observed is not None else "nothing was observed"
    return seen + (f", expected {expected}" if expected else "")


def _no_rows(rule: Expectation, frame: Any) -> Verdict | None:
    """The verdict on a rule whose `row_condition` leaves no row: some expectations hold of nothing at all."""
    condition = rule.arguments.get("row_condition")
    if not isinstance(condition, str):
        return None
    try:
        left = len(frame.query(condition))
    except Exception:  # whatever pandas makes of a bad condition; Great Expectations meets it too, and reports it
        return None
    return None if left else failed(rule.name, rule.columns, "no values: no row meets its `row_condition`")


def _plain(item: Any) -> Json:
    """The same value without what JSON cannot hold."""
    if isinstance(item, Mapping):
        return {str(name): _plain(part) for name, part in item.items()}
    if isinstance(item, list | tuple):
        return [_plain(part) for part in item]
    if isinstance(item, float) and not math.isfinite(item):
        return None
    return item if item is None or isinstance(item, bool | int | float | str) else str(item)
