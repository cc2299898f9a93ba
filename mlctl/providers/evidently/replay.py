"""Make the decision of a monitor again: the same program over what the log held then, against what was frozen then."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlctl.launch import job
from mlctl.provider import Context
from mlctl.providers.evidently import evidence, keeping
from mlctl.types.decision import Decision
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.monitor import MonitorJob
from mlctl.types.value import Json


def code() -> str:
    """As `Decision.code` would be now."""
    return keeping.code()


def replay(decision: Decision, folder: Path, ctx: Context) -> Mapping[str, Json]:
    """The outputs, made again. What was done about an alarm is not done again. Raises MlctlError when that cannot be."""
    inputs: Mapping[str, Any] = decision.inputs
    _refuse_changed(decision, inputs, ctx)
    with tempfile.TemporaryDirectory(prefix="replay-", dir=ctx.home) as name:
        place = Path(name)
        frozen = _frozen(decision, inputs["frozen"], place, ctx)
        parts = _renamed(inputs["job"]["parts"], frozen)
        again: Mapping[str, Json] = {}
        for number, key in enumerate(
            ("bytes", "bytes_before")
        ):  # rows may have come in while it was read: then one of the two
            log = place / f"log-{number}"
            _lay_out(ctx.root / inputs["job"]["predictions"], inputs["log"], key, log)
            params = MonitorJob.model_validate(
                {**inputs["job"], "predictions": str(log), "parts": parts, "report": None, "asks": False}
            )
            result = job.run("monitor", params.model_dump(mode="json"), place / f"run-{number}", ctx)
            again = keeping.decided(result.outputs)
            if again == {name: value for name, value in decision.outputs.items() if name != "actions"}:
                break
    return {**again, "actions": decision.outputs.get("actions")}


def _refuse_changed(decision: Decision, inputs: Mapping[str, Any], ctx: Context) -> None:
    """The log and the files have to hold what they held then."""
    predictions = ctx.root / inputs["job"]["predictions"]
    for name, known in inputs["log"].items():
        found = evidence.sha256_of(predictions / name, int(known["bytes"]))
        if found != known["sha256"]:
            why = "it was rotated away" if not (predictions / name).exists() else "its beginning is not what it was"
            raise _gone(decision, os.path.relpath(predictions / name, ctx.root), why)
    for name, known in inputs["files"].items():
        path = ctx.root / name
        if not path.is_file() or ctx.digests.file(path) != known:
            raise _gone(decision, name, "it has changed" if path.is_file() else "it is gone")


def _gone(decision: Decision, name: str, why: str) -> MlctlError:
    return MlctlError.of(
        "decision.evidence-gone",
        f"{decision.address} cannot be judged again: {name} is not as it was",
        why,
        "see the figures that are kept with `mlctl decisions show`",
    )


def _frozen(decision: Decision, known: Mapping[str, str], place: Path, ctx: Context) -> dict[str, str]:
    """Where the frozen files are now, by the paths that the parts know them by."""
    found = {}
    for path, content in known.items():
        kept = evidence.archived(ctx.home, content)
        if not kept.is_file() or ctx.digests.file(kept) != content:
            raise _gone(decision, os.path.relpath(kept, ctx.root), "what was frozen for it was taken out of the ledger")
        copy = place / "frozen" / Path(path).name  # a part may tell kinds of files by their names
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(kept, copy)
        found[path] = str(copy)
    return found


def _lay_out(source: Path, known: Mapping[str, Mapping[str, Any]], key: str, target: Path) -> None:
    """So much of each file of the log. Whole ones are linked."""
    target.mkdir()
    for name, item in known.items():
        size = int(item[key])
        if size == (source / name).stat().st_size:
            os.symlink((source / name).resolve(), target / name)
            continue
        with open(source / name, "rb") as stream, open(target / name, "wb") as copy:
            left = size
            while left and (data := stream.read(min(1 << 20, left))):
                copy.write(data)
                left -= len(data)


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """A tree of JSON with paths put in place of others."""
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, Mapping):
        return {name: _renamed(item, names) for name, item in value.items()}
    return [_renamed(item, names) for item in value] if isinstance(value, list) else value
