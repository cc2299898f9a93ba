"""A decision that was made by figures: what was asked, of what, by which rule and code, and what came out.

The ledger of decisions (`mlctl.files.decisions`) keeps each with all that it was made of, so that `mlctl replay` can make it
again and show that it comes out the same, to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mlctl.types.value import Json, digest

# a check is one that somebody had made: parity, a kill test, a reproduction; its name is in `inputs`
KINDS = ("experiment", "monitor", "retrain", "rollout", "gate", "check")


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision. `at` is ISO 8601 in UTC; `inputs` are what it was made of, as JSON, or the names of files kept beside it."""

    kind: str  # one of KINDS
    address: str
    verdict: str  # ship, stop, continue, invalid; alarm, ok, no_data; promoted, rolled back, held; trained, skipped ...
    rule: str  # the rule that gave the verdict, in words
    at: str
    inputs: Mapping[str, Json] = field(default_factory=dict)
    files: tuple[str, ...] = ()  # kept in the decision's own folder
    outputs: Mapping[str, Json] = field(default_factory=dict)
    seed: int | None = None
    code: str = ""  # mlctl's version and the digest of the modules that decide
    cause: str = ""  # the id of the decision that led to this one: an alarm to its retraining, that to its rollout
    by: str = ""  # who asked: a person, cron, the controller

    @property
    def id(self) -> str:
        """Named by time and content, so that names sort by age and a repeated one is the same."""
        stamp = self.at.replace(":", "").replace("-", "").replace("+0000", "Z").partition(".")[0].removesuffix("Z")
        return f"{stamp}Z-{digest(self.to_json())[:10]}"

    def to_json(self) -> dict[str, Any]:
        """The stored form."""
        return {**asdict(self), "files": list(self.files)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Decision:
        """Read the stored form. Raises TypeError, KeyError or ValueError when it is not one."""
        known = {name: stored[name] for name in cls.__slots__ if name in stored}
        if known["kind"] not in KINDS:
            raise ValueError(f"unknown kind of decision: {known['kind']}")
        return cls(**{**known, "files": tuple(stored.get("files", ()))})
