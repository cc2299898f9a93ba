"""The part `data`: features and scores against a frozen training profile."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from mlctl.launch import job
from mlctl.provider import Context, Desired
from mlctl.providers.evidently import reference
from mlctl.providers.evidently.part import Frozen
from mlctl.providers.evidently.spec.data import DataDrift
from mlctl.providers.evidently.spec.monitor import MonitorSpec
from mlctl.stats.drift import Method, Verdict
from mlctl.types.diagnostic import Diagnostic
from mlctl.types.jobs.monitor import Profile, TogetherPart
from mlctl.types.jobs.reference import ENCODING_FILE, TENSORS_FILE, FreezeJob, FrozenReference

REFERENCE_FILE = "reference.json"
_FREEZING = "freezing"  # the folder of the program, which is gone once its files are kept


class DataDriftPart:
    """Tests of each column and of all features together, with one decision over all of them."""

    name: ClassVar[str] = "data"

    def check(self, spec: MonitorSpec, ctx: Context) -> Iterable[Diagnostic]:
        """A reference, no method twice, no margin for a method that is not used."""
        data = spec.data
        if data is None:
            return
        if spec.reference is None:
            yield Diagnostic(
                "monitor.no-reference",
                "`data` has nothing to compare with",
                "drift is a difference from how the features were when the model was trained",
                "add `reference: ${training.NAME.training_profile}`",
                path=("data",),
            )
        for index, method in enumerate(data.methods):
            if method in data.methods[:index]:
                yield Diagnostic(
                    "monitor.method-twice",
                    f"`{method}` is given twice",
                    "each test counts when p-values are adjusted, so a repeated one only costs power",
                    "remove one",
                    path=("data", "methods", index),
                )
        for method in data.margin:
            if method not in data.methods:
                yield Diagnostic(
                    "monitor.margin-unused",
                    f"the margin of `{method}` has no effect",
                    "a margin is held against the effect that its method measures",
                    f"remove it, or add `{method}` to `methods`",
                    path=("data", "margin", method.value),
                )
        if data.rows is not None and not data.together:
            yield Diagnostic(
                "monitor.rows-unused",
                "`rows` has no effect",
                "tests of single columns need no rows of the reference",
                "remove it, or add `domain_classifier`, `pca` or `autoencoder` to `methods`",
                path=("data", "rows"),
            )
        area = data.margin.get(Method.DOMAIN_CLASSIFIER)
        if area is not None and not 0.5 <= area < 1:
            yield Diagnostic(
                "monitor.bad-margin",
                f"a margin of {area:g} makes no sense for `domain_classifier`",
                "it is an area under the ROC curve: 0.5 is not to be told apart, 1 is always",
                "give 0.5 or more, and less than 1; the default is 0.55",
                path=("data", "margin", Method.DOMAIN_CLASSIFIER.value),
            )

    def freeze(self, spec: MonitorSpec, desired: Desired, ctx: Context) -> Frozen:
        """How each column was distributed, which tests it gets, and what the tests of all features learnt of the reference."""
        data, source = spec.data, spec.reference
        if data is None or source is None:
            raise ValueError("the part has no block, or no reference: `check` refuses that")
        profile = reference.load(ctx.path(source), source)
        frozen = reference.frozen(profile)
        tests, untested = reference.plan_tests(profile, frozen, data.methods, data.min_rows)
        files = {REFERENCE_FILE: json.dumps(frozen.model_dump(mode="json"), sort_keys=True).encode()}
        together = None
        if data.together:
            files |= _learn(source, data, profile, frozen, ctx.folder(desired.key) / _FREEZING, ctx)
            place = Path(os.path.relpath(ctx.folder(desired.key), ctx.root))
            together = TogetherPart(
                methods=[method.value for method in data.together],
                encoding=str(place / ENCODING_FILE),
                tensors=str(place / TENSORS_FILE),
            )
        return Frozen(
            {
                "reference": os.path.relpath(ctx.folder(desired.key) / REFERENCE_FILE, ctx.root),
                "tests": tests,
                "untested": untested,
                "together": None if together is None else together.model_dump(mode="json"),
                "alpha": data.alpha,
                "correction": data.correction,
                "margins": {method.value: margin for method, margin in data.margins.items()},
                "min_rows": data.min_rows,
                "unit": data.unit,
                "window_seconds": data.window,
            },
            files,
        )

    def describe(self, job: Mapping[str, Any]) -> str:
        """How many columns, by which methods."""
        joint = [] if job.get("together") is None else job["together"]["methods"]
        single = [name for name in job["margins"] if name not in joint]
        told = [f"{len(job['tests'])} columns by {', '.join(single)}"] if single else []
        return ", ".join(told + ([f"all features by {', '.join(joint)}"] if joint else []))

    def text(self, figures: Mapping[str, Any]) -> Iterable[str]:
        """The columns, alarms first."""
        order = list(Verdict)
        for name, column in sorted(
            figures["columns"].items(), key=lambda item: (order.index(Verdict(item[1]["verdict"])), item[0])
        ):
            tests = "  ".join(_test_text(method, test) for method, test in column["tests"].items())
            yield f"{column['verdict'].replace('_', ' '):<8} {name}  n={column['rows']}  {tests}"
            if "marked" in column:
                yield f"         {column['marked']}"
            for item in column.get("details", {}).get("features", ()):
                yield f"         told apart by {item['feature']} ({item['area_lost']:.3f} of the area)"
        if figures.get("unknown"):
            yield f"unknown  {', '.join(figures['unknown'])}: not in the reference, and not tested"
        yield from (f"untested {name}: {why}" for name, why in figures["untested"].items())


def _learn(
    source: str, data: DataDrift, profile: Profile, frozen: FrozenReference, folder: Path, ctx: Context
) -> dict[str, bytes]:
    """What the tests of all features need, learnt in a process of its own. Raises MlctlError."""
    columns = {name: profile.columns[name].kind for name in frozen.columns}
    rows = None if data.rows is None else os.path.relpath(ctx.path(data.rows), ctx.root)
    params = FreezeJob(
        profile=os.path.relpath(ctx.path(source), ctx.root),
        rows=rows,
        columns=columns,
        methods=[method.value for method in data.together],
        min_rows=data.min_rows,
    )
    job.discard(folder)  # of an apply that was cut off, and perhaps of other rows
    try:
        job.run("monitor_reference", params.model_dump(mode="json"), folder, ctx)
        return {name: (folder / name).read_bytes() for name in (ENCODING_FILE, TENSORS_FILE)}
    finally:
        job.discard(folder)


def _test_text(method: str, test: Mapping[str, Any]) -> str:
    if test["p_adjusted"] is None:
        return f"{method} (too few rows)"
    return f"{method} {test['effect']:.3f} (margin {test['margin']:g}, p {test['p_adjusted']:.2g})"
