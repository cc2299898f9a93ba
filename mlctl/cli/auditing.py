"""What `mlctl audit` and `mlctl maturity` look at."""

from __future__ import annotations

from datetime import UTC, datetime

from mlctl.audit.case import Case
from mlctl.files import decisions
from mlctl.workspace import Workspace


def case_of(workspace: Workspace) -> Case:
    """The project as it is written, its state as it is now, and its ledger. Raises MlctlError for a project that is not valid."""
    project = workspace.project
    return Case(
        project=project,
        records=workspace.records(),
        decisions=tuple(decisions.kept(workspace.home)),
        root=workspace.root,
        now=datetime.now(UTC),
    )
