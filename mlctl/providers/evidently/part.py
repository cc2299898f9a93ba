"""What a part of a monitor is: one block of its spec, what `apply` freezes for it, and what a run is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from mlctl.provider import Context, Desired
from mlctl.providers.evidently.spec.monitor import MonitorSpec
from mlctl.types.diagnostic import Diagnostic
from mlctl.types.value import Json


@dataclass(frozen=True)
class Frozen:
    """What a part needs at each run: its field in `mlctl.types.jobs.monitor.Parts`, and files to keep beside, by name."""

    job: Mapping[str, Json]
    files: Mapping[str, bytes] = field(default_factory=dict)


class Part(Protocol):
    """One part. `name` is its block in the spec, its field in the job, and its key in the outputs of a run."""

    name: ClassVar[str]

    def check(self, spec: MonitorSpec, ctx: Context) -> Iterable[Diagnostic]:
        """Offline rules of the block, which is there."""
        ...

    def freeze(self, spec: MonitorSpec, desired: Desired, ctx: Context) -> Frozen:
        """Lay down all that later runs compare with. Makes nothing of its own below the monitor's folder. Raises MlctlError."""
        ...

    def describe(self, job: Mapping[str, Any]) -> str:
        """What is watched how, in a few words, from what `freeze` gave."""
        ...

    def text(self, figures: Mapping[str, Any]) -> Iterable[str]:
        """Lines for a person about what a run found."""
        ...
