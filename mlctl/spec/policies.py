"""Policies: rules of a project about its plans, each an expression in JMESPath that the engine evaluates."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from mlctl.provider import Block

_TAKING = ("subexpression", "index_expression", "filter_projection", "value_projection", "projection", "flatten")


def said(error: Exception) -> str:
    """What JMESPath says of an expression, in one line: the drawing of it, which comes after a colon, is left out."""
    line = " ".join(str(error).strip().split("\n")[0].split())
    line = line.removeprefix("Invalid jmespath expression: ").removeprefix("Bad jmespath expression: ")
    return line.removesuffix(":").removesuffix(", for expression")


class Waiver(Block):
    """Somebody's decision that a policy does not count until a day, everywhere or for some addresses."""

    who: Annotated[str, Field(min_length=1)]
    until: date
    why: Annotated[str, Field(min_length=1)]
    address: str = "*"  # a pattern, for example `training.*`


class Policy(Block):
    """A rule: what `deny` finds is refused, or what `require` asks for must be true."""

    deny: str | None = None
    require: str | None = None
    message: str = ""
    severity: Literal["error", "warning"] = "error"
    environments: Annotated[list[str], Field(min_length=1)] | None = None  # where it counts; everywhere when left out
    waivers: list[Waiver] = []  # noqa: RUF012  pydantic copies defaults

    @property
    def expression(self) -> str:
        """The one expression it has."""
        return self.deny if self.deny is not None else self.require or ""

    @field_validator("deny", "require")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        if value is not None:
            import jmespath
            from jmespath.exceptions import JMESPathError

            try:
                ended_early = _takes_from_a_denial(jmespath.compile(value).parsed)
            except (JMESPathError, RecursionError) as error:
                raise ValueError(f"not an expression of JMESPath: {said(error)}") from None
            if ended_early:
                raise ValueError("`!` counts for the next name alone, so that this finds nothing: write `!(a.b)`")
        return value

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.deny is None) == (self.require is None):
            raise ValueError("a policy has one expression, in `deny` or in `require`")
        return self


def _takes_from_a_denial(node: Mapping[str, Any]) -> bool:
    """Whether something is taken out of what `!` gives, which is true or false and holds nothing: `!a.b` is `(!a).b`."""
    children = node["children"]
    if node["type"] in _TAKING and children[0]["type"] == "not_expression":
        return True
    return any(_takes_from_a_denial(child) for child in children)
