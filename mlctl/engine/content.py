"""The content of a block without the names in it: what a build is made of does not change when a resource is renamed.

Wherever a block names another resource, its content holds a position instead: that of the input among those the block
names. The content key lists the inputs' digests by position. So a renamed dataset is the same input of the same build,
and two inputs that change places are not.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlctl.provider import Reference, Spec
from mlctl.spec.mentions import mentions
from mlctl.types.address import Address
from mlctl.types.value import Json

_EXPRESSION = re.compile(r"\$\{([^${}]*)\}")
_ALL = "[*]"  # of `${training.churn[*].model}`: every instance of a block


@dataclass
class Content:
    """A block with positions for names. `inputs` are in order of position; `named` are the dotted fields that held a name."""

    values: dict[str, Json]
    inputs: list[Address] = field(default_factory=list)
    named: set[str] = field(default_factory=set)

    def position(self, address: Address) -> str:
        """What stands for the name of an input."""
        if address not in self.inputs:
            self.inputs.append(address)
        return f"${self.inputs.index(address)}"


def content_of(spec: Spec, values: dict[str, Json], inputs: Collection[Address]) -> Content:
    """The content of a block. `values` is its JSON form as it is written, with its expressions, and is changed in place."""
    content = Content(values)
    for mention in mentions(spec):
        if isinstance(mention.marker, Reference):
            address = Address(mention.marker.section, mention.text)
            if address in inputs:
                _put(content, mention.path, mention.text, content.position(address))
    names = {str(address): address for address in inputs}
    if names:
        content.values = {name: _positioned(item, content, names, name) for name, item in values.items()}
    return content


def _put(content: Content, path: tuple[str | int, ...], text: str, position: str) -> None:
    """Replace a name in the JSON form: the value at a path or, where only keys are names, the key. A default is not written."""
    around: Any = content.values
    for part in path[:-1]:
        around = around.get(part) if isinstance(around, dict) else around[part]
        if around is None:
            return
    last = path[-1]
    if isinstance(around, dict):
        if around.get(last) == text:
            around[last] = position
        elif last == text and last in around:
            around[position] = around.pop(last)
        else:
            return
    elif isinstance(around, list) and isinstance(last, int):
        around[last] = position
    content.named.add(_dotted(path))


def _dotted(path: tuple[str | int, ...]) -> str:
    """A path up to the first list on it: lists are compared as a whole."""
    fields = []
    for part in path:
        if isinstance(part, int):
            break
        fields.append(part)
    return ".".join(fields)


def _positioned(value: Any, content: Content, names: Mapping[str, Address], path: str) -> Any:
    """The same tree with positions for the names in expressions."""
    if isinstance(value, str):
        if "${" not in value:
            return value
        content.named.add(path)
        return _EXPRESSION.sub(lambda match: "${" + _anonymous(match[1].strip(), content, names) + "}", value)
    if isinstance(value, Mapping):
        return {name: _positioned(item, content, names, f"{path}.{name}") for name, item in value.items()}
    if isinstance(value, list):
        return [_positioned(item, content, names, path) for item in value]
    return value


def _anonymous(inner: str, content: Content, names: Mapping[str, Address]) -> str:
    """The inside of an expression with positions for the names; what names no input is left as it is."""
    block, everything, output = inner.partition(_ALL)
    if everything:
        found = sorted(address for address in names.values() if address.key and str(address.block) == block)
        return f"{ {address.key: content.position(address) for address in found} }{output}"
    name, dot, output = inner.rpartition(".")
    while dot and name not in names:  # an output may have a path of its own
        name, dot, _ = name.rpartition(".")
    return content.position(names[name]) + inner[len(name) :] if dot else inner
