"""One prediction request on its way through: what is known of it so far, for the answer, the log and the counts."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

STATE = "mlctl"  # scope["state"]["mlctl"] is the Call

REQUEST_ID_HEADER = b"x-request-id"
VARIANT_HEADER = b"x-mlctl-variant"
MODEL_HEADER = b"x-mlctl-model"
VERSION_HEADER = b"x-mlctl-version"
BUCKET_HEADER = b"x-mlctl-bucket"
PROPENSITY_HEADER = b"x-mlctl-propensity"

STABLE, CANDIDATE, SHADOW = "stable", "candidate", "shadow"
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:+/=-]{1,128}")
_VARIANT = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_CANARY = "canary"

Row = Mapping[str, Any]  # what the log keeps of one prediction: key, features, score, prediction ...


class Call:
    """What the middleware knows of a request from its headers, and what the application adds."""

    __slots__ = (
        "adapter", "answer", "body", "bucket", "cached", "code", "lasting", "missing", "predictions", "propensity", "request_id", "rows", "scores", "seconds", "shadow",
        "started", "variant", "version", "waited",
    )  # fmt: skip

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.started = time.perf_counter()
        self.request_id = ""
        self.variant = STABLE
        self.shadow = False
        self.version: str | None = None  # of an adapter, which is not the server's own
        self.adapter: str | None = None
        self.bucket: int | None = None
        self.propensity: float | None = None
        self.code = 0
        self.waited = 0.0
        self.seconds = 0.0  # from its arrival to the end of its answer, once that is sent
        self.body = b""  # all of it, as the application is given it
        self.cached: str | None = None  # "hit" or "miss", where there is a cache
        # what the application fills in
        self.rows: Sequence[Row] = ()  # of the log; of a request that got no prediction, what is known of it
        self.predictions = 0  # how many rows were predicted
        self.scores: Sequence[float] = ()
        self.missing: Sequence[str] = ()  # names of features that went into the model without a value, once a row
        self.lasting = True  # whether the answer may be given again
        self.answer: dict[str, Any] | None = None  # of a language model: tokens, time to the first one, why it ended
        for name, value in headers:
            if name == b"host":
                self.shadow = value.partition(b":")[0].endswith(b"-shadow")
            elif name.startswith(b"x-"):
                self._take(name, value)
        if self.shadow:
            self.variant = CANDIDATE  # the copy has the headers of the request itself, which another variant answers
        if not self.request_id:
            self.request_id = _new_id()

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


def _new_id() -> str:
    """A UUID of version 4. It has to be unique and not secret, and so needs no system call (a tenth of a small request)."""
    digits = f"{random.getrandbits(128):032x}"
    return (
        f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{'89ab'[int(digits[16], 16) & 3]}{digits[17:20]}-{digits[20:]}"
    )


def _share(text: bytes) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value <= 1 else None
