"""Which trace a request belongs to, as W3C Trace Context says it: taken over from who asks, or begun here.

A trace that begins here has its id from the request's, so that one leads to the other without a table: a UUID is its own
digits, anything else is hashed. Copies of a request, which have its id, are in its trace.
"""

from __future__ import annotations

import hashlib
import random
import re
from typing import NamedTuple

HEADER = b"traceparent"
_PARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_NO_TRACE, _NO_SPAN = b"0" * 32, b"0" * 16
_RANDOM_DIGITS, _RANDOM_VALUES = 14, 16**14  # of a trace id, the last 56 bits: those of a UUID are random as well


class Trace(NamedTuple):
    """A request's place in its trace."""

    trace_id: str
    span_id: str  # of the request here
    parent_id: str | None  # of who asked
    sampled: bool

    @property
    def header(self) -> bytes:
        """As it is passed on."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}".encode()


def begin(parent: bytes | None, request_id: str, sample: float) -> Trace:
    """The trace of a request. Who sampled it already decides; of those that begin here, the share `sample` is."""
    found = None if parent is None else _PARENT.fullmatch(parent)
    if found is not None and found[1] != _NO_TRACE and found[2] != _NO_SPAN:
        return Trace(found[1].decode(), new_span_id(), found[2].decode(), bool(int(found[3], 16) & 1))
    trace_id = trace_id_of(request_id)
    return Trace(trace_id, new_span_id(), None, int(trace_id[-_RANDOM_DIGITS:], 16) < sample * _RANDOM_VALUES)


def trace_id_of(request_id: str) -> str:
    """The trace that a request begins, by its id."""
    if _UUID.fullmatch(request_id):
        digits = request_id.replace("-", "").lower()
        if digits.strip("0"):
            return digits
    return hashlib.blake2b(request_id.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def new_span_id() -> str:
    """Unique, and never zero."""
    return f"{random.getrandbits(64) or 1:016x}"
