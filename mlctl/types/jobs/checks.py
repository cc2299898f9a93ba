"""The `checks` program: the rules of a data check, as a project file states them and as the program takes them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from mlctl.types.address import FULL_NAME, PART
from mlctl.types.change import FieldClass
from mlctl.types.jobs.profile import Remote, Source
from mlctl.types.jobs.rule_fields import Bound as Bound
from mlctl.types.jobs.rule_fields import Columns, Member, Severity, Tolerance, distinct, one_select, ordered, portable
from mlctl.types.units import Duration, Share

# `users.user_id`, `trips["eu"].id`; a dataset of a module in brackets, since columns may have dots too: `(eu.users).user_id`
_REFERENCE = re.compile(rf"(?:\(({FULL_NAME.pattern})\)|({PART.pattern}))\.(.+)")


def split_reference(text: str) -> tuple[str, str]:
    """The dataset and the column that a foreign key refers to; two empty texts for anything else."""
    match = _REFERENCE.fullmatch(text)
    return (match[1] or match[2], match[3]) if match is not None else ("", "")


def short_name(dataset: str) -> str:
    """What a dataset is called in a query: its own name, without those of its module and of its instance around it."""
    [*parts] = PART.findall(dataset)
    return parts[-1].partition("[")[0] if parts else dataset


_NULL_AWARE = re.compile(
    r"expect_table_.*|expect_column_to_exist|expect_column_type_to_be|.*_of_type|.*_in_type_list|.*_null|.*_non_null_.*"
)


class Rule(BaseModel):
    """Base of the short rules. A NULL is a missing value, and so is a NaN in a float column.

    A rule of severity `error` closes the gate when it fails; one of severity `warn` is reported and lets things go on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, strict=True)

    severity: Severity = "error"


class NotNull(Rule):
    """In each column, at most this share of the rows may be null."""

    columns: Columns
    max_ratio: Tolerance = 0.0


class Range(Rule):
    """Values lie between the bounds, both included; nulls are not looked at. At most `max_ratio` of the values may lie outside."""

    column: str
    min: Bound | None = None
    max: Bound | None = None
    max_ratio: Tolerance = 0.0

    @model_validator(mode="after")
    def _bounds(self) -> Range:
        if self.min is None and self.max is None:
            raise ValueError("give `min`, `max`, or both")
        if self.min is not None and self.max is not None:
            if isinstance(self.min, str) != isinstance(self.max, str):
                raise ValueError("`min` and `max` must both be numbers, or both be times")
            low, high = (
                datetime.fromisoformat(item) if isinstance(item, str) else item for item in (self.min, self.max)
            )
            if (
                isinstance(low, datetime)
                and isinstance(high, datetime)
                and (low.tzinfo is None) != (high.tzinfo is None)
            ):
                raise ValueError("`min` and `max` must both have a UTC offset, or both have none")
            if low > high:  # type: ignore[operator]
                raise ValueError(f"`min` ({self.min}) is above `max` ({self.max}): no value could pass")
        return self


class Set(Rule):
    """Values are among these; nulls are not looked at. At most `max_ratio` of the values may be others."""

    column: str
    values: Annotated[list[Member], Field(min_length=1)]
    max_ratio: Tolerance = 0.0

    @model_validator(mode="after")
    def _alike(self) -> Set:
        kinds = {"number" if type(item) in (int, float) else type(item).__name__ for item in self.values}
        if len(kinds) > 1:
            raise ValueError("the `values` are of several kinds, and a column has one; put quotes around all or none")
        if not all(math.isfinite(item) for item in self.values if isinstance(item, float)):
            raise ValueError("`values` are finite numbers")
        if len(set(self.values)) < len(self.values):
            raise ValueError("`values` names one of them twice")
        return self


class Regex(Rule):
    """Texts match a regular expression as a whole (RE2 syntax); nulls are not looked at. `.` is any character but a line end."""

    column: str
    pattern: Annotated[str, Field(min_length=1), AfterValidator(portable)]
    max_ratio: Tolerance = 0.0


class Length(Rule):
    """Texts have so many characters, both bounds included; nulls are not looked at."""

    column: str
    min: Annotated[int, Field(ge=1)] | None = None
    max: Annotated[int, Field(ge=0)] | None = None
    max_ratio: Tolerance = 0.0

    @model_validator(mode="after")
    def _bounds(self) -> Length:
        ordered(self.min, self.max)
        return self


