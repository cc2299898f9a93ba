"""Which variant answers a request: the rules of the Envoy configuration (`mlctl.runtime.gateway.envoy.render`) as code."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from mlctl.rollout.routes import TOTAL, Backend, Routes
from mlctl.runtime.gateway.base import PROPENSITY_HEADER
from mlctl.runtime.gateway.units import place
from mlctl.types.jobs.rollout import CANDIDATE, MODEL_HEADER, STABLE, UNIT_BUCKET_HEADER, VARIANT_HEADER

Headers = Sequence[tuple[bytes, bytes]]  # names in lower case

OWN_HEADERS = frozenset(name.encode() for name in (VARIANT_HEADER, MODEL_HEADER, UNIT_BUCKET_HEADER, PROPENSITY_HEADER))


@dataclass(frozen=True, slots=True)
class Choice:
    """Who is to answer, in the order they are tried, and what they are told of that."""

    variant: str
    backends: tuple[tuple[str, Backend], ...]
    bucket: int | None
    propensity: float | None  # None: the client chose

    def labels(self, variant: str, backend: Backend) -> list[tuple[bytes, bytes]]:
        """The headers of a try."""
        told = [(VARIANT_HEADER, variant)]
        if backend.model is not None:
            told.append((MODEL_HEADER, backend.model))
        if self.bucket is not None:
            told.append((UNIT_BUCKET_HEADER, str(self.bucket)))
        if self.propensity is not None:
            told.append((PROPENSITY_HEADER, f"{self.propensity:g}"))
        return [(name.encode(), value.encode()) for name, value in told]


class Router:
    """Routes, prepared for many questions."""

    def __init__(self, routes: Routes) -> None:
        self.routes = routes
        self._unit = None if routes.unit is None else routes.unit.header.lower().encode()
        self._salt = "" if routes.unit is None else routes.unit.salt
        self._borders = list(zip(accumulate(routes.shares.values()), routes.shares.items(), strict=True))

    def choose(self, headers: Headers) -> Choice:
        """For one request."""
        bucket = self._bucket(headers)
        wanted = next((value.decode("latin-1") for name, value in headers if name == VARIANT_HEADER.encode()), None)
        if wanted is not None and wanted in self.routes.backends:
            return Choice(wanted, ((wanted, self.routes.backends[wanted]),), bucket, None)
        value = random.randrange(TOTAL) if bucket is None else bucket  # noqa: S311
        variant, share = next(item for until, item in self._borders if value < until)
        return Choice(variant, self._candidates(variant), bucket, share / TOTAL)

    def copied(self, choice: Choice) -> bool:
        """Whether a copy of the request goes to the shadow."""
        mirror = self.routes.mirror
        if mirror is None or choice.propensity is None or choice.variant == mirror.variant:
            return False
        return random.randrange(TOTAL) < mirror.share  # noqa: S311

    def _bucket(self, headers: Headers) -> int | None:
        if self._unit is None:
            return None
        unit = b",".join(value for name, value in headers if name == self._unit)
        return place(unit, self._salt) if unit else None

    def _candidates(self, variant: str) -> tuple[tuple[str, Backend], ...]:
        own = (variant, self.routes.backends[variant])
        if variant == CANDIDATE and STABLE in self.routes.backends:
            return (own, (STABLE, self.routes.backends[STABLE]))
        return (own, own)
