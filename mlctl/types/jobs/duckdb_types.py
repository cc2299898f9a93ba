"""The names of DuckDB's column types: which there are, and which mean the same."""

from __future__ import annotations

import re

# Canonical name, as DESCRIBE gives it in lower case, and the other names DuckDB takes for it.
TYPES: dict[str, tuple[str, ...]] = {
    "tinyint": ("int1",), "smallint": ("int2", "int16", "short"), "integer": ("int", "int4", "int32", "signed"),
    "bigint": ("int8", "int64", "long"), "hugeint": ("int128",),
    "utinyint": ("uint8",), "usmallint": ("uint16",), "uinteger": ("uint32",), "ubigint": ("uint64",), "uhugeint": ("uint128",),
    "float": ("float4", "real"), "double": ("float8",), "decimal": ("numeric", "dec"), "bignum": ("varint",),
    "boolean": ("bool", "logical"), "varchar": ("char", "bpchar", "text", "string"), "blob": ("bytea", "binary", "varbinary"),
    "date": (), "time": (), "time_ns": (), "time with time zone": ("timetz",), "interval": (),
    "timestamp": ("datetime", "timestamp_us"), "timestamp_s": (), "timestamp_ms": (), "timestamp_ns": (),
    "timestamp with time zone": ("timestamptz",), "timestamptz_ns": (),
    "uuid": ("guid",), "json": (), "bit": ("bitstring",), "enum": (), "struct": (), "map": (), "union": (), "list": (),
}  # fmt: skip

_CANONICAL = {name: canonical for canonical, names in TYPES.items() for name in (canonical, *names)}
_SHAPE = re.compile(r"([a-z][a-z0-9_ ]*?)\s*(\(.*\))?((?:\[\d*\])*)")


def base(text: str) -> str | None:
    """The canonical name of a type without its parameters: `decimal` of `NUMERIC(18, 2)`. None when there is no such type."""
    match = _SHAPE.fullmatch(text.strip().lower())
    return None if match is None else _CANONICAL.get(match[1])


def normal(text: str) -> str:
    """The one way to write a type, for comparing: `decimal(18,2)`, `bigint[]`. An unknown type stays as it is."""
    match = _SHAPE.fullmatch(text.strip().lower())
    if match is None or match[1] not in _CANONICAL:
        return text.strip().lower()
    return _CANONICAL[match[1]] + re.sub(r"\s*,\s*", ",", match[2] or "") + match[3]
