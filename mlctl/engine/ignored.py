"""`lifecycle: {ignore_changes: [...]}`: fields whose recorded value stands, whatever the project or the tool says."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from copy import deepcopy
from typing import Any

from mlctl.types.change import FieldChange
from mlctl.types.value import Json


class _Absent:
    """Says that a field is not written; every copy of it says the same."""

    def __deepcopy__(self, memo: object) -> _Absent:
        return self


_ABSENT = _Absent()


def as_recorded(
    raw: Mapping[str, Json], values: Mapping[str, Any], recorded: Mapping[str, Json], paths: Collection[str]
) -> tuple[dict[str, Json], dict[str, Any]]:
    """A block as it is written and with outputs put in, both with the recorded values of some dotted fields.

    A field that already has its recorded value stays as it is written: its expression is part of the content key.
    """
    written, filled = dict(raw), dict(values)
    for path in paths:
        parts = path.split(".")
        stands = deepcopy(_get(recorded, parts))
        if stands is _ABSENT or _get(filled, parts) != stands:
            written, filled = _set(written, parts, stands), _set(filled, parts, stands)
    return written, filled


def told(fields: Iterable[FieldChange], paths: Collection[str]) -> tuple[FieldChange, ...]:
    """The changes without those of ignored fields and of what is in them."""
    return tuple(
        item for item in fields if not any(item.path == path or item.path.startswith(f"{path}.") for path in paths)
    )


def _get(block: Mapping[str, Any], parts: list[str]) -> Any:
    found: Any = block
    for part in parts:
        if not isinstance(found, Mapping) or part not in found:
            return _ABSENT
        found = found[part]
    return found


def _set(block: Mapping[str, Any], parts: list[str], value: Any) -> dict[str, Any]:
    """A copy of a block with one field set, or taken away; a block that was not written is made for it."""
    name, *rest = parts
    if not rest:
        kept = {key: item for key, item in block.items() if key != name}
        return kept if value is _ABSENT else {**kept, name: value}
    inner = block.get(name, {})
    if not isinstance(inner, Mapping) or (value is _ABSENT and name not in block):
        return dict(block)
    return {**block, name: _set(inner, rest, value)}
