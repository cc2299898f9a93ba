"""Workloads whose needs are written down, to hold right-sizing against: linear in devices, with the bounds of each kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mlctl.estimate.devices import NAMED, Device
from mlctl.estimate.fit import verdict
from mlctl.estimate.workload import Outlook
from mlctl.types.estimate import Range

GIB = 2**30


@dataclass(frozen=True)
class Scripted:
    """Needs `memory` bytes shared by all devices beside `each` on every one, and `work` operations; a service gives tokens."""

    memory: float = 8 * GIB
    each: float = 1 * GIB
    work: float = 1e18
    address: str = "training.m"
    lasting: bool = False
    device: Device = NAMED["A100-80GB"]
    tier: str | None = "on_demand"
    checkpoint_seconds: float | None = 30.0
    unsupported: Mapping[str, str] = field(default_factory=dict)
    doubt: float = 1.2  # how far the high figure lies above the likely one
    timed: bool = True

    def on(self, device: Device) -> Outlook:
        likely = self.memory / device.count + self.each
        memory = Range(likely / self.doubt, likely, likely * self.doubt)
        fit = verdict(memory, device.memory)
        lack = self.unsupported.get(device.name, "")
        speed = device.peak * 0.4 * device.count**0.9
        taken = self.work / speed if speed else 0.0
        seconds = Range(taken / 1.5, taken, taken * 1.5) if self.timed and not self.lasting and speed else None
        figures = self._figures(device) if self.lasting else {}
        return Outlook(device, fit, memory, seconds, figures, lack)

    def _figures(self, device: Device) -> dict[str, Range]:
        step = self.memory / device.count / 1e12
        room = max(0.0, device.memory * device.count - self.memory) / 1e9
        return {
            "tpot_seconds": Range(step, step * 1.2, step * 1.5),
            "ttft_seconds": Range(step * 10, step * 12, step * 20),
            "concurrency": Range(room * 0.8, room, room),
        }
