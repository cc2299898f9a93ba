"""What a stream has brought online, for whoever wants to prove it: the step, the events it was computed from, and how."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from mlctl.files import atomic
from mlctl.runtime import secrets
from mlctl.types.jobs.features import MaterializeParams, StreamLog, ViewSource
from mlctl.types.jobs.stream import log_folder

# Beside the event log, whichever worker wrote them last.
_STEP = "served.json"
_DEFINITION = "view.json"

_COMPUTED = ("keys", "timestamp", "where", "expressions", "features", "grid_seconds", "ttl_seconds")


@dataclass(frozen=True, slots=True)
class ServedStep:
    """The end of the last step that is online, naive in UTC, and how many events of the log it knew."""

    until: datetime
    events: int


def write_served(folder: Path, step: ServedStep) -> None:
    """Note a step once all of it is online."""
    atomic.write_json(folder / _STEP, {"until": step.until.isoformat(), "events": step.events})


def read_served(folder: Path) -> ServedStep | None:
    """The last step; None when there is none."""
    stored = atomic.read_object(folder / _STEP) or {}
    try:
        return ServedStep(datetime.fromisoformat(stored["until"]), int(stored["events"]))
    except (KeyError, ValueError, TypeError):
        return None


def write_definition(folder: Path, view: MaterializeParams) -> None:
    """Note how the windows are computed. Secrets are sealed."""
    atomic.write_json(folder / _DEFINITION, secrets.known().masked(view.model_dump(mode="json")))


def same_definition(folder: Path, view: MaterializeParams) -> bool:
    """Whether what is online was computed as this view is: then keys whose events have not changed have not either."""
    stored, wanted = atomic.read_object(folder / _DEFINITION) or {}, view.model_dump(mode="json")
    return all(stored.get(name) == wanted[name] for name in _COMPUTED)


def served_definition(source: ViewSource) -> tuple[MaterializeParams, ServedStep] | None:
    """How a stream computes a view, over the events that its last step knew; None when no stream serves it as it is now."""
    folder = Path(log_folder(source.path, source.view))
    step = read_served(folder)
    try:
        view = MaterializeParams.model_validate(secrets.known().opened(atomic.read_object(folder / _DEFINITION) or {}))
    except ValidationError:
        return None
    same = {item.name: item.dtype for item in view.features} == source.features and view.keys == source.keys
    if step is None or not same:
        return None
    return view.model_copy(update={"log": StreamLog(folder=str(folder), events=step.events)}), step
