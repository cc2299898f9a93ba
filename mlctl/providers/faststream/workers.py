"""What can be seen of the worker process behind a block: whether it lives, what it does, and why it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.processes import service
from mlctl.provider import Condition, Observed
from mlctl.types import job as contract


def observed(folder: Path, status_file: str, doing: Callable[[Mapping[str, Any]], str]) -> Observed:
    """Its lock tells whether it lives; what it has done it writes into its status about once a second."""
    state = service.find(folder)
    if not state.running:
        why = f"the worker is not running: {state.epitaph()}{_reason(folder)}"
        return Observed(condition=Condition.BROKEN, detail=why)
    if state.ready is None:
        return Observed(condition=Condition.BROKEN, detail=f"the worker (pid {state.pid}) runs and is not ready")
    return Observed(detail=doing(atomic.read_object(folder / status_file) or {}))


def _reason(folder: Path) -> str:
    """Why a worker ended by itself, as far as it could say."""
    diagnostics = (atomic.read_object(folder / contract.RESULT_FILE) or {}).get("diagnostics") or []
    return "".join(f"; {item.get('summary')}: {item.get('why')}" for item in diagnostics[:1])
