"""The `data_checks` block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from mlctl.provider import Link, Reference, Spec
from mlctl.providers.great_expectations.expectations import EXPECTATIONS, SQL_ONLY
from mlctl.types.address import Address
from mlctl.types.jobs.checks import SHORT_RULES, split_reference


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


class DataCheckSpec(Spec):
    """Rules that a dataset must meet before anything else may use it.

    A rule is one name with its arguments: `not_null`, `range`, `unique`, `schema`, `foreign_key`, or an expectation of
    Great Expectations with that library's own arguments.
    """

    dataset: Annotated[str, Reference("datasets", guards=True)]
    rules: Annotated[list[dict[str, dict[str, Any]]], Field(min_length=1), WithJsonSchema(_rules_schema())]

    def links(self) -> Iterator[Link]:
        """The datasets that foreign keys refer to."""
        for index, rule in enumerate(self.rules):
            references = rule.get("foreign_key", {}).get("references")
            name, _ = split_reference(references) if isinstance(references, str) else ("", "")
            if name:
                yield Link(("rules", index, "foreign_key", "references"), Address("datasets", name))
