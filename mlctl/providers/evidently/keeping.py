"""The decision of one run of a monitor, for the ledger: what it was made of, so that it can be made again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mlctl.files import atomic, decisions
from mlctl.files.decision_code import code_of
from mlctl.provider import Context
from mlctl.providers.evidently import evidence
from mlctl.providers.evidently.monitor import RUNS_FOLDER
from mlctl.providers.evidently.parts import PARTS
from mlctl.providers.evidently.run import LOG_FILE, MonitorResult
from mlctl.stats.drift import Verdict
from mlctl.types.decision import Decision
from mlctl.types.job import JOB_FILE
from mlctl.types.state import Record

KIND = "monitor"
_KEPT_OK = 400  # of one monitor: runs without an alarm lead to nothing
_DECIDING = ("mlctl.runtime.monitor", "mlctl.stats")
# What differs from one run to the next without having been decided.
INCIDENTAL = ("report", "evidently", "seconds")


def keep(record: Record, result: MonitorResult, ctx: Context, actions: Mapping[str, Any], by: str) -> str:
    """Put it into the ledger, once for each run, and give its id. Raises OSError."""
    made = decision(record, result, ctx, actions, by)
    for path in sorted((ctx.home / decisions.FOLDER).glob(f"{made.id.partition('-')[0]}-*")):
        known, _ = decisions.find(ctx.home, path.name)
        if (known.kind, known.address, known.inputs.get("run")) == (KIND, made.address, result.run):
            return known.id  # a kill came between the ledger and the note that it is in there
    evidence.keep_frozen(record, ctx)
    name = decisions.keep(ctx.home, made)
    decisions.forget(ctx.home, KIND, made.address, Verdict.OK, _KEPT_OK)
    return name


def decision(record: Record, result: MonitorResult, ctx: Context, actions: Mapping[str, Any], by: str) -> Decision:
    """The decision as it is kept. Raises OSError."""
    folder = ctx.folder(record.key) / RUNS_FOLDER / result.run
    params: dict[str, Any] = (atomic.read_object(folder / JOB_FILE) or {})["params"]
    frozen = evidence.frozen_paths(record, ctx)
    inputs = {
        "run": result.run,
        "job": {name: value for name, value in params.items() if name not in ("report", "acts")},
        "frozen": frozen,
        "log": _log(folder, ctx.root / params["predictions"], params["parts"], datetime.fromisoformat(params["until"])),
        "files": evidence.files_of(params["parts"], ctx, frozen),
    }
    return Decision(
        kind=KIND,
        address=str(record.key.address),
        verdict=str(result.outputs["verdict"]),
        rule=rule(record),
        at=str(result.outputs["until"]),
        inputs=ctx.secrets.hidden(inputs),
        outputs=ctx.secrets.hidden({**decided(result.outputs), "actions": dict(actions)}),
        code=code(),
        by=by,
    )


def decided(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """What was decided in a run: the same whenever it is made again."""
    return {name: value for name, value in outputs.items() if name not in INCIDENTAL}


def rule(record: Record) -> str:
    """How the verdict comes about, in words."""
    parts: Mapping[str, Any] = record.outputs.get("parts", {})
    return "; ".join(part.describe(parts[part.name]) for part in PARTS if part.name in parts)


def _log(folder: Path, predictions: Path, parts: Mapping[str, Any], until: datetime) -> dict[str, Any]:
    """Each file of the log: how long it was before the run, and how long after it, with the digest of that much.

    A run reads rows up to its moment. Those of the moments before it may reach the disk while it reads: between both lengths.
    """
    before = atomic.read_object(folder / LOG_FILE) or {}
    after = evidence.digests(predictions, evidence.sizes(predictions, parts, until))
    return {
        name: {"bytes_before": int(before.get(name, 0)), "bytes": part.size, "sha256": part.sha256}
        for name, part in after.items()
    }


def code() -> str:
    """mlctl's version, and the digest of the sources that decide: of the parts, and of the statistics."""
    return code_of(module for package in _DECIDING for module in _modules(package))


def _modules(package: str) -> list[str]:
    found = find_spec(package)
    places = [] if found is None else list(found.submodule_search_locations or ())
    return [
        f"{package}.{path.stem}"
        for place in places
        for path in sorted(Path(place).glob("*.py"))
        if path.stem != "__init__"
    ]
