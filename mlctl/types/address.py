"""Address and ObjectKey: how a resource in YAML and the object made for it are named."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ADDRESS = re.compile(r"([a-z][a-z0-9_]*)\.([A-Za-z_][A-Za-z0-9_-]*(?:\[\"[^\"]+\"\])?)")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """`section.name`, the path of a resource as it is written in the project file."""

    section: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `section.name`. Raises ValueError when the text has another shape."""
        match = _ADDRESS.fullmatch(text)
        if match is None:
            raise ValueError(
                f"{text!r} is not an address; an address reads `section.name`, for example `training.churn`"
            )
        return cls(match[1], match[2])

    def __str__(self) -> str:
        return f"{self.section}.{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class ObjectKey:
    """An object that a tool holds for an address. Two identities under one address can exist at once (ADR 0001)."""

    address: Address
    identity: str

    @classmethod
    def parse(cls, text: str) -> ObjectKey:
        """Read `section.name#identity`; the identity may be empty. Raises ValueError."""
        address, mark, identity = text.partition("#")
        if not mark:
            raise ValueError(f"{text!r} is not an object key; a key reads `section.name#identity`")
        return cls(Address.parse(address), identity)

    def __str__(self) -> str:
        return f"{self.address}#{self.identity}"
