"""Address and ObjectKey: how a resource in YAML and the object made for it are named."""

from __future__ import annotations

import re
from typing import NamedTuple

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
KEY = re.compile(r"[A-Za-z0-9_.+:=,-]+")  # of an instance: nothing that means something to shells, paths or URIs

# One name, with the key of an instance behind it when it is one.
PART = re.compile(rf'{NAME.pattern}(?:\["{KEY.pattern}"\])?')
# What a resource is called: `churn`, `churn["lr=0.1"]` of an instance, `eu.churn` of a resource of the module `eu`.
FULL_NAME = re.compile(rf"(?:{PART.pattern}\.)*{PART.pattern}")
_ADDRESS = re.compile(rf"([a-z][a-z0-9_]*)\.({FULL_NAME.pattern})")
# An identity names a folder, and is printed: a state that was written by hand must not lead elsewhere by it.
_OBJECT_KEY = re.compile(rf"{_ADDRESS.pattern}#([A-Za-z0-9_-]*)")
_OWN_KEY = re.compile(rf'(.*)\["({KEY.pattern})"\]')


class Address(NamedTuple):
    """`section.name`, the path of a resource as it is written in the project file.

    A tuple, since a plan looks up, compares and hashes addresses and keys a hundred times for each resource.
    """

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

    @property
    def block(self) -> Address:
        """The block it was written as: of `training.churn["lr=0.1"]` that is `training.churn`, else the address itself."""
        match = _OWN_KEY.fullmatch(self.name) if self.name.endswith('"]') else None
        return self if match is None else Address(self.section, match[1])

    @property
    def key(self) -> str:
        """The key of an instance; empty for a resource that is none."""
        match = _OWN_KEY.fullmatch(self.name) if self.name.endswith('"]') else None
        return "" if match is None else match[2]

    def instance(self, key: str) -> Address:
        """The instance of this block that has a key."""
        return Address(self.section, f'{self.name}["{key}"]')

    def covers(self, other: Address) -> bool:
        """Whether naming this address means the other too: itself, an instance of its block, or a resource of its module."""
        if self.section != other.section or not other.name.startswith(self.name):
            return False
        rest = other.name[len(self.name) :]
        return not rest or rest.startswith(('["', "."))

    def __str__(self) -> str:
        return f"{self.section}.{self.name}"


class ObjectKey(NamedTuple):
    """An object that a tool holds for an address. Two identities under one address can exist at once (ADR 0001)."""

    address: Address
    identity: str

    @classmethod
    def parse(cls, text: str) -> ObjectKey:
        """Read `section.name#identity`; the identity may be empty. Raises ValueError."""
        match = _OBJECT_KEY.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not an object key; a key reads `section.name#identity`")
        return cls(Address(match[1], match[2]), match[3])

    def __str__(self) -> str:
        return f"{self.address}#{self.identity}"
