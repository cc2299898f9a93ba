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


_WHOLE = {"tinyint": 7, "smallint": 15, "integer": 31, "bigint": 63, "hugeint": 127}  # bits besides the sign
_UNSIGNED = {"utinyint": 8, "usmallint": 16, "uinteger": 32, "ubigint": 64, "uhugeint": 128}
_EXACT = {"float": 24, "double": 53}  # bits of whole numbers that it holds exactly
_TIMES = ("timestamp_s", "timestamp_ms", "timestamp")
_DECIMAL = re.compile(r"decimal\((\d+),(\d+)\)")


def widens(old: str, new: str) -> bool:
    """Whether a type holds every value of another one: `bigint` those of `integer`, `double` those of `float`."""
    was, now = normal(old), normal(new)
    bits = _WHOLE.get(was, _UNSIGNED.get(was))
    if bits is not None:
        signed = was in _WHOLE
        room = _WHOLE.get(now, 0 if signed else _UNSIGNED.get(now, 0))
        return bits <= max(room, _EXACT.get(now, 0)) or _digits(now)[0] >= len(str(2**bits))
    if was in _EXACT:
        return _EXACT[was] <= _EXACT.get(now, 0)
    if was.startswith("decimal"):
        before, behind = _digits(was)
        return before <= _digits(now)[0] and behind <= _digits(now)[1]
    if was in _TIMES:
        return now in _TIMES and _TIMES.index(was) <= _TIMES.index(now)
    if was == "date":
        return now in _TIMES
    return now == "varchar" and (was.startswith("enum") or was == "uuid")


def _digits(text: str) -> tuple[int, int]:
    """The digits before and behind the point that a decimal type has room for."""
    match = _DECIMAL.fullmatch(text)
    return (0, 0) if match is None else (int(match[1]) - int(match[2]), int(match[2]))
