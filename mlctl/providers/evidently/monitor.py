"""The kind `monitors`: watches what a deployment is asked and what it answers. Each part of it is a file of `parts/`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from mlctl.files import atomic
from mlctl.processes import worker
from mlctl.provider import Condition, Context, Desired, Family, Observed, Outcome, Spec, diff_fields
from mlctl.providers.evidently import action_rules
from mlctl.providers.evidently.parts import PARTS
from mlctl.providers.evidently.spec.monitor import MonitorSpec
from mlctl.types.change import FieldChange, FieldClass
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.state import Record
from mlctl.types.value import Json, digest

RUNS_FOLDER = "runs"


class Monitor:
    """A monitor is what its parts froze and a folder of past runs; `run.py` makes one."""

    section: ClassVar[str] = "monitors"
    family: ClassVar[Family] = Family.DEFINITION
    spec: ClassVar[type[Spec]] = MonitorSpec
    identity: ClassVar[frozenset[str]] = frozenset()
    field_class: ClassVar[FieldClass] = FieldClass.EVALUATION
    settings: ClassVar[frozenset[str]] = frozenset()

    def check(self, spec: MonitorSpec, ctx: Context) -> Sequence[Diagnostic]:
        """At least one part, and the rules of each."""
        asked = [part for part in PARTS if getattr(spec, part.name) is not None]
        if not asked:
            return [
                Diagnostic(
                    "monitor.watches-nothing",
                    "the monitor watches nothing",
                    "none of its parts is asked for",
                    f"add one of: {', '.join(f'`{part.name}`' for part in PARTS)}",
                )
            ]
        return [
            *(problem for part in asked for problem in part.check(spec, ctx)),
            *action_rules.check(spec, ctx),
        ]

    def read(self, prior: Record, ctx: Context) -> Observed | None:
        """What was frozen is there, and is what was frozen."""
        data = (prior.outputs.get("parts") or {}).get("data")
        if prior.outputs and ("parts" not in prior.outputs or (data is not None and "together" not in data)):
            return Observed(condition=Condition.BROKEN, detail="it was frozen by an older mlctl")
        folder = ctx.folder(prior.key)
        files: Mapping[str, str] = prior.outputs.get("files") or {}
        for name, known in files.items():
            try:
                if ctx.digests.file(folder / name) != known:
                    return Observed(condition=Condition.BROKEN, detail=f"the frozen {name} was changed")
            except OSError:
                return None
        return Observed()

    def diff(self, desired: Desired, prior: Record, seen: Observed) -> Sequence[FieldChange]:
        """Field by field."""
        return diff_fields(desired, prior, seen)

    def apply(self, desired: Desired, prior: Record | None, ctx: Context) -> Outcome:
        """Freeze each part. Past runs stay: they say what they were compared with."""
        spec: MonitorSpec = desired.spec
        predictions = desired.input("deployments", spec.deployment).outputs.get("predictions")
        if not isinstance(predictions, str):
            raise MlctlError.of(
                "monitor.no-log",
                f"deployments.{spec.deployment} logs no predictions",
                "a monitor reads the prediction log",
                "set `log: {predictions: true, features: true}` in the deployment",
            )
        frozen = {part.name: part.freeze(spec, desired, ctx) for part in PARTS if getattr(spec, part.name) is not None}
        folder = ctx.folder(desired.key)
        folder.mkdir(parents=True, exist_ok=True)
        files: dict[str, Json] = {}
        for name, data in sorted(item for made in frozen.values() for item in made.files.items()):
            atomic.write_bytes(folder / name, data)
            files[name] = ctx.digests.file(folder / name)
        outputs: dict[str, Any] = {
            "deployment": spec.deployment,
            "predictions": predictions,
            "runs": os.path.relpath(folder / RUNS_FOLDER, ctx.root),
            "parts": {name: dict(made.job) for name, made in frozen.items()},
            "files": files,
        }
        return Outcome(str(desired.address), {**outputs, "digest": digest(ctx.secrets.masked(outputs))})

    def delete(self, prior: Record, ctx: Context) -> None:
        """Remove what was frozen and the past runs. The predictions belong to the deployment."""
        folder = ctx.folder(prior.key)
        for run in sorted((folder / RUNS_FOLDER).glob("*")):
            worker.stop(run, grace_seconds=5)
        shutil.rmtree(folder, ignore_errors=True)

    def describe(self, prior: Record) -> str:
        """What is watched how."""
        parts: Mapping[str, Any] = prior.outputs.get("parts") or {}
        return "; ".join(part.describe(parts[part.name]) for part in PARTS if part.name in parts)
