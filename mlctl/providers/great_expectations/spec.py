"""The `data_checks` block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from mlctl.provider import Block, Link, Reference, Spec
from mlctl.providers.great_expectations.expectations import EXPECTATIONS, SQL_ONLY
from mlctl.types.address import FULL_NAME, Address
from mlctl.types.jobs.checks import SHORT_RULES, DuckdbEngine, Engine, split_reference
from mlctl.types.units import MOST


def _rules_schema() -> dict[str, Any]:
    """The JSON Schema of `rules`, for editors: each entry one rule, with the arguments that rule takes."""
    known: dict[str, Any] = {name: model.model_json_schema() for name, model in SHORT_RULES.items()}
    for name, arguments in EXPECTATIONS.items():
        if name not in SQL_ONLY:
            fields = sorted(arguments.required | arguments.optional)
            known[name] = {
                "type": "object",
                "properties": {field: {} for field in fields},
                "required": sorted(arguments.required),
                "additionalProperties": False,
            }
    entry = {
        "type": "object",
        "properties": known,
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
    return {"type": "array", "items": entry, "minItems": 1}


def _typed(value: object) -> object:
    """`engine: spark` is short for `{type: spark}`; a mapping without a type sets the default engine."""
    if isinstance(value, str):
        return {"type": value}
    return {"type": "duckdb", **value} if isinstance(value, Mapping) else value


class QuarantineSpec(Block):
    """How much of the offending rows is kept."""

    max_rows: Annotated[int, Field(ge=1, lt=MOST)] | None = None  # else all of them


def _rows(value: object) -> object:
    """`quarantine: true` keeps all offending rows."""
    if value is False:
        return None
    return {} if value is True else value


class DataCheckSpec(Spec):
    """Rules that a dataset must meet before anything else may use it.

    A rule is one name with its arguments: a short rule such as `not_null`, `range`, `unique` or `outliers`, or an expectation
    of Great Expectations with that library's own arguments. One of `severity: warn` is reported and closes no gate.
    """

    dataset: Annotated[str, Reference("datasets", guards=True)]
    rules: Annotated[list[dict[str, dict[str, Any]]], Field(min_length=1), WithJsonSchema(_rules_schema())]
    engine: Annotated[Engine, BeforeValidator(_typed)] = DuckdbEngine()
    contract: Annotated[str, Field(min_length=1)] | None = (
        None  # the recorded contract; else `contracts/<dataset>.json`
    )
    quarantine: Annotated[QuarantineSpec | None, BeforeValidator(_rows)] = None

    def links(self) -> Iterator[Link]:
        """The datasets that foreign keys and queries refer to."""
        for index, rule in enumerate(self.rules):
            references = _field(rule, "foreign_key", "references")
            name, _ = split_reference(references) if isinstance(references, str) else ("", "")
            if name:
                yield Link(("rules", index, "foreign_key", "references"), Address("datasets", name))
            others = _field(rule, "sql", "datasets")
            for place, other in enumerate(others if isinstance(others, list) else ()):
                if isinstance(other, str) and FULL_NAME.fullmatch(other):
                    yield Link(("rules", index, "sql", "datasets", place), Address("datasets", other))


def _field(rule: Mapping[str, Any], name: str, field: str) -> Any:
    arguments = rule.get(name)
    return arguments.get(field) if isinstance(arguments, Mapping) else None
