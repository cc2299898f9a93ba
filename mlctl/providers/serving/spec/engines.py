"""What runs a model: the field `serve.engine`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, GetJsonSchemaHandler

from mlctl.provider import Block


class TorchEngine(Block):
    """A model in MLflow's format (PyTorch, scikit-learn, pyfunc) behind mlctl's own server."""

    type: Literal["torch"] = "torch"


def _named(value: object) -> object:
    """`engine: torch` is short for `{type: torch}`."""
    return {"type": value} if isinstance(value, str) else value


class _Short:
    """In the schema, a block or the name of an engine alone."""

    def __get_pydantic_json_schema__(self, core: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"enum": ["torch"]}, handler(core)]}


Engine = Annotated[TorchEngine, BeforeValidator(_named), _Short()]
