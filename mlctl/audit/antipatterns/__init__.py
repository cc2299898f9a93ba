"""The ten anti-patterns, each decided from spec, state and ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mlctl.audit.antipatterns import (
    code,
    drift,
    evaluation,
    experiments,
    features,
    hardware,
    observability,
    ownership,
    rollout,
    spot,
)
from mlctl.audit.case import Case
from mlctl.audit.finding import Finding, Pattern

CHECKS: tuple[tuple[Pattern, Callable[[Case], Iterable[Finding]]], ...] = tuple(
    (module.PATTERN, module.check)
    for module in (
        code,
        features,
        evaluation,
        drift,
        experiments,
        hardware,
        spot,
        rollout,
        observability,
        ownership,
    )
)
