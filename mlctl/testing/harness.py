"""Drive a kind without a project file, a plan or a command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlctl.engine.desired import desire
from mlctl.files.digests import FileDigests
from mlctl.provider import Context, Desired, Input, Kind, Outcome
from mlctl.types.address import Address
from mlctl.types.state import Record, Use
from mlctl.types.value import Json


def make_context(
    root: Path, settings: Mapping[str, Mapping[str, Json]] | None = None, project: str = "test"
) -> Context:
    """A context whose project folder is `root`."""
    home = root / ".mlctl" / "default"
    home.mkdir(parents=True, exist_ok=True)
    return Context(
        root=root,
        home=home,
        environment="default",
        project=project,
        lineage="00000000-test",
        settings=settings or {},
        digests=FileDigests(),
    )


def make_desired(
    kind: Kind, address: str, values: Mapping[str, Any], ctx: Context, inputs: Mapping[str, Record] | None = None
) -> Desired:
    """What a project that holds this block would ask for; `inputs` are records of other objects, by address."""
    known = {
        Address.parse(name): Input(record.key, record.outputs, record.digest) for name, record in (inputs or {}).items()
    }
    return desire(kind, Address.parse(address), kind.spec.model_validate(dict(values)), known, ctx)


def make_record(desired: Desired, outcome: Outcome, sequence: int = 1) -> Record:
    """The record the engine would keep of an outcome."""
    uses = tuple(Use(item.key, item.digest) for item in desired.inputs.values() if isinstance(item, Input))
    parts = {name: part for name, part in desired.parts.items() if isinstance(part, str)}
    return Record(
        desired.key, outcome.id, dict(desired.values), parts, uses, outcome.outputs, outcome.gate, None, sequence
    )


def apply_once(
    kind: Kind, address: str, values: Mapping[str, Any], ctx: Context, inputs: Mapping[str, Record] | None = None
) -> Record:
    """Apply a block on its own, as the engine would, and give back its record."""
    desired = make_desired(kind, address, values, ctx, inputs)
    return make_record(desired, kind.apply(desired, None, ctx))
