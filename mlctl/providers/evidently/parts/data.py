"""The part `data`: features and scores against a frozen training profile."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from mlctl.provider import Context, Desired
from mlctl.providers.evidently import reference
from mlctl.providers.evidently.part import Frozen
from mlctl.providers.evidently.spec.monitor import MonitorSpec
from mlctl.stats.drift import Verdict
from mlctl.types.diagnostic import Diagnostic

REFERENCE_FILE = "reference.json"


class DataDriftPart:
    """Tests of each column, with a decision over all of them together."""

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

    def freeze(self, spec: MonitorSpec, desired: Desired, ctx: Context) -> Frozen:
        """The profile without what no test uses, and the tests of each column."""
        data, source = spec.data, spec.reference
        if data is None or source is None:
            raise ValueError("the part has no block, or no reference: `check` refuses that")
        profile = reference.frozen(reference.load(ctx.path(source), source))
        tests, untested = reference.plan_tests(profile, data.methods, data.min_rows)
        return Frozen(
            {
                "reference": os.path.relpath(ctx.folder(desired.key) / REFERENCE_FILE, ctx.root),
                "tests": tests,
                "untested": untested,
                "alpha": data.alpha,
                "correction": data.correction,
                "margins": {method.value: margin for method, margin in data.margins.items()},
                "min_rows": data.min_rows,
                "window_seconds": data.window,
            },
            {REFERENCE_FILE: json.dumps(profile.model_dump(mode="json"), sort_keys=True).encode()},
        )

    def describe(self, job: Mapping[str, Any]) -> str:
        """How many columns, by which methods."""
        return f"{len(job['tests'])} columns by {', '.join(job['margins'])}"

    def text(self, figures: Mapping[str, Any]) -> Iterable[str]:
        """The columns, alarms first."""
        order = list(Verdict)
        for name, column in sorted(
            figures["columns"].items(), key=lambda item: (order.index(Verdict(item[1]["verdict"])), item[0])
        ):
            tests = "  ".join(_test_text(method, test) for method, test in column["tests"].items())
            yield f"{column['verdict'].replace('_', ' '):<8} {name}  n={column['rows']}  {tests}"
        yield from (f"untested {name}: {why}" for name, why in figures["untested"].items())


def _test_text(method: str, test: Mapping[str, Any]) -> str:
    if test["p_adjusted"] is None:
        return f"{method} (too few rows)"
    return f"{method} {test['effect']:.3f} (margin {test['margin']:g}, p {test['p_adjusted']:.2g})"
