"""The `checks` program: the rules of a data check, as a project file states them and as the program takes them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from mlctl.types.address import FULL_NAME, PART
from mlctl.types.jobs.profile import Source
from mlctl.types.units import Share

# `users.user_id`, `trips["eu"].id`; a dataset of a module in brackets, since columns may have dots too: `(eu.users).user_id`
_REFERENCE = re.compile(rf"(?:\(({FULL_NAME.pattern})\)|({PART.pattern}))\.(.+)")


def split_reference(text: str) -> tuple[str, str]:
    """The dataset and the column that a foreign key refers to; two empty texts for anything else."""
    match = _REFERENCE.fullmatch(text)
    return (match[1] or match[2], match[3]) if match is not None else ("", "")


def _distinct(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("a column is named twice")
    return names


def _bound(value: object) -> object:
    """A finite number, or the ISO 8601 text of a date or time."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("a bound is a number, or a date or time such as `2024-01-31`")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a bound must be finite; leave it out for none")
    if isinstance(value, str):
        try:
            datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(
                f"{value!r} is neither a number nor an ISO 8601 date or time such as `2024-01-31T12:00:00`"
            ) from None
    return value


_NULL_AWARE = re.compile(
    r"expect_table_.*|expect_column_to_exist|expect_column_type_to_be|.*_of_type|.*_in_type_list|.*_null|.*_non_null_.*"
)

Columns = Annotated[list[str], Field(min_length=1), AfterValidator(_distinct)]
Bound = Annotated[int | float | str, BeforeValidator(_bound)]


class Rule(BaseModel):
    """Base of the short rules. A NULL is a missing value, and so is a NaN in a float column."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, strict=True)


class NotNull(Rule):
    """In each column, at most this share of the rows may be null."""

    columns: Columns
    max_ratio: Share = 0.0


class Range(Rule):
    """Values lie between the bounds, both included; nulls are not looked at. At most `max_ratio` of the values may lie outside."""

    column: str
    min: Bound | None = None
    max: Bound | None = None
    max_ratio: Share = 0.0

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


class Expectation(Rule):
    """Any other rule: a Great Expectations expectation by its own name, with its own arguments."""

    name: str
    arguments: dict[str, Any]

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
    "unique": Unique,
    "schema": Schema,
    "foreign_key": ForeignKey,
}


def parse_rule(rule: Mapping[str, Mapping[str, Any]]) -> Rule:
    """Read one `{name: arguments}` of a project file. Raises pydantic.ValidationError, and ValueError for another shape."""
    if len(rule) != 1:
        raise ValueError("a rule is a mapping of one name to its arguments")
    [(name, arguments)] = rule.items()
    if name in SHORT_RULES:
        return SHORT_RULES[name].model_validate(dict(arguments))
    return Expectation(name=name, arguments=dict(arguments))


class ChecksParams(BaseModel):
    """The dataset to check, those its foreign keys refer to by name, and the rules as the project file states them."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    source: Source
    source_digest: str
    references: dict[str, Source] = {}
    rules: list[dict[str, dict[str, Any]]]
    report: str  # project-relative path of the report to write
