"""Floor 2, public API: what a block of a project is made of. `mlctl.provider` gives all of it to those who write a kind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler

from mlctl.types.address import Address
from mlctl.types.change import EdgeKind, FieldClass
from mlctl.types.units import Duration


@dataclass(frozen=True, slots=True)
class Reference:
    """Marks a text field that names a resource of a section: `dataset: Annotated[str, Reference("datasets")]`.

    With `guards`, the resource is a gate in front of the one it names: whatever else uses that one waits for the verdict.
    """

    section: str
    guards: bool = False


@dataclass(frozen=True, slots=True)
class Provided:
    """Marks a text field that names something another resource provides (see `Spec.provides`), e.g. `churn@champion`."""

    what: str


@dataclass(frozen=True, slots=True)
class Link:
    """One dependency found in a spec: where it stands in the block, what it points at, and how."""

    path: tuple[str | int, ...]
    address: Address
    edge: EdgeKind = EdgeKind.INPUT
    guards: bool = False


Metadata = FieldClass.METADATA


class Block(BaseModel):
    """Base of every mapping inside a spec: unknown fields are refused, so that a typo cannot run with defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)


class Lifecycle(Block):
    """How the engine treats the objects of a resource, whatever kind they are of."""

    prevent_destroy: bool = False  # kept in the state: only `false`, applied, lifts it
    ignore_changes: list[str] = []  # dotted fields whose recorded value stands, whatever the project or the tool says
    retain: Annotated[int, Field(ge=0, le=1000)] | None = None  # how many older builds are kept


_UNTOUCHED = Lifecycle()


class Retries(Block):
    """How often a step that failed is tried again, at most, and how long is waited before that: doubled each time."""

    max: Annotated[int, Field(ge=1, le=20)]
    backoff: Duration = 10.0

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 20}, handler(core)]}


def _most(value: object) -> object:
    """`retries: 2` is short for `{max: 2}`."""
    return {"max": value} if isinstance(value, int) and not isinstance(value, bool) else value


class Spec(Block):
    """Base of every resource block. The fields here mean the same for all kinds."""

    description: Annotated[str, Metadata] = ""
    owner: Annotated[str, Metadata] = ""
    # a default that is a value is copied for each block, deeply; a factory is not
    tags: Annotated[dict[str, str], Metadata] = Field(default_factory=dict)
    depends_on: Annotated[list[str], Metadata] = Field(default_factory=list)
    lifecycle: Annotated[Lifecycle, Metadata] = Field(default_factory=lambda: _UNTOUCHED)
    timeout: Annotated[Duration | None, Metadata] = None  # of one attempt; a job is asked to save and stop, then ended
    retries: Annotated[Retries | None, BeforeValidator(_most), Metadata] = None

    def links(self) -> Iterable[Link]:
        """Dependencies that no `Reference` marker can state, such as `references: users.user_id`."""
        return ()

    def provides(self) -> Iterable[str]:
        """What others may name in a `Provided` field, as `what:name`, for example `model:churn@champion`."""
        return ()
