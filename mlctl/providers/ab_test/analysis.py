"""Analyse an experiment: one worker process, one entry in the ledger, and advice on its deployment when the verdict asks for some.

The looks that were made are those in the ledger, so that a look and the decision it led to are kept together or not at all.
Analysing the same data again makes no new look and no new entry.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlctl.files import decisions
from mlctl.files.lock import FileLock
from mlctl.launch import job
from mlctl.provider import Context
from mlctl.providers.ab_test import replay
from mlctl.providers.ab_test.advising import advise
from mlctl.providers.ab_test.analysis_job import Records, applied_spec, data_of, design_of, job_of
from mlctl.stats.experiment_verdict import Look
from mlctl.types.decision import Decision
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.jobs.experiment import MOMENTS_FILE
from mlctl.types.state import Record
from mlctl.types.value import Json, digest

ANALYSES_FOLDER = "analyses"
_KEPT = 10


@dataclass(frozen=True)
class Analysis:
    """What came out, and the entry of the ledger that holds it; `moments` are the sums that it was made of."""

    experiment: str
    decision: str
    outputs: Mapping[str, Any]
    moments: Mapping[str, Any]

    def exit_code(self, *, ship: bool = False) -> ExitCode:
        """0 goes on: ship or continue. With `ship` only that is 0."""
        fine = ("ship",) if ship else ("ship", "continue")
        return ExitCode.OK if self.outputs["verdict"] in fine else ExitCode.GATE_FAILED


def analyse(
    record: Record, records: Records, until: datetime, ctx: Context, *, by: str, final: bool = False
) -> Analysis:
    """Read the data up to a moment, look, decide, and keep that. Raises MlctlError when it cannot be done."""
    address, folder = str(record.key.address), ctx.folder(record.key)
    spec = applied_spec(record)
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder, address):
        _whole(ctx.home)
        last = last_decision(ctx.home, address, design_of(record).digest)
        looks = [] if last is None else [Look.from_json(one) for one in last.outputs["looks"]]
        if looks and until < datetime.fromisoformat(looks[-1].at):
            raise MlctlError.of(
                "experiment.before-a-look",
                f"{until.isoformat()} is before the last look at {address}",
                f"it was made at {looks[-1].at}, and a look cannot be undone",
                "leave out `--until`, or see that look with `mlctl decisions`",
            )
        params = job_of(record, records, until, looks, ctx, final=final)
        work = job.fresh_folder(folder / ANALYSES_FOLDER, until)
        _prune(folder / ANALYSES_FOLDER)  # before it can fail: else each failure would leave a folder for good
        result = job.run("experiment", params.model_dump(mode="json"), work, ctx)
        found: Any = result.outputs["analysis"]
        stored = (work / MOMENTS_FILE).read_bytes()
        inputs: dict[str, Json] = {
            "design": params.design,
            "looks": params.looks,
            "final": final,
            "data": data_of(spec, records),
        }
        name = _same(last, found) or decisions.keep(
            ctx.home,
            Decision(
                kind="experiment", address=address, verdict=found["verdict"], rule=found["rule"], at=_now(), inputs=inputs,
                files=(MOMENTS_FILE,), outputs=found, code=replay.code(), by=by,
            ),
            {MOMENTS_FILE: stored},
        )  # fmt: skip
        advise(record, spec, records, found, ctx)
    return Analysis(record.key.address.name, name, found, replay.moments_of(stored))


def last_decision(home: Path, address: str, design: str) -> Decision | None:
    """The newest decision on an experiment with this design."""
    known = [item for item in decisions.kept(home) if item.kind == "experiment" and item.address == address]
    mine = [item for item in known if _design(item) == design]
    return mine[-1] if mine else None


def _whole(home: Path) -> None:
    """A decision that cannot be read may hold a look, and its alpha would be spent again. Raises MlctlError."""
    broken = decisions.unreadable(home)
    if broken:
        raise MlctlError.of(
            "decision.broken",
            f"the decision {broken[0].name} cannot be read",
            "if it is one of this experiment, a look that was made would be forgotten, and what it spent of alpha be spent again",
            f"put {broken[0]} back from a copy; or remove it, when it is not of an experiment that goes on",
        )


def _design(item: Decision) -> str | None:
    stored: Any = item.inputs.get("design")
    return stored.get("digest") if isinstance(stored, dict) else None


def _same(last: Decision | None, found: Mapping[str, Any]) -> str | None:
    """The id of the last decision when this one says the same of the same looks: then it adds nothing."""
    if last is None:
        return None
    parts = ("verdict", "arm", "rule", "reasons", "looks")
    return (
        last.id
        if digest([last.outputs.get(name) for name in parts]) == digest([found[name] for name in parts])
        else None
    )


@contextmanager
def _alone(folder: Path, address: str) -> Iterator[None]:
    """One analysis at a time: two of them would make the same look twice."""
    lock = FileLock(folder / "analysis.lock")
    if not lock.acquire():
        raise MlctlError.of(
            "experiment.busy",
            f"{address} is being analysed by another mlctl",
            "both would make the same look",
            "wait for it to end",
            exit_code=ExitCode.LOCKED,
        )
    try:
        yield
    finally:
        lock.release()


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _prune(analyses: Path) -> None:
    """Drop the oldest: what was decided is in the ledger."""
    for folder in sorted(analyses.iterdir(), key=os.path.getmtime)[:-_KEPT]:
        job.discard(folder)
