"""Which types the file of a saved plan has in it. A digest tells that nobody changed it, not that whoever made it was mlctl."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

_DEPTH_LIMIT = (
    100  # a project file is nested 60 levels at most; what shows or compares a value calls itself for each level
)


class _Field(TypedDict):
    path: str
    old: NotRequired[Any]
    new: NotRequired[Any]
    observed: NotRequired[Any]
    field_class: NotRequired[str]


class _Change(TypedDict):
    action: str  # this, `reason`, `mode` and every class and address is looked up where it is read
    key: str
    reason: str
    fields: NotRequired[list[_Field]]
    detail: NotRequired[str]
    field_class: NotRequired[str]
    after: NotRequired[list[str]]
    gate: NotRequired[dict[str, Any]]  # this and `held` check themselves
    blocked_by: NotRequired[str]
    key_known: NotRequired[bool]
    conditional: NotRequired[bool]
    drift: NotRequired[bool]
    moved_from: NotRequired[str]
    waits: NotRequired[str]
    estimate: NotRequired[dict[str, Any]]
    repriced: NotRequired[list[dict[str, Any]]]


class _Selection(TypedDict):
    targets: list[str]
    exclude: list[str]
    replace: list[str]
    mode: str
    refresh: bool
    unattended: bool


class _Plan(TypedDict):
    changes: list[_Change]
    lineage: str
    serial: Annotated[int, Field(ge=0)]
    project_digest: str
    selection: _Selection
    environment: str
    held: dict[str, Any] | None


_Extra = TypedDict(
    "_Extra",
    {
        "pins": NotRequired[dict[str, str]],
        "imports": NotRequired[dict[str, str]],
        "from": NotRequired[str],
        "target": NotRequired[str],
        "why": NotRequired[str],
        "forget_elsewhere": NotRequired[bool],
    },
)


class _Prices(TypedDict):
    digest: str
    given: dict[str, float]
    allow_stale: bool


class _Where(TypedDict):
    file: str
    line: int
    column: int
    end_column: int
    text: str


class _Told(TypedDict):
    code: str
    summary: str
    why: str
    fix: str
    severity: Literal["error", "warning"]
    where: _Where | None
    address: str


class _File(TypedDict):
    operation: str
    plan: _Plan
    project: str
    file: str
    texts: dict[str, str]
    values: dict[str, Any]
    secrets: dict[str, str]
    records: dict[str, str]
    versions: dict[str, str]
    mlctl: str
    at: str
    who: str
    git: dict[str, Any]
    extra: _Extra
    prices: NotRequired[_Prices]
    told: NotRequired[list[_Told]]


def check(stored: Any) -> None:
    """Raise ValueError, naming the place, when something in a saved plan is of another type than mlctl writes there."""
    if _deeper(stored, _DEPTH_LIMIT):
        raise ValueError(f"it is nested more than {_DEPTH_LIMIT} levels deep")
    try:
        TypeAdapter(_File).validate_python(stored, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"`{'.'.join(map(str, first['loc']))}`: {first['msg']}") from None


def _deeper(value: Any, limit: int) -> bool:
    """Whether a value is nested deeper than a limit; looks level by level, since one deep enough ends a function that calls itself."""
    level = [value]
    while level and limit:
        level = [
            inner
            for item in level
            if isinstance(item, dict | list)
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
        limit -= 1
    return bool(level)
