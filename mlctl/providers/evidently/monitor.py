"""The kind `monitors`: watches what a deployment is asked and what it answers, against a frozen reference."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import ClassVar

from mlctl.files import atomic
from mlctl.processes import worker
from mlctl.provider import Condition, Context, Desired, Family, Observed, Outcome, Spec, diff_fields
from mlctl.providers.evidently import reference
from mlctl.providers.evidently.spec import MonitorSpec
from mlctl.types.change import FieldChange, FieldClass
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.state import Record
from mlctl.types.value import Json, digest

REFERENCE_FILE = "reference.json"
RUNS_FOLDER = "runs"


class Monitor:
    """A monitor is a frozen copy of a training profile and a folder of past runs; `run.py` makes one."""

    section: ClassVar[str] = "monitors"
    family: ClassVar[Family] = Family.DEFINITION
    spec: ClassVar[type[Spec]] = MonitorSpec
    identity: ClassVar[frozenset[str]] = frozenset()
    field_class: ClassVar[FieldClass] = FieldClass.EVALUATION
    settings: ClassVar[frozenset[str]] = frozenset()

    def check(self, spec: MonitorSpec, ctx: Context) -> Sequence[Diagnostic]:
        """No method twice, no margin for a method that is not used."""
        found = []
        for index, method in enumerate(spec.data.methods):
            if method in spec.data.methods[:index]:
                found.append(
                    Diagnostic(
                        "monitor.method-twice",
                        f"`{method}` is given twice",
                        "each test counts when p-values are adjusted, so a repeated one only costs power",
                        "remove one",
                        path=("data", "methods", index),
                    )
                )
        for method in spec.data.margin:
            if method not in spec.data.methods:
                why = "a margin is held against the effect that its method measures"
                found.append(
                    Diagnostic(
                        "monitor.margin-unused",
                        f"the margin of `{method}` has no effect",
                        why,
                        f"remove it, or add `{method}` to `methods`",
                        path=("data", "margin", method.value),
                    )
                )
        return found

    def read(self, prior: Record, ctx: Context) -> Observed | None:
        """The frozen reference is there, and is the one that was frozen."""
        path = ctx.folder(prior.key) / REFERENCE_FILE
        try:
            same = ctx.digests.file(path) == prior.outputs.get("reference_digest")
        except OSError:
            return None
        return Observed() if same else Observed(condition=Condition.BROKEN, detail="the frozen reference was changed")

    def diff(self, desired: Desired, prior: Record, seen: Observed) -> Sequence[FieldChange]:
        """Field by field."""
        return diff_fields(desired, prior, seen)

    def apply(self, desired: Desired, prior: Record | None, ctx: Context) -> Outcome:
        """Freeze the reference. Past runs stay: they say which reference they were made with."""
        spec: MonitorSpec = desired.spec
        profile = reference.frozen(reference.load(ctx.path(spec.reference), spec.reference))
        tests, untested = reference.plan_tests(profile, spec.data.methods, spec.data.min_rows)
        predictions = desired.input("deployments", spec.deployment).outputs.get("predictions")
        if not isinstance(predictions, str):
            raise MlctlError.of(
                "monitor.no-log",
                f"deployments.{spec.deployment} logs no predictions",
                "a monitor reads the prediction log",
                "set `log: {predictions: true, features: true}` in the deployment",
            )
        folder = ctx.folder(desired.key)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / REFERENCE_FILE
        atomic.write_json(path, profile.model_dump(mode="json"))
        outputs: dict[str, Json] = {
            "reference": os.path.relpath(path, ctx.root),
            "reference_digest": ctx.digests.file(path),
            "predictions": predictions,
            "deployment": spec.deployment,
            "methods": [method.value for method in spec.data.methods],
            "alpha": spec.data.alpha,
            "correction": spec.data.correction,
            "margins": {method.value: margin for method, margin in spec.data.margins.items()},
            "min_rows": spec.data.min_rows,
            "window_seconds": spec.data.window,
            "tests": tests,
            "untested": untested,
        }
        return Outcome(str(desired.address), {**outputs, "digest": digest(outputs)})

    def delete(self, prior: Record, ctx: Context) -> None:
        """Remove the reference and the past runs. The predictions belong to the deployment."""
        folder = ctx.folder(prior.key)
        for run in sorted((folder / RUNS_FOLDER).glob("*")):
            worker.stop(run, grace_seconds=5)
        shutil.rmtree(folder, ignore_errors=True)

    def describe(self, prior: Record) -> str:
        """What is tested how."""
        tests, methods = prior.outputs.get("tests"), prior.outputs.get("methods")
        return f"{len(tests)} columns by {', '.join(methods)}" if tests and methods else ""
