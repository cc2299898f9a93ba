"""Great Expectations on a pandas frame of only the columns that are needed: one suite, one validation, for all rules at once.

The library hashes the whole frame at each validation and holds several copies of it, so nothing here is done once per
rule. Its results come grouped by column, and are put back in order by an index in each expectation's `meta`.
"""

# ruff: noqa: S608 (names go through quote())

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from mlctl.runtime.checks.executor import ROW
from mlctl.runtime.checks.gx_docs import native, write_docs
from mlctl.runtime.checks.sql import SAMPLE, rows_query
from mlctl.runtime.checks.verdict import Verdict, failed, missing_column, of_rows
from mlctl.runtime.profile.database import all_rows, quote
from mlctl.runtime.profile.types import family
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.checks import Expectation
from mlctl.types.value import Json

# Expectations that look at the names of all columns; those of columns nobody reads are enough.
_WHOLE_TABLE = re.compile(r"expect_table_column.*|expect_column_to_exist")
_NUMBER_BYTES, _TEXT_BYTES, _COPIES = 8, 90, 3


class Table:
    """The checked dataset as DuckDB has it: what frames are made of, and where the keys of offending rows are looked up.

    Rows are in the order of the key, or of the file where there is none, so that the first ones are the same in every engine.
    """

    def __init__(
        self, connection: Any, relation: str, columns: Mapping[str, str], key: Sequence[str], rows: int
    ) -> None:
        self.connection = connection
        self.relation = relation
        self.columns = columns
        self.key = key
        self.rows = rows
        self._numbers: Any = None  # of the rows in file order, when they are not in it

    def frame(self, needed: Collection[str], *, all_names: bool = False) -> Any:
        """The needed columns; with `all_names` the others too, by name only. Raises MlctlError for more than memory holds."""
        loaded = [name for name in self.columns if name in needed]
        self._fits(loaded)
        parts = [self._read(name) for name in loaded]
        if all_names:
            parts = [self._read(name) if name in loaded else f"false AS {quote(name)}" for name in self.columns]
        if not self.key:
            return self.connection.execute(
                f"SELECT {', '.join(parts or ['false AS nothing'])} FROM {self.relation}"
            ).df()
        order = ", ".join(f"{quote(name)} NULLS LAST" for name in self.key)
        numbered = f"(SELECT *, row_number() OVER () AS {ROW} FROM {self.relation})"
        query = f"SELECT {', '.join([*parts, ROW])} FROM {numbered} ORDER BY {order}, {ROW}"
        frame = self.connection.execute(query).df()
        self._numbers = frame.pop(ROW.strip('"')).to_numpy()
        if not parts:
            frame["nothing"] = False
        return frame

    def sample(self, positions: Sequence[int]) -> Sequence[Mapping[str, Json]]:
        """The keys of the rows at these positions of the last frame, counted from 0; their numbers where there is no key."""
        found = [int(self._numbers[position]) - 1 for position in positions] if self.key else positions
        return all_rows(self.connection, rows_query(self.relation, found, self.key, self.columns))

    def _read(self, name: str) -> str:
        """A column as pandas should see it: an enumeration would become a category."""
        return (
            f"CAST({quote(name)} AS VARCHAR) AS {quote(name)}" if self.columns[name].startswith("enum") else quote(name)
        )

    def _fits(self, loaded: Sequence[str]) -> None:
        widths = (_TEXT_BYTES if family(self.columns[name]) in ("text", "other") else _NUMBER_BYTES for name in loaded)
        size, available = self.rows * _COPIES * sum(widths), psutil.virtual_memory().available
        if size > available:
            raise MlctlError.of(
                "data.too-large",
                f"Great Expectations would need about {size / 1e9:.0f} GB of memory for {self.rows:,} rows, and {available / 1e9:.0f} GB are free",
                f"it works on a pandas frame in memory, here of {', '.join(loaded)}",
                "use `engine: duckdb` and its own rules, which stream, or a machine with more memory",
            )


def run(
    connection: Any,
    relation: str,
    rules: Mapping[int, Expectation],
    columns: Mapping[str, str],
    key: Sequence[str],
    rows: int,
) -> dict[int, Verdict]:
    """The verdict of each rule, by its index. Raises MlctlError for arguments an expectation does not take, and for too much data."""
    table = Table(connection, relation, columns, key, rows)
    frame = table.frame(load_columns(list(rules.values()), columns), all_names=whole_table(rules.values()))
    found = validate(frame, {index: build(index, rule) for index, rule in rules.items()})
    return {index: named_verdict(rules[index], item, frame, table) for index, item in found.items()}


