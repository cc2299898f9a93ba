"""Generations of the state and their differences as JSON objects. A field may be added, none may change."""

from __future__ import annotations

from typing import Any

from mlctl.engine.store import Generation
from mlctl.engine.store.surgery import Difference


def generation(item: Generation) -> dict[str, Any]:
    """One generation."""
    return {
        "type": "generation", "serial": item.serial, "lineage": item.lineage, "at": item.at, "by": item.by,
        "operation": item.operation, "changes": dict(item.changes), "size": item.size, "damaged": item.damaged,
    }  # fmt: skip


def difference(item: Difference) -> dict[str, Any]:
    """What became of one object."""
    fields = [{"path": path, "old": old, "new": new} for path, old, new in item.fields]
    return {"type": "difference", "key": str(item.key), "what": item.what, "fields": fields}
