"""The project's blocks `prices` and `budget`: what devices cost, and how much may be spent."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field, GetJsonSchemaHandler, model_validator

from mlctl.block import Block

Dollars = Annotated[float, Field(gt=0)]


class PricesSettings(Block):
    """`prices: {file: prices.yaml}`, or short `prices: prices.yaml`: a price list of the project, beside its project file."""

    short: ClassVar[str] = "file"  # the field that a text in place of the block stands for

    file: Annotated[str, Field(min_length=1, description="A YAML file of `rows`, inside the project")]

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "string", "minLength": 1}, handler(core)]}


class Budget(Block):
    """`budget: {max_usd, max_usd_per_run, max_hours, max_usd_per_month}`: a plan that may take more is refused before anything exists."""

    max_usd: Annotated[Dollars | None, Field(description="Of everything that one plan makes, together")] = None
    max_usd_per_run: Annotated[Dollars | None, Field(description="Of each single thing that is made")] = None
    max_hours: Annotated[
        float | None, Field(gt=0, description="Of each single thing that is made, in hours from its start to its end")
    ] = None
    max_usd_per_month: Annotated[
        Dollars | None, Field(description="Of all that costs until it is removed, together, in 730 hours")
    ] = None

    @model_validator(mode="after")
    def _says_something(self) -> Budget:
        if not self.model_fields_set:
            raise ValueError(
                "a budget needs at least one of `max_usd`, `max_usd_per_run`, `max_hours` and `max_usd_per_month`"
            )
        return self
