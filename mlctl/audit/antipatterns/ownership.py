"""A10: the model is the business of one team, or of none, and nobody is called when it fails."""

from __future__ import annotations

from collections.abc import Iterator

from mlctl.audit.case import Case
from mlctl.audit.finding import Finding, Pattern
from mlctl.types.diagnostic import Severity

PATTERN = Pattern("A10", "ML team's job only", "when it fails at night, nobody knows whose it is or what to do")
_RUNBOOK = "runbook"


def check(case: Case) -> Iterator[Finding]:
    """An owner and somebody on call for what is served, and a runbook that is there."""
    deployments = case.all("deployments")
    if deployments and not case.project.owner.on_call:
        yield Finding(
            PATTERN,
            Severity.ERROR,
            "nobody is called when a deployment fails",
            ("owner.on_call: none",),
            "add `owner: {team: TEAM, on_call: WHOM}` to the project",
        )
    for deployment in deployments:
        if not deployment.get("owner"):
            yield Finding(
                PATTERN,
                Severity.ERROR,
                f"{deployment.address} belongs to nobody",
                (f"{deployment.address} owner: none", "owner.team: none"),
                "add `owner: {team: TEAM, on_call: WHOM}` to the project, or `owner` to the deployment",
                deployment.address,
            )
        runbook = deployment.get("tags").get(_RUNBOOK)
        there = runbook is not None and ("://" in runbook or (case.root / runbook).is_file())
        if not there:
            yield Finding(
                PATTERN,
                Severity.WARNING,
                f"{deployment.address} has no runbook"
                if runbook is None
                else f"the runbook of {deployment.address} is not there",
                (f"{deployment.address} tags.{_RUNBOOK}: {runbook or 'none'}",),
                f"write down what to do when it fails, and add `tags: {{{_RUNBOOK}: docs/runbook.md}}`",
                deployment.address,
                ("tags", _RUNBOOK) if runbook is not None else (),
            )
