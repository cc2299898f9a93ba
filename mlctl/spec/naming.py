"""Inside a module: names of resources in typed fields, written in full, so that a kind finds what the name means there."""

from __future__ import annotations

import copy
from collections.abc import Iterator

from mlctl.provider import Reference, Spec
from mlctl.spec.mentions import mentions
from mlctl.spec.scope import Scope
from mlctl.spec.validation import YamlPath
from mlctl.types.address import Address
from mlctl.types.value import Json


def in_full(spec: Spec, values: Json, scope: Scope) -> Json:
    """The values of a block with full names, or the very same object when nothing changes. `spec` is the block, typed."""
    renames = [item for item in _renames(spec, values, scope) if item[1] != item[2]]
    if not renames:
        return values
    result = copy.deepcopy(values)
    for path, old, new in renames:
        *parents, last = path
        holder = result
        for part in parents:
            holder = holder[part]
        if holder[last] == old:
            holder[last] = new
        else:  # the name is that of a field: `{trips: ...}`
            items = {new if name == old else name: value for name, value in holder.items()}
            holder.clear()
            holder.update(items)
    return result


def _renames(spec: Spec, values: Json, scope: Scope) -> Iterator[tuple[YamlPath, str, str]]:
    """Where a name stands, what is written there, and what it is in full."""
    for mention in mentions(spec):
        if isinstance(mention.marker, Reference):
            full = scope.find(Address(mention.marker.section, mention.text))
            if full is not None:
                yield mention.path, mention.text, full.name
    for index, text in enumerate(spec.depends_on):
        try:
            full = scope.find(Address.parse(text))
        except ValueError:
            continue  # the graph says so
        if full is not None:
            yield ("depends_on", index), text, str(full)
    for link in spec.links():
        full = scope.find(link.address)
        if full is not None:
            text = _at(values, link.path)
            if text in (str(link.address), link.address.name):
                yield link.path, text, str(full) if text == str(link.address) else full.name
            elif text.startswith(f"{link.address.name}."):
                # a name with something behind it, such as `users.user_id`, where a full name would not show its end
                rest = text[len(link.address.name) :]
                yield link.path, text, (f"({full.name})" if "." in full.name else full.name) + rest


def _at(values: Json, path: YamlPath) -> str:
    """The text at a path; empty when no text stands there."""
    for part in path:
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            return ""
    return values if isinstance(values, str) else ""
