"""One prediction request on its way through: what is known of it so far, for the answer, the log and the counts."""

from __future__ import annotations

import hashlib
import random
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from . import trace

STATE = "mlctl"  # scope["state"]["mlctl"] is the Call

REQUEST_ID_HEADER = b"x-request-id"
VARIANT_HEADER = b"x-mlctl-variant"
MODEL_HEADER = b"x-mlctl-model"
VERSION_HEADER = b"x-mlctl-version"
BUCKET_HEADER = b"x-mlctl-bucket"
PROPENSITY_HEADER = b"x-mlctl-propensity"
RECEIVED_HEADER = b"x-mlctl-received"
TEMPLATE_HEADER = b"x-mlctl-template"  # the prompt template that a client used: `name` or `name@version`
# What a client without a gateway in front of it could only make up.
_OF_GATEWAYS = frozenset((VARIANT_HEADER, BUCKET_HEADER, PROPENSITY_HEADER, RECEIVED_HEADER))
# Where adapters answer, there is always something of ours in front that says which one, and lets nobody else say it.
_OF_ADAPTERS = frozenset((MODEL_HEADER, VERSION_HEADER))

STABLE, CANDIDATE, SHADOW = "stable", "candidate", "shadow"
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:+/=-]{1,128}")
_SECONDS = re.compile(rb"[0-9]{1,12}(?:\.[0-9]{1,9})?")
_VARIANT = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_TEMPLATE = re.compile(rb"[A-Za-z0-9._/-]{1,64}(?:@[A-Za-z0-9._-]{1,64})?")
_CANARY = "canary"

Stage = tuple[str, float, float]  # a part of the work: its name, when it began and when it ended
Row = Mapping[str, Any]  # what the log keeps of one prediction: key, features, score, prediction ...


class Call:
    """What the middleware knows of a request from its headers, and what the application adds."""

    __slots__ = (
        "adapter", "answer", "begun", "body", "bucket", "cached", "code", "lasting", "missing", "outcome", "predictions", "propensity", "received", "request_id", "rows", "said",
        "scores", "seconds", "shadow", "stages", "started", "template", "trace", "unit", "variant", "version", "waited",
    )  # fmt: skip

    def __init__(
        self,
        headers: Iterable[tuple[bytes, bytes]],
        unit_header: bytes | None = None,
        sample: float = 0.0,
        *,
        behind_gateway: bool = False,
        adapters: bool = False,
    ) -> None:
        self.started = time.perf_counter()
        self.request_id = ""
        self.variant = STABLE
        self.shadow = False
        self.version: str | None = None  # of an adapter, which is not the server's own
        self.adapter: str | None = None
        self.bucket: int | None = None
        self.propensity: float | None = None
        self.unit: str | None = None  # a digest of who asks: `mlctl.stats.assignment.unit_hash`
        self.template: str | None = None
        self.received: float | None = None  # when the gateway got it, in Unix seconds
        self.code = 0
        self.waited = 0.0
        self.begun = 0.0  # when the application was given it
        self.seconds = 0.0  # from its arrival to the end of its answer, once that is sent
        self.body = b""  # all of it, as the application is given it
        self.cached: str | None = None  # "hit" or "miss", where there is a cache
        # what the application fills in
        self.rows: Sequence[Row] = ()  # of the log; of a request that got no prediction, what is known of it
        self.predictions = 0  # how many rows were predicted
        self.scores: Sequence[float] = ()
        self.missing: Sequence[str] = ()  # names of features that went into the model without a value, once a row
        self.lasting = True  # whether the answer may be given again
        self.stages: Sequence[Stage] = ()
        self.answer: dict[str, Any] | None = None  # of a language model: tokens, time to the first one, why it ended
        self.said: str | None = None  # the text of that answer
        self.outcome: tuple[bool, bool] | None = None  # of a whole answer: whether it is empty, and whether cut off
        parent: bytes | None = None
        units: list[bytes] = []
        for name, value in headers:
            if name == b"host":
                self.shadow = behind_gateway and _without_port(value).endswith(b"-shadow")
            elif name == trace.HEADER:
                parent = value
            elif name in _OF_ADAPTERS:
                if adapters:
                    self._take(name, value)
            elif name.startswith(b"x-") and (behind_gateway or name not in _OF_GATEWAYS):
                self._take(name, value)
            if name == unit_header:
                units.append(value)
        if self.shadow:
            self.variant = CANDIDATE  # the copy has the headers of the request itself, which another variant answers
            self.propensity = None  # of the one that answers
        if not self.request_id:
            self.request_id = _new_id()
        if unit := b",".join(units):
            self.unit = unit_hash(unit)
        self.trace = trace.begin(parent, self.request_id, sample)

    @property
    def role(self) -> str:
        """`shadow` for a copy whose answer reaches nobody, `canary` for the version on trial, else `stable`."""
        if self.shadow:
            return SHADOW
        return _CANARY if self.variant == CANDIDATE else STABLE

    def _take(self, name: bytes, value: bytes) -> None:
        """A header that is not what it should be is as good as none."""
        if name == REQUEST_ID_HEADER:
            self.request_id = value.decode() if _REQUEST_ID.fullmatch(value) else ""
        elif name == VARIANT_HEADER:
            self.variant = value.decode() if _VARIANT.fullmatch(value) else STABLE
        elif name == MODEL_HEADER:
            self.adapter = value.decode("latin-1")
        elif name == VERSION_HEADER:
            self.version = value.decode("latin-1")
        elif name == BUCKET_HEADER:
            self.bucket = int(value) if value.isdigit() and len(value) < 6 else None
        elif name == PROPENSITY_HEADER:
            self.propensity = _share(value)
        elif name == RECEIVED_HEADER:
            self.received = _seconds(value)
        elif name == TEMPLATE_HEADER:
            self.template = value.decode() if _TEMPLATE.fullmatch(value) else None


def _without_port(host: bytes) -> bytes:
    """`name-shadow` of `name-shadow:8000`, `[::1]-shadow` of `[::1]-shadow:8000`."""
    name, _, port = host.rpartition(b":")
    return name if port.isdigit() else host


def unit_hash(header: bytes) -> str:
    """A unit as the log keeps it: `mlctl.stats.assignment.unit_hash` of the text that the gateways read in the header's bytes.

    This package cannot import that; a test holds both equal.
    """
    try:
        text = header.decode("utf-8")
    except UnicodeDecodeError:
        text = header.decode("latin-1")
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _new_id() -> str:
    """A UUID of version 4. It has to be unique and not secret, and so needs no system call (a tenth of a small request)."""
    digits = f"{random.getrandbits(128):032x}"
    return (
        f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{'89ab'[int(digits[16], 16) & 3]}{digits[17:20]}-{digits[20:]}"
    )


def _seconds(text: bytes) -> float | None:
    return float(text) if _SECONDS.fullmatch(text) else None


def _share(text: bytes) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value <= 1 else None
