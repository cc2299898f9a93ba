"""Something that a project would run, on whatever devices there are: what right-sizing and comparisons ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from mlctl.estimate.devices import Device
from mlctl.estimate.fit import Fit
from mlctl.types.estimate import Range


@dataclass(frozen=True, slots=True)
class Outlook:
    """A workload on so many devices of one kind (`device.count`)."""

    device: Device
    fit: Fit
    memory: Range | None = None  # bytes of the device that holds most
    seconds: Range | None = None  # a build: from its start to its end; None where not known
    figures: Mapping[str, Range] = field(
        default_factory=dict
    )  # a service: `tpot_seconds`, `ttft_seconds`, `concurrency`, `tokens_per_second`
    unsupported: str = ""  # what the software asks of a device and this one lacks; such an option is none
    changes: tuple[
        str, ...
    ] = ()  # what else the project would have to say, as `path: value` below the block, such as `strategy: fsdp`
    why: str = ""  # where the fit or the strategy comes from, in words
    usual: Range | None = None  # of a service: requests of the usual length that have room at once
    each: float = 0.0  # bytes that one more request of the greatest length takes of a device
    each_usual: float = 0.0  # the same of the usual length
    slow: str = ""  # where other things than the devices' arithmetic take much of the time, in words


class Workload(Protocol):
    """One resource that takes devices for a while (a training), or for as long as it is there (a deployment)."""

    @property
    def address(self) -> str:
        """Of the resource."""
        ...

    @property
    def lasting(self) -> bool:
        """Whether it costs until it is removed."""
        ...

    @property
    def device(self) -> Device:
        """Where the project puts it now, with how many."""
        ...

    @property
    def tier(self) -> str | None:
        """At which price; None for what is owned."""
        ...

    @property
    def checkpoint_seconds(self) -> float | None:
        """The time of one checkpoint; None where nothing is saved on the way, so that spot devices are not for it."""
        ...

    def on(self, device: Device) -> Outlook:
        """On other devices. Never raises: what cannot be is an outlook that says so."""
        ...


@runtime_checkable
class Serves(Protocol):
    """A workload that works on several requests at once."""

    @property
    def wanted(self) -> int | None:
        """As many as the project has it work on at once; None where it says nothing of that."""
        ...

    @property
    def usual_tokens(self) -> int:
        """Tokens of a request of the usual length, with its answer."""
        ...


@runtime_checkable
class Stores(Protocol):
    """A workload that knows what it has on disk at most."""

    @property
    def disk(self) -> Range:
        """Bytes: checkpoints, and what is left in the end."""
        ...
