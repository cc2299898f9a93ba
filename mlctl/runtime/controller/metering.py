"""Brings together what the gateway and the servers have counted, once a second and whenever a gate is asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from mlctl.rollout.evidence import Counts
from mlctl.runtime.controller.evidence import Meter
from mlctl.runtime.controller.front import Front
from mlctl.runtime.controller.series import Series

_INTERVAL_SECONDS = 1.0


def copies_of(variant: str) -> str:
    """Under which name the copies are counted that a variant is sent."""
    return f"{variant} (copies)"


class Metering:
    """Keeps a meter up to date. `variants` says which release each variant of the gateway is."""

    def __init__(self, meter: Meter, front: Front, path: Callable[[int], Path]) -> None:
        self.meter = meter
        self.series = Series()
        self.variants: Mapping[str, int] = {}
        self.mirrored: str | None = None
        self._front = front
        self._path = path
        self._measured = float("-inf")

    def measure(self, *, at_once: bool = False) -> bool:
        """Look at all sources, when it is time to or `at_once`. Gives whether it did."""
        moment = time.monotonic()
        if not at_once and moment - self._measured < _INTERVAL_SECONDS:
            return False
        self._measured = moment
        answered, copied = self._front.counts()
        self.meter.gateway({name: (item.requests, item.errors) for name, item in answered.items()})
        self.meter.gateway({copies_of(name): (item.requests, item.errors) for name, item in copied.items()})
        for variant, number in self.variants.items():
            self.meter.servers(variant, variant, self._path(number))
        if self.mirrored is not None and self.mirrored in self.variants:
            self.meter.servers(copies_of(self.mirrored), None, self._path(self.variants[self.mirrored]))
        self.series.add(moment, self.totals())
        return True

    def totals(self) -> dict[str, Counts]:
        """What was counted of each variant there is, and of copies."""
        names = list(self.variants)
        if self.mirrored is not None and self.mirrored in self.variants:
            names.append(copies_of(self.mirrored))
        return {name: self.meter.total(name) for name in names}
