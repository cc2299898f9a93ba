"""The ten ways to make training and serving cheaper: what each is, what it risks, and what came of asking for it.

Which of them a resource could take is said by `advice_training` and `advice_serving`, as changes of its fields; what a change would
save is always the estimate with it held against the estimate without it, never a share that somebody once published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from mlctl.types.estimate import Range

LEAST = 0.02  # of a figure: what changes less than that is no gain
REMOVE: Final = "mlctl:remove"  # in place of a value: the field goes
Fields = Mapping[str, Any]  # of a resource: all of them, defaults too


@dataclass(frozen=True, slots=True)
class Tactic:
    """One way. It is always known by the same number."""

    number: int
    name: str
    risk: str


SPOT = Tactic(
    1, "spot and checkpoints", "it may take longer: devices are taken away, and waited for; nothing is learnt otherwise"
)
PRECISION = Tactic(
    2, "mixed precision", "16 bits round: small differences of the result, and rarely a loss that diverges; evaluate it"
)
ACCUMULATION = Tactic(3, "accumulation", "none for the result: the gradients of the parts add up to the same step")
CHECKPOINTING = Tactic(
    4, "gradient checkpointing", "none for the result: activations are computed again, which takes time"
)
QUANTIZATION = Tactic(5, "quantization", "fewer bits round: the quality may fall a little; evaluate it")
ADAPTERS = Tactic(
    6, "LoRA or QLoRA", "adapters learn less than all weights can; it takes a higher learning rate; evaluate it"
)
DISTILLATION = Tactic(7, "distillation", "a smaller model knows less than its teacher; evaluate it")
BATCHING = Tactic(8, "dynamic batching", "a request may wait for others")
CACHING = Tactic(9, "request caching", "an answer may be as old as `ttl`")
SIZING = Tactic(10, "right-sizing", "none for the result, where the devices do as is foreseen")
TACTICS = (
    SPOT,
    PRECISION,
    ACCUMULATION,
    CHECKPOINTING,
    QUANTIZATION,
    ADAPTERS,
    DISTILLATION,
    BATCHING,
    CACHING,
    SIZING,
)


class Standing(StrEnum):
    """What came of asking for a tactic."""

    HELPS = "helps"
    NO_GAIN = "no gain"
    IN_USE = "in use"
    NOT = "does not apply"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Change:
    """Fields of one resource, or with an address of another too, and what they are to be."""

    fields: tuple[tuple[tuple[str, ...], Any], ...]
    address: str = ""  # of another resource than the one that is advised


@dataclass(frozen=True, slots=True)
class Idea:
    """A tactic for a resource: ways to write it, of which the best that the project allows is taken; or why there is none."""

    tactic: Tactic
    variants: tuple[tuple[Change, ...], ...] = ()
    standing: Standing = Standing.HELPS
    why: str = ""
    fallbacks: bool = False  # a later variant is only for where the one before it does not fit, and none is cheaper


@dataclass(frozen=True, slots=True)
class Difference:
    """What is less with a change than without: positive where it saves, negative where it takes more."""

    low: float
    mid: float
    high: float
    basis: str
    whole: float = 0.0  # the likely figure without the change

    @property
    def share(self) -> float:
        """How much of it that is."""
        return self.mid / self.whole if self.whole else 0.0

    @classmethod
    def of(cls, before: Range | None, after: Range | None) -> Difference | None:
        """Low, likely and high figures held against each other, since what one turns on the other does too."""
        if before is None or after is None:
            return None
        low, mid, high = before.low - after.low, before.mid - after.mid, before.high - after.high
        bases = dict.fromkeys(item.basis for item in (before, after))
        return cls(min(low, mid, high), mid, max(low, mid, high), ", ".join(bases), before.mid)

    def to_json(self) -> dict[str, Any]:
        """The stored form, with six digits of each number."""
        low, mid, high = (float(f"{value:.6g}") for value in (self.low, self.mid, self.high))
        return {"low": low, "mid": mid, "high": high, "basis": self.basis}


@dataclass(frozen=True, slots=True)
class Saving:
    """What a change saves; None is not known, or does not come into it."""

    usd: Difference | None = None
    per: str = ""  # what the dollars are of: nothing for all of a training, `an hour`, `a million tokens`
    seconds: Difference | None = None
    memory: Difference | None = None
    work: Range | None = None  # the share of requests, or of calls of the model, that are not needed any more
    notes: tuple[str, ...] = ()
    enables: bool = False  # with it, something will do that did not without

    @property
    def known(self) -> bool:
        """Whether enough is known of it to say whether it helps. Memory alone says so where some gets free."""
        found = any(item is not None for item in (self.usd, self.seconds, self.work))
        return self.enables or found or (self.memory is not None and self.memory.share > LEAST)

    @property
    def helps(self) -> bool:
        """Whether it is worth its while by the likely figures. Where money is known it decides, else time; memory that is paid
        for with time is a gain only where something needs it."""
        if self.enables or self.work is not None:
            return self.enables or (self.work is not None and self.work.high > 0)
        if self.usd is not None:
            return self.usd.share > LEAST
        if self.seconds is not None and abs(self.seconds.share) > LEAST:
            return self.seconds.mid > 0
        return self.memory is not None and self.memory.share > LEAST


def declined(tactic: Tactic, why: str) -> Idea:
    """A tactic that does not apply."""
    return Idea(tactic, standing=Standing.NOT, why=why)


def in_use(tactic: Tactic, why: str) -> Idea:
    """A tactic that the project uses."""
    return Idea(tactic, standing=Standing.IN_USE, why=why)


def unknown(tactic: Tactic, why: str) -> Idea:
    """A tactic of which too little is known to say anything."""
    return Idea(tactic, standing=Standing.UNKNOWN, why=why)


def proposed(tactic: Tactic, *variants: Mapping[str, Any]) -> Idea:
    """A tactic to ask for, each variant as values by dotted field."""
    changes = tuple(
        (Change(tuple((tuple(path.split(".")), value) for path, value in variant.items())),) for variant in variants
    )
    return Idea(tactic, changes)


def at(fields: Fields, path: str) -> Any:
    """The value of a dotted field; None where it is not there."""
    found: Any = fields
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def ordered(ideas: Sequence[Idea]) -> list[Idea]:
    """One of each tactic, by its number."""
    return sorted(ideas, key=lambda idea: idea.tactic.number)
