"""A2: features are computed twice, once to train and once to serve, and differ without anybody seeing it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mlctl.audit.case import Case, Subject, live
from mlctl.audit.finding import Finding, Pattern
from mlctl.types.diagnostic import Severity

PATTERN = Pattern(
    "A2", "split feature computation", "the model sees other values than it learnt from (training/serving skew)"
)
_FRESH_DAYS = 7


def check(case: Case) -> Iterator[Finding]:
    """One definition feeds both sides, and somebody compares them."""
    for deployment in live(case):
        for training in case.trainings(deployment):
            yield from _computed_by_callers(deployment, training)
        if any(case.uses(training, "feature_views") for training in case.trainings(deployment)):
            yield from _compared(case, deployment)
    yield from _defined_twice(case)


def _computed_by_callers(deployment: Subject, training: Subject) -> Iterator[Finding]:
    table = training.get("data.target") is not None
    if table and not training.get("data.features") and training.get("data.service") is None:
        yield Finding(
            PATTERN,
            Severity.WARNING,
            f"whoever asks {deployment.address} has to compute its features",
            (f"{training.address} data.features: none",),
            "define them once in `feature_views`, and name the views in `data.features`",
            training.address,
            ("data",),
        )


def _compared(case: Case, deployment: Subject) -> Iterator[Finding]:
    made = case.checked(deployment.address, "parity")
    command = f"mlctl features parity --deployment {deployment.address.name}"
    if made is not None and made.verdict != "passed":
        yield Finding(
            PATTERN,
            Severity.ERROR,
            f"{deployment.address} serves other features than training reads",
            (f"decision {made.id}: {made.rule}",),
            f"mlctl features materialize, then {command}",
            deployment.address,
        )
    elif deployment.get("require.feature_parity") is None and (made is None or case.days_since(made.at) > _FRESH_DAYS):
        seen = "never" if made is None else f"last on {made.at[:10]}"
        yield Finding(
            PATTERN,
            Severity.WARNING,
            f"nobody compared what {deployment.address} was served with what training reads in {_FRESH_DAYS} days",
            (f"parity of its log: {seen}", f"{deployment.address} require.feature_parity: none"),
            f"{command}; or `require: {{feature_parity: {{}}}}` in the deployment, which does it before each release",
            deployment.address,
        )


def _defined_twice(case: Case) -> Iterator[Finding]:
    known: dict[str, tuple[Subject, Mapping[str, Any]]] = {}
    for view in case.all("feature_views"):
        for name, definition in (view.get("features") or {}).items():
            first, other = known.setdefault(name, (view, definition))
            if first is not view and (other != definition or first.get("source") != view.get("source")):
                yield Finding(
                    PATTERN,
                    Severity.WARNING,
                    f"`{name}` means one thing in {first.address} and another in {view.address}",
                    (f"{first.address} features.{name}", f"{view.address} features.{name}"),
                    "give the two different names",
                    view.address,
                    ("features", name),
                )
