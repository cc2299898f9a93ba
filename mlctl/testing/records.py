"""Records that a kind may be handed: of an apply that was cut off, and such as a crash or a hand in the state file leaves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mlctl.provider import Desired
from mlctl.types.state import Pending, Record


def intent(desired: Desired) -> Record:
    """The record of an apply that was cut off before it gave anything."""
    parts = {name: part for name, part in desired.parts.items() if isinstance(part, str)}
    return Record(desired.key, None, dict(desired.values), parts, pending=Pending.APPLY)


def broken(desired: Desired, record: Record) -> Iterator[tuple[str, Record]]:
    """Records that a crash, an older version or a hand in the state file may leave."""
    yield "that was cut off (id None, no outputs)", intent(desired)
    yield "that is being deleted", replace(record, pending=Pending.DELETE)
    yield "without outputs", replace(record, outputs={})
    yield "without a spec", replace(record, spec={})
    yield "without an id", replace(record, id=None)
    for name in record.outputs:
        yield (
            f"without the output `{name}`",
            replace(record, outputs={key: value for key, value in record.outputs.items() if key != name}),
        )
        yield f"whose output `{name}` is null", replace(record, outputs={**record.outputs, name: None})
