"""Unknown values, canonical JSON and digests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = Any  # None, bool, int, float, str, list[Json] or dict[str, Json]


@dataclass(frozen=True, slots=True)
class Unknown:
    """A value that exists only after apply; `source` names the output it will come from."""

    source: str

    def __str__(self) -> str:
        return "(known after apply)"


def contains_unknown(value: Json | Unknown) -> bool:
    """Whether a value, or anything inside it, is Unknown."""
    if isinstance(value, Unknown):
        return True
    if isinstance(value, Mapping):
        return any(contains_unknown(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(contains_unknown(item) for item in value)
    return False


def canonical(value: Json) -> str:
    """The one JSON text of a value: sorted keys, no spaces, UTF-8. Raises TypeError for what JSON cannot hold, ValueError for NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Json) -> str:
    """A 128-bit BLAKE2b digest of the canonical JSON of a value, as 32 hex digits."""
    return digest_bytes(canonical(value).encode("utf-8", "surrogatepass"))


def digest_bytes(data: bytes) -> str:
    """A 128-bit BLAKE2b digest of bytes, as 32 hex digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()
