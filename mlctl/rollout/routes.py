"""Where the requests of a deployment go: what the gateway is configured by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mlctl.types.jobs.rollout import Unit

TOTAL = 10_000  # shares are in hundredths of a percent, and always sum up to this


@dataclass(frozen=True, slots=True)
class Backend:
    """A server that answers for a variant. `model` is what the body's `model` is to become (adapters of one engine)."""

    host: str
    port: int
    version: str
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Mirror:
    """A variant that is sent a copy of a share of the requests; its answers reach nobody."""

    variant: str
    share: int


@dataclass(frozen=True, slots=True)
class Routes:
    """Shares by variant in the order of their ranges: the stable version (or control) first, the newest last, so that a
    growing share moves units in one direction only. Every variant with a share has a backend; one without can be previewed."""

    backends: Mapping[str, Backend]
    shares: Mapping[str, int]
    unit: Unit | None = None
    mirror: Mirror | None = None
    serial: int = field(default=0)

    def __post_init__(self) -> None:
        """Raise ValueError when a share leads nowhere or the shares are not the whole."""
        if missing := {name for name, share in self.shares.items() if share > 0} - self.backends.keys():
            raise ValueError(f"no backend answers for {', '.join(sorted(missing))}")
        if sum(self.shares.values()) != TOTAL or any(share < 0 for share in self.shares.values()):
            raise ValueError(f"the shares are {dict(self.shares)}; they have to sum up to {TOTAL}")
        if self.mirror is not None and self.mirror.variant not in self.backends:
            raise ValueError(f"no backend answers for {self.mirror.variant}")
