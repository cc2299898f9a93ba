"""Spans in the form that every receiver of OpenTelemetry takes: OTLP/HTTP, protobuf in binary.

It is written by hand because engines run the middleware in environments of their own, which need not have OpenTelemetry's
packages; a test reads what is written here with those. Field numbers are those of opentelemetry-proto 1.x, which are stable.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

INTERNAL, SERVER, CLIENT = 1, 2, 3
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_ERROR = 2


@dataclass(frozen=True)
class Span:
    """One piece of work. Times are nanoseconds since 1970; attributes are texts, numbers, flags, or lists of those."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: int
    start: int
    end: int
    attributes: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None  # why it failed
    schema: str = ""  # the URL of the conventions that its attributes follow


def request(resource: Mapping[str, Any], scope: tuple[str, str], spans: Sequence[Span]) -> bytes:
    """A whole ExportTraceServiceRequest."""
    by_schema: dict[str, list[Span]] = {}
    for span in spans:
        by_schema.setdefault(span.schema, []).append(span)
    named = _text(1, scope[0]) + _text(2, scope[1])
    scopes = b"".join(
        _block(2, _block(1, named) + b"".join(_block(2, _span(item)) for item in found) + _text(3, schema))
        for schema, found in by_schema.items()
    )
    return _block(1, _block(1, _attributes(1, resource)) + scopes)


def _span(span: Span) -> bytes:
    parts = [
        _block(1, bytes.fromhex(span.trace_id)),
        _block(2, bytes.fromhex(span.span_id)),
        b"" if span.parent_id is None else _block(4, bytes.fromhex(span.parent_id)),
        _text(5, span.name),
        _number(6, span.kind),
        _key(7, _FIXED64) + struct.pack("<Q", span.start),
        _key(8, _FIXED64) + struct.pack("<Q", max(span.start, span.end)),
        _attributes(9, span.attributes),
        b"" if span.error is None else _block(15, _text(2, span.error) + _number(3, _ERROR)),
        _key(16, _FIXED32) + struct.pack("<I", 1),  # sampled
    ]
    return b"".join(parts)


def _attributes(number: int, values: Mapping[str, Any]) -> bytes:
    """What is None is not known, and left out."""
    return b"".join(
        _block(number, _text(1, name) + _block(2, _value(value))) for name, value in values.items() if value is not None
    )


def _value(value: Any) -> bytes:
    if isinstance(value, bool):
        return _key(2, _VARINT) + (b"\x01" if value else b"\x00")
    if isinstance(value, int):
        return _key(3, _VARINT) + _varint(value & 0xFFFFFFFFFFFFFFFF)
    if isinstance(value, float):
        return _key(4, _FIXED64) + struct.pack("<d", value)
    if isinstance(value, list | tuple):
        return _block(5, _list(value))
    return _block(1, str(value).encode("utf-8", "replace"))


def _list(values: Iterable[Any]) -> bytes:
    return b"".join(_block(1, _value(value)) for value in values)


def _block(number: int, content: bytes) -> bytes:
    return _key(number, _BYTES) + _varint(len(content)) + content


def _text(number: int, text: str) -> bytes:
    return _block(number, text.encode("utf-8", "replace")) if text else b""


def _number(number: int, value: int) -> bytes:
    return _key(number, _VARINT) + _varint(value)


def _key(number: int, kind: int) -> bytes:
    return _varint(number << 3 | kind)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
