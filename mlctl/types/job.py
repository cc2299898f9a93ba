"""The only contract between mlctl and its worker programs: a job file in, progress lines and a result file out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from mlctl.types.diagnostic import Diagnostic, Severity
from mlctl.types.state import Gate
from mlctl.types.value import Json

# The files of a job's folder. The folder is written beside the objects of its environment and survives any kill.
JOB_FILE = "job.json"  # {"program": ..., "params": {...}}: written before the program starts, never changed
EVENTS_FILE = "events.jsonl"  # one event.Progress a line, appended
RESULT_FILE = "result.json"  # JobResult; written beside and swapped in as the program's last act
LOG_FILE = "log.txt"  # stdout and stderr
LOCK_FILE = "lock"  # held (flock) by the program for as long as it lives
PROCESS_FILE = "process.json"  # {"pid": ..., "started": ...}


class JobStatus(StrEnum):
    """How a program ended."""

    DONE = "done"
    FAILED = "failed"
    PREEMPTED = "preempted"  # it was asked to stop, saved what it had, and can go on


@dataclass(frozen=True, slots=True)
class JobResult:
    """What a program leaves behind. `outputs` become the outputs of the object."""

    status: JobStatus
    outputs: Mapping[str, Json] = field(default_factory=dict)
    gate: Gate | None = None
    diagnostics: tuple[Diagnostic, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The result file."""
        return {
            "status": self.status,
            "outputs": dict(self.outputs),
            "gate": None if self.gate is None else self.gate.to_json(),
            "diagnostics": [
                {
                    "code": item.code,
                    "summary": item.summary,
                    "why": item.why,
                    "fix": item.fix,
                    "severity": item.severity,
                }
                for item in self.diagnostics
            ],
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> JobResult:
        """Read a result file. Raises KeyError, TypeError or ValueError when it is not one."""
        gate = stored["gate"]
        return cls(
            status=JobStatus(stored["status"]),
            outputs=stored["outputs"],
            gate=None if gate is None else Gate.from_json(gate),
            diagnostics=tuple(
                Diagnostic(item["code"], item["summary"], item["why"], item["fix"], Severity(item["severity"]))
                for item in stored["diagnostics"]
            ),
        )
