"""Events of streams, when feature views are materialized."""

from __future__ import annotations

from collections.abc import Collection

from mlctl.files import event_log
from mlctl.types.address import Address
from mlctl.types.jobs.stream import log_folder
from mlctl.workspace import Workspace


def ask_for_events(workspace: Workspace, views: Collection[Address]) -> None:
    """Have the next apply of these views take in what their streams have brought by now."""
    records = workspace.records()
    for address in views:
        outputs = {} if str(address) not in records else records[str(address)].outputs
        if "offline" in outputs and "view" in outputs:
            event_log.ask(workspace.root / log_folder(outputs["offline"], outputs["view"]))
