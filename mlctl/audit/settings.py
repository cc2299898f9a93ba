"""The project's `audit` block: what is let pass for now, and what people vouch for because no figure shows it."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, model_validator

from mlctl.provider import Block

Written = Annotated[str, Field(min_length=1)]
PatternId = Literal["A1", "A2", "A3", "A4", "A5", "A6", "A7", "A8", "A9", "A10"]
# The checks of the ML Test Score, each of which people may vouch for.
CheckName = Literal[
    "schema", "feature-benefit", "feature-cost", "meta-rules", "privacy", "feature-lead-time", "feature-tests",
    "reviewed", "online-metrics", "tuned", "staleness", "simpler-model", "slices", "inclusion",
    "reproducible", "unit-tests", "integration-test", "quality-gate", "debugging", "canary", "rollback",
    "upstream-changes", "invariants", "skew", "age", "stability", "performance", "quality",
]  # fmt: skip


class Waiver(Block):
    """Somebody's decision that an anti-pattern does not count until a day. When the day is over, that is an error."""

    id: PatternId
    address: Annotated[str, Field(min_length=1, description="A pattern, for example `deployments.*`")] = "*"
    until: date
    by: Written
    why: Written


class Attestation(Block):
    """What somebody did by hand and vouches for: it counts half of what the same thing counts when it is automatic."""

    check: Annotated[CheckName, Field(description="A check of `mlctl maturity`")]
    by: Written
    on: date
    until: date
    evidence: Annotated[str, Field(min_length=1, description="Where it is written down")]

    @model_validator(mode="after")
    def _lasts(self) -> Attestation:
        if self.until <= self.on:
            raise ValueError("`until` is not after `on`: it would never count")
        return self


class AuditSettings(Block):
    """`audit: {waive: [...], attest: [...]}`."""

    waive: Annotated[list[Waiver], Field(default_factory=list)]
    attest: Annotated[list[Attestation], Field(default_factory=list)]
