"""A8: a new version takes all requests at once."""

from __future__ import annotations

from collections.abc import Iterator

from mlctl.audit.case import Case, Subject
from mlctl.audit.finding import Finding, Pattern
from mlctl.types.diagnostic import Severity

PATTERN = Pattern("A8", "big-bang deploy", "whatever is wrong with a version hits everybody")
_GRADUAL = ("canary", "blue_green", "shadow", "ab", "bandit")


def check(case: Case) -> Iterator[Finding]:
    """A strategy with a gate in front of each deployment, and a way back that was tried."""
    for deployment in case.all("deployments"):
        strategy = next((name for name in _GRADUAL if deployment.get(f"rollout.{name}")), None)
        if strategy is None:
            yield _at_once(deployment)
        else:
            yield from _ungated(deployment, strategy)
            yield from _way_back(case, deployment)


def _at_once(deployment: Subject) -> Finding:
    """An error once there is a version to lose; the first one has nobody to hurt yet."""
    version = deployment.output("version")
    replaced = isinstance(version, str) and version.isdigit() and int(version) > 1
    return Finding(
        PATTERN,
        Severity.ERROR if replaced else Severity.WARNING,
        f"a new version of {deployment.address} takes all requests at once",
        (
            f"{deployment.address} rollout: {'all_at_once' if deployment.get('rollout') else 'none'}",
            *([f"{deployment.evidence}: version {version}"] if version else []),
        ),
        "add `rollout: {canary: {steps: [{weight: 10, gate: guard}, {weight: 50, gate: guard}]}}` and "
        "`gates: {guard: {compare: baseline, metrics: [{name: error_rate, margin: 0.002}]}}`",
        deployment.address,
        ("rollout",) if deployment.get("rollout") else (),
    )


def _ungated(deployment: Subject, strategy: str) -> Iterator[Finding]:
    block = deployment.get(f"rollout.{strategy}") or {}
    steps = block.get("steps") or [block]
    gated = any(step.get(name) for step in steps for name in ("gate", "pre", "post"))
    if strategy in ("canary", "blue_green", "shadow") and not gated:
        yield Finding(
            PATTERN,
            Severity.ERROR,
            f"no gate looks at a new version of {deployment.address} while it takes over",
            (f"{deployment.address} rollout.{strategy}: no gate",),
            "name a gate in a step: without one, a rollout is a big bang in slow motion",
            deployment.address,
            ("rollout", strategy),
        )


def _way_back(case: Case, deployment: Subject) -> Iterator[Finding]:
    if deployment.record is None or case.last("rollout", deployment.address, "undone", "rolled back") is not None:
        return
    yield Finding(
        PATTERN,
        Severity.WARNING,
        f"the way back of {deployment.address} was never tried",
        ("decisions of kind rollout with `undone` or `rolled back`: none",),
        f"mlctl rollout undo {deployment.address.name}, on a quiet day",
        deployment.address,
    )
