"""What a gate says at a look: pass, fail, or inconclusive and why. Its memory outlives the process that asks.

A version is blamed when one of the bounds is shown to be broken; that a good one is blamed by any of them, at any look, has
a chance of `alpha` at most. It passes when there are `min_requests`, each measured value keeps its bound, and for each the
harm that is worth speaking of is excluded (`mlctl.rollout.trial`). Anything else is inconclusive, however long it lasts:
no request, requests of one side only, too few, values that are not numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlctl.rollout.bounds import needs_baseline
from mlctl.rollout.evidence import Counts
from mlctl.rollout.trial import Sides
from mlctl.rollout.trials import trials
from mlctl.rollout.verdict import Finding, Says, Verdict
from mlctl.types.jobs.rollout import GateRule
from mlctl.types.spoken import spoken_seconds

_LONGEST_LOOK = 3.0  # intervals: a machine that slept has not seen that nobody came


class Judge:
    """A gate in one step of a rollout. `Judge(rule, memory)` goes on where another one stopped."""

    def __init__(self, rule: GateRule, memory: Mapping[str, Any] | None = None) -> None:
        self._rule = rule
        self._trials = trials(rule)
        kept = memory or {}
        for trial in self._trials:
            if trial.key in kept.get("trials", {}):
                trial.remember(kept["trials"][trial.key])
        self._requests = int(kept.get("requests", 0))
        self._looked: float | None = kept.get("looked")
        self._silent = float(kept.get("silent_seconds", 0.0))

    def look(self, candidate: Counts, baseline: Counts | None, now: float) -> Verdict:
        """Judge by what was counted of both since the step began, at the same time. `now` is any clock that goes on."""
        self._listen(candidate, now)
        sides = Sides(candidate, baseline)
        findings = tuple(trial.look(sides) for trial in self._trials)
        says, why = self._together(findings, candidate, baseline)
        return Verdict(says, why, findings, candidate.requests, 0 if baseline is None else baseline.requests)

    def memory(self) -> dict[str, Any]:
        """What the next judge has to know, as JSON: the looks so far, and what they gave out of alpha."""
        return {
            "trials": {trial.key: trial.memory() for trial in self._trials},
            "requests": self._requests,
            "looked": self._looked,
            "silent_seconds": self._silent,
        }

    def _listen(self, candidate: Counts, now: float) -> None:
        """Note for how long nobody has come."""
        if candidate.requests != self._requests:
            self._silent = 0.0
        elif self._looked is not None:
            passed = max(0.0, now - self._looked)
            self._silent += min(passed, _LONGEST_LOOK * self._rule.interval_seconds)
        self._requests, self._looked = candidate.requests, now

    def _together(self, findings: tuple[Finding, ...], candidate: Counts, baseline: Counts | None) -> tuple[Says, str]:
        """The worst of the findings, and the reasons for it."""
        failed = [finding for finding in findings if finding.says is Says.FAIL]
        if failed:
            return Says.FAIL, "; ".join(finding.why for finding in failed)
        if self._silent >= self._rule.no_data_seconds and self._rule.on_no_data == "fail":
            return Says.FAIL, f"no request came for {spoken_seconds(self._silent)}, and `on_no_data` is `fail`"
        if not candidate.requests:
            return Says.INCONCLUSIVE, "no request came to the candidate yet; no data never passes"
        if baseline is not None and not baseline.requests and self._compares():
            return Says.INCONCLUSIVE, "no request came to the baseline yet: a comparison needs both sides"
        fewest = (
            candidate.requests
            if not self._compares() or baseline is None
            else min(candidate.requests, baseline.requests)
        )
        waiting = [finding for finding in findings if finding.says is Says.INCONCLUSIVE]
        if waiting:
            return Says.INCONCLUSIVE, "; ".join(finding.why for finding in waiting)
        if fewest < self._rule.min_requests:
            return Says.INCONCLUSIVE, f"{fewest:,} of the {self._rule.min_requests:,} requests that each side needs"
        return Says.PASS, "; ".join(finding.why for finding in findings)

    def _compares(self) -> bool:
        return any(needs_baseline(trial.metric, trial.kind) for trial in self._trials)
