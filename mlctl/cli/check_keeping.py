"""Checks that somebody has made, such as a kill test, go into the ledger of decisions: an audit asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from mlctl import __version__
from mlctl.engine.provenance import who
from mlctl.files import decisions
from mlctl.types.decision import Decision
from mlctl.types.value import Json


def keep_check(
    home: Path, address: str, what: str, *, passed: bool, rule: str, outputs: Mapping[str, Json] | None = None
) -> str:
    """Keep one check of a resource; `what` is its name, `rule` what it held against what. Gives the decision's id."""
    made = Decision(
        kind="check",
        address=address,
        verdict="passed" if passed else "failed",
        rule=rule,
        at=datetime.now(UTC).isoformat(),
        inputs={"check": what},
        outputs=dict(outputs or {}),
        code=f"mlctl {__version__}",
        by=who(),
    )
    return decisions.keep(home, made)