class Outliers(Rule):
    """At most `max_ratio` of the values are outliers of their own column.

    `z_score`: further than `threshold` (3) sample standard deviations from the mean. `iqr`: further than `threshold` (1.5)
    interquartile ranges outside the quartiles (Tukey's fences). `isolation_forest`: rows whose anomaly score in the space
    of all `columns` is above `threshold` (0.6; Liu, Ting and Zhou 2008), from a forest of a fixed seed.
    """

    columns: Columns
    method: Literal["z_score", "iqr", "isolation_forest"] = "z_score"
    threshold: Annotated[float, Field(gt=0, strict=False)] | None = None
    max_ratio: Tolerance = 0.0

    @model_validator(mode="after")
    def _reachable(self) -> Outliers:
        if self.method == "isolation_forest" and self.limit >= 1:
            raise ValueError("scores of an isolation forest lie below 1, and no row could be above such a `threshold`")
        return self

    @property
    def limit(self) -> float:
        """The threshold, its default put in."""
        defaults = {"z_score": 3.0, "iqr": 1.5, "isolation_forest": 0.6}
        return defaults[self.method] if self.threshold is None else self.threshold


class Unique(Rule):
    """No two rows agree in all of the columns. As in SQL, a row with a null among them is not looked at."""

    columns: Columns


class Schema(Rule):
    """The columns exist with these types; with `exact`, there are no others."""

    columns: Annotated[dict[str, str], Field(min_length=1)]
    exact: bool = False


class ForeignKey(Rule):
    """Every value that is not null occurs in a column of another dataset, written `dataset.column`."""

    column: str
    references: Annotated[str, Field(pattern=rf"^{_REFERENCE.pattern}$")]

    @property
    def dataset(self) -> str:
        """The dataset referred to."""
        return split_reference(self.references)[0]

    @property
    def referenced(self) -> str:
        """The column referred to."""
        return split_reference(self.references)[1]


class SchemaDrift(Rule):
    """The columns are those of the recorded contract, but for the kinds of change that are allowed.

    `added` and `removed` are columns; `changed` is another type; `widened` a type that holds every value of the old one
    (integer to bigint, float to double).
    """

    allow: Annotated[list[Literal["added", "removed", "changed", "widened"]], AfterValidator(distinct)] = []

    @model_validator(mode="after")
    def _each_counts(self) -> SchemaDrift:
        if {"changed", "widened"} <= set(self.allow):
            raise ValueError("`widened` has no effect beside `changed`, which allows any other type")
        if {"added", "removed", "changed"} <= set(self.allow):
            raise ValueError("with all of them allowed it could not fail")
        return self


class Distribution(Rule):
    """A column is distributed as in the recorded contract, over the contract's frozen bins.

    The rule fails when the distance is above `threshold`; with `alpha`, only if the difference is significant as well.

    `psi`: population stability index (0.2). `ks`: Kolmogorov-Smirnov distance of the cumulative shares (0.1), with the
    two-sample p-value. `chi_square`: Cramer's V of the counts (0.1), with the p-value of Pearson's test. `histogram`:
    Jensen-Shannon distance in bits (0.1); no p-value.
    """

    column: str
    method: Literal["psi", "ks", "chi_square", "histogram"] = "psi"
    threshold: Annotated[float, Field(gt=0, strict=False)] | None = None
    alpha: Annotated[float, Field(gt=0, lt=1)] | None = None

    @model_validator(mode="after")
    def _effect(self) -> Distribution:
        if self.alpha is not None and self.method not in ("ks", "chi_square"):
            raise ValueError(f"`alpha` has no effect: `{self.method}` is judged by its distance alone")
        if self.method != "psi" and self.limit >= 1:
            raise ValueError(f"the distance of `{self.method}` is at most 1, and could not be above such a `threshold`")
        return self

    @property
    def limit(self) -> float:
        """The threshold, its default put in."""
        return self.threshold if self.threshold is not None else 0.2 if self.method == "psi" else 0.1


class Freshness(Rule):
    """The newest row is at most this old when the check runs. Without `column` the dataset's `timestamp` is looked at."""

    max_age: Annotated[Duration, Field(gt=0, strict=False)]
    column: str | None = None


