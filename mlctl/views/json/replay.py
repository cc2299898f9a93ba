"""The events of a run read back from its lines, so that whoever joins later sees what the one who began it saw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlctl.engine.saved import codec
from mlctl.types.address import Address
from mlctl.types.diagnostic import Diagnostic, Severity, SourceRange
from mlctl.types.event import (
    Event,
    StepDetached,
    StepDone,
    StepFailed,
    StepGate,
    StepProgress,
    StepSkipped,
    StepStarted,
)
from mlctl.types.state import Gate


def event_of(line: Mapping[str, Any]) -> Event | None:
    """The event of a line of a run; None for a line that is none. Raises KeyError, TypeError or ValueError for a damaged one."""
    match line["type"]:
        case "apply_start":
            return StepStarted(codec.change_of(line["change"]))
        case "apply_progress":
            address = Address.parse(line["address"])
            return StepProgress(address, line["message"], line["done"], line["total"], line["unit"], line["metrics"])
        case "apply_complete":
            return StepDone(codec.change_of(line["change"]), None, line["seconds"], line["reused"])
        case "apply_errored":
            found = tuple(diagnostic_of(item) for item in line["diagnostics"])
            return StepFailed(codec.change_of(line["change"]), found, line["seconds"], line["resumable"])
        case "apply_skipped":
            return StepSkipped(codec.change_of(line["change"]), Address.parse(line["because"]), line["why"])
        case "apply_detached":
            return StepDetached(codec.change_of(line["change"]), line["seconds"])
        case "gate":
            return StepGate(Address.parse(line["address"]), Gate.from_json(line))
    return None


def diagnostic_of(line: Mapping[str, Any]) -> Diagnostic:
    """A diagnostic of a run. The text of the line it points at is not kept."""
    place = line.get("range")
    where = None
    if place is not None:
        start = place["start"]
        where = SourceRange(place["file"], start["line"], start["column"], place["end"]["column"])
    severity, address = Severity(line["severity"]), line.get("address") or ""
    return Diagnostic(line["code"], line["summary"], line["why"], line["fix"], severity, where, address)
