"""What changed between the object an address has now and the one it had before."""

from __future__ import annotations

from mlctl.engine.ledger import Ledger
from mlctl.provider import flatten
from mlctl.types.address import Address
from mlctl.types.change import FieldChange


def last_difference(ledger: Ledger, address: Address) -> tuple[FieldChange, ...]:
    """Fields, inputs and content that differ between the newest two objects of an address; empty when only one is kept."""
    found = ledger.at(address)
    if len(found) < 2:
        return ()
    now, before = found[0], found[1]
    new, old = flatten(now.spec), flatten(before.spec)
    parts = {name for name in now.parts.keys() | before.parts.keys() if name != "spec"}
    fields = [
        FieldChange(path, old.get(path), new.get(path))
        for path in sorted(new.keys() | old.keys())
        if new.get(path) != old.get(path)
    ]
    content = [
        FieldChange(name, before.parts.get(name), now.parts.get(name))
        for name in sorted(parts)
        if before.parts.get(name) != now.parts.get(name)
    ]
    return (*fields, *content)