class RowCount(Rule):
    """So many rows, both bounds included; with `max_change`, at most this share more or fewer than in the recorded contract."""

    min: Annotated[int, Field(ge=1)] | None = None
    max: Annotated[int, Field(ge=1)] | None = None
    max_change: Annotated[Share, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _bounds(self) -> RowCount:
        if self.max_change is None:
            ordered(self.min, self.max, "`min`, `max`, or `max_change`")
        elif self.min is not None or self.max is not None:
            ordered(self.min, self.max)
        return self


class Sql(Rule):
    """A query of your own that must return no rows: those it returns are the offending ones.

    The checked dataset stands under its own name, those of `datasets` under theirs; nothing else can be read.
    """

    query: Annotated[str, Field(min_length=1), AfterValidator(one_select)]
    datasets: Annotated[list[str], AfterValidator(distinct)] = []

    @model_validator(mode="after")
    def _used(self) -> Sql:
        for name in self.datasets:
            if not self.reads(name):
                raise ValueError(f"`datasets` names `{name}`, which the query does not read")
        return self

    def reads(self, dataset: str) -> bool:
        """Whether the name of a dataset stands in the query at all."""
        names = "|".join(re.escape(name) for name in (dataset, short_name(dataset)))
        return re.search(rf"(?<![\w-])(?:{names})(?![\w-])", self.query, re.IGNORECASE) is not None


class Expectation(Rule):
    """Any other rule: a Great Expectations expectation by its own name, with its own arguments."""

    name: str
    arguments: dict[str, Any]

    @model_validator(mode="before")
    @classmethod
    def _said(cls, given: Any) -> Any:
        """The library has severities of its own: `critical` (its default), `warning` and `info`."""
        said = given.get("arguments", {}).get("severity")
        return {**given, "severity": "warn"} if said in ("warning", "info") else given

    @property
    def columns(self) -> list[str]:
        """The columns whose values it looks at. The column list of a table expectation is what it expects, not what it reads."""
        given = [self.arguments[name] for name in ("column", "column_A", "column_B") if name in self.arguments]
        if not self.name.startswith("expect_table_"):
            given += self.arguments.get("column_list", [])
        return [str(item) for item in given]

    @property
    def null_aware(self) -> bool:
        """Whether it says something even of a column in which every value is null."""
        return _NULL_AWARE.fullmatch(self.name) is not None


SHORT_RULES: dict[str, type[Rule]] = {
    "not_null": NotNull,
    "range": Range,
    "set": Set,
    "regex": Regex,
    "length": Length,
    "outliers": Outliers,
    "unique": Unique,
    "schema": Schema,
    "schema_drift": SchemaDrift,
    "distribution": Distribution,
    "freshness": Freshness,
    "row_count": RowCount,
    "foreign_key": ForeignKey,
    "sql": Sql,
}


def needs_contract(rule: Rule) -> bool:
    """Whether a rule compares with the recorded contract."""
    return isinstance(rule, SchemaDrift | Distribution) or (isinstance(rule, RowCount) and rule.max_change is not None)


def parse_rule(rule: Mapping[str, Mapping[str, Any]]) -> Rule:
    """Read one `{name: arguments}` of a project file. Raises pydantic.ValidationError, and ValueError for another shape."""
    if len(rule) != 1:
        raise ValueError("a rule is a mapping of one name to its arguments")
    [(name, arguments)] = rule.items()
    if name in SHORT_RULES:
        return SHORT_RULES[name].model_validate(dict(arguments))
    return Expectation(name=name, arguments=dict(arguments))


class _Engine(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class DuckdbEngine(_Engine):
    """The default: all rules in one or two passes, within a memory limit beyond which it spills to disk.

    How much it may use changes no verdict, so that another limit runs nothing again.
    """

    type: Literal["duckdb"] = "duckdb"
    memory_limit: Annotated[str, Field(pattern=r"^[1-9][0-9]*(MB|GB)$"), FieldClass.METADATA] = "1GB"
    threads: Annotated[Annotated[int, Field(ge=1, le=1024)] | None, FieldClass.METADATA] = None


class GreatExpectationsEngine(_Engine):
    """The same rules as one Great Expectations suite on a pandas frame; `data_docs` renders the library's own pages."""

    type: Literal["great_expectations"]
    data_docs: bool = False


class SparkEngine(_Engine):
    """The same rules as Spark SQL over the dataset's files, on a cluster or in this process."""

    type: Literal["spark"]
    master: str = "local[*]"
    config: dict[str, str] = {}


class PushdownEngine(_Engine):
    """The same rules as SQL inside the database or warehouse that holds the dataset; no row is copied."""

    type: Literal["pushdown"]


Engine = Annotated[DuckdbEngine | GreatExpectationsEngine | SparkEngine | PushdownEngine, Field(discriminator="type")]


class Quarantine(_Engine):
    """Where the offending rows go: a parquet file with their columns and the rules each breaks, in `mlctl_rules`."""

    path: str
    max_rows: Annotated[int, Field(ge=1)] | None = None  # else all of them


class ChecksParams(BaseModel):
    """The dataset to check, those its rules refer to by name, and the rules as the project file states them."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    dataset: str  # its name: what it is called in a `sql` rule
    source: Source | Remote
    source_digest: str
    references: dict[str, Source | Remote] = {}
    rules: list[dict[str, dict[str, Any]]]
    engine: Engine = DuckdbEngine()
    contract: str | None = None  # project-relative path of the recorded contract
    quarantine: Quarantine | None = None
    report: str  # project-relative path of the report to write