def validate(frame: Any, expectations: Mapping[int, Any], docs: Path | None = None) -> dict[int, Mapping[str, Any]]:
    """One validation of a frame: the library's results as JSON, by the index in each expectation's `meta`.

    With `docs` the library's own pages and its validation JSON are written into that folder.
    """
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("data").add_dataframe_asset("table")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch(batch_parameters={"dataframe": frame})
    suite = gx.ExpectationSuite(name="rules", expectations=list(expectations.values()))
    # Not through a ValidationDefinition: that also stores the result as JSON, which fails on the numpy booleans in some.
    results = batch.validate(suite, result_format={"result_format": "SUMMARY", "partial_unexpected_count": SAMPLE})
    if docs is not None:
        write_docs(suite, results, docs)
    items = [json.loads(json.dumps(result.to_json_dict(), default=native)) for result in results.results]
    return {item["expectation_config"]["meta"]["index"]: item for item in items}


def named_verdict(rule: Expectation, item: Mapping[str, Any], frame: Any, table: Table) -> Verdict:
    """What came of a rule that is an expectation by its own name."""
    verdict = _no_rows(rule, frame) or judge(rule, item)
    if rule.name == "expect_column_to_exist" and rule.columns[0] not in table.columns:
        verdict.reason = missing_column(rule.columns[0], table.columns)
    if found := positions(item):
        verdict.sample = table.sample(found)
    return verdict


def judge(rule: Expectation, item: Mapping[str, Any]) -> Verdict:
    """The verdict that one result of Great Expectations (as JSON) stands for."""
    result = item["result"]
    if (error := exception(item["exception_info"])) is not None:
        return failed(rule.name, rule.columns, error)
    if "element_count" in result:
        checked = int(result["element_count"]) - int(result.get("missing_count") or 0)
        allowed = 1 - float(rule.arguments.get("mostly", 1))
        verdict = of_rows(rule.name, rule.columns, checked, int(result["unexpected_count"]), allowed, "do not meet it")
        if not checked:
            verdict.reason = "no values: no row is left once nulls and rows outside `row_condition` are taken out"
        elif item["success"]:  # the library's own word decides; it rounds `mostly` in its own way
            verdict.passed, verdict.reason = True, ""
        return verdict
    observed = _plain(result.get("observed_value"))
    verdict = Verdict(rule.name, rule.columns, passed=bool(item["success"]), observed=observed)
    if not verdict.passed:
        verdict.reason = _unlike(rule, result, observed)
    return verdict


def load_columns(rules: Sequence[Expectation], columns: Mapping[str, str]) -> list[str]:
    """The columns, in file order, whose values the rules read."""
    needed = {name for rule in rules for name in rule.columns}
    conditions = json.dumps([rule.arguments.get("row_condition") for rule in rules])
    return [name for name in columns if name in needed or re.search(rf"(?<!\w){re.escape(name)}(?!\w)", conditions)]


def whole_table(rules: Collection[Expectation]) -> bool:
    """Whether one of the rules is about the names of all columns."""
    return any(_WHOLE_TABLE.fullmatch(rule.name) for rule in rules)


def build(index: int, rule: Expectation, number: int | None = None) -> Any:
    """The library's own object for a rule by name, the rule's number in the data check being another than its index. Raises MlctlError."""
    from great_expectations.expectations.registry import get_expectation_impl

    try:
        return get_expectation_impl(rule.name)(**rule.arguments, meta={"index": index})
    except ValueError as error:  # pydantic's errors are of this class
        said = "; ".join(dict.fromkeys(line.strip() for line in str(error).splitlines()[1:]))
        raise MlctlError.of(
            "data.bad-rule",
            f"the arguments of `{rule.name}` (rule {(index if number is None else number) + 1}) do not fit",
            said,
            "see the expectation in the gallery of Great Expectations",
        ) from None


def positions(item: Mapping[str, Any]) -> list[int]:
    """The rows of the frame that Great Expectations names, counted from 0, of a result that is no success."""
    return [] if item["success"] else found_positions(item)


def found_positions(item: Mapping[str, Any]) -> list[int]:
    """The same, of any result."""
    found = item["result"].get("partial_unexpected_index_list") or []
    return [position for position in found if isinstance(position, int)][:SAMPLE]


def exception(info: Mapping[str, Any]) -> str | None:
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
