"""Which model a word of the command line means, and what MLflow and the files tell of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlctl.cli.options import pick
from mlctl.cli.watching import watched
from mlctl.launch import job
from mlctl.provider import Context
from mlctl.types.address import Address
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.models import Check, ListModels, Trace
from mlctl.types.jobs.search import TRIAL_OF
from mlctl.types.jobs.tracking import tracking_settings
from mlctl.types.state import Record
from mlctl.types.value import digest
from mlctl.workspace import Workspace

_REFERENCE = re.compile(r"(?P<name>[^@/]+)(?:@(?P<alias>[^@/]+)|/(?P<version>[0-9]+))?")


@dataclass(frozen=True, slots=True)
class Traced:
    """A model and its origin."""

    text: str  # as it was asked for
    record: Record | None  # of the training, where the state holds it
    version: Mapping[str, Any] | None  # in the registry, where it was named so
    document: Mapping[str, Any]
    training: Mapping[str, Any] | None  # the parameters it was trained with
    checks: tuple[Check, ...]

    @property
    def name(self) -> str:
        """As people call it: `shops version 3`, or the address of the training."""
        return (
            str(self.document["address"])
            if self.version is None
            else f"{self.version['name']} version {self.version['version']}"
        )


def trace(workspace: Workspace, text: str) -> Traced:
    """Look a model up: `training.NAME`, `NAME`, `NAME@ALIAS`, `NAME/VERSION` or `NAME@VERSION`. Raises MlctlError."""
    _, context = workspace.reader()
    record = None
    if text.startswith("training."):
        record = pick(workspace.records(), "training", Address.parse(text).name)
        asked = Trace(
            uri=str(record.outputs.get("tracking_uri") or tracking_uri(context)), run_id=str(record.outputs["run_id"])
        )
    else:
        asked = _reference(text, tracking_uri(context))
    found = ask(asked, context, f"looking {text} up")
    if record is None:
        record = _trained(workspace, found["document"])
    return Traced(
        text,
        record,
        found["version"],
        found["document"],
        found["training"],
        tuple(Check.model_validate(item) for item in found["checks"]),
    )


def ask(asked: Trace | ListModels, context: Context, what: str) -> Mapping[str, Any]:
    """Have the worker answer. Its folder is gone when it has: what it found is of this moment."""
    params = asked.model_dump(mode="json")
    folder = context.home / "models" / digest(params)
    job.discard(folder)
    try:
        with watched(context, what) as told:
            return job.run("models", params, folder, told).outputs
    finally:
        job.discard(folder)
        remove_empty(folder.parent)


def remove_empty(folder: Path) -> None:
    """Away with a folder that holds nothing."""
    with suppress(OSError):
        folder.rmdir()


def tracking_uri(context: Context) -> str:
    """Where the project's models are tracked."""
    return tracking_settings(context.settings.get("tracking"), context.project)[0]


def _reference(text: str, uri: str) -> Trace:
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise MlctlError.of(
            "cli.usage",
            f"`{text}` does not name a model",
            "a model is named by its training or in the registry",
            "write `training.NAME`, `NAME`, `NAME@ALIAS` or `NAME/VERSION`",
        )
    alias, version = match["alias"], match["version"]
    if alias is not None and alias.isdecimal():  # MLflow takes no number for an alias
        alias, version = None, alias
    return Trace(uri=uri, name=match["name"], alias=alias, version=version)


def _trained(workspace: Workspace, document: Mapping[str, Any]) -> Record | None:
    """The training of a document, if the state still holds that very object."""
    for record in workspace.ledger():
        if str(record.made_as) == document["object"].partition(TRIAL_OF)[0] and record.complete:
            return record
    return None
