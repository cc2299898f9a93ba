"""mlctl audit: the ten anti-patterns of machine learning in production, looked for in this project."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from mlctl.cli.options import AsJson, emit_json, make_app, one_of
from mlctl.cli.project import in_project
from mlctl.spec.reading import displayed
from mlctl.types.diagnostic import ExitCode
from mlctl.views.human.style import wants_color
from mlctl.workspace import Workspace

app = make_app()


@app.command(
    help="Look for ten anti-patterns of machine learning in production: notebook-only deploys, features computed twice, deploys "
    "without an eval set, no drift monitoring, single-metric experiments, hardware by feel, spot without checkpoints, big-bang "
    "deploys, observability later, nobody's job. Each finding has its evidence, from project, state and ledger, and what mends it. "
    "No tool is asked.\n\n"
    "Exit 1 on an error. Waivers, with an end, stand in the project: `audit: {waive: [{id: A8, until: 2027-01-31, by: WHO, "
    "why: ...}]}`.\n\n"
    "Examples:\n\n  mlctl audit\n\n  mlctl audit --strict --sarif > audit.sarif\n\n  mlctl audit --json"
)
@in_project
def audit(
    workspace: Workspace,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 on a warning too.")] = False,
    as_sarif: Annotated[bool, typer.Option("--sarif", help="A SARIF 2.1.0 log, as code hosts read it.")] = False,
    as_json: AsJson = False,
) -> int:
    """Make the audit, tell it."""
    from mlctl.audit.report import audit as make
    from mlctl.audit.report import diagnostics
    from mlctl.cli.auditing import case_of

    one_of({"--json": as_json, "--sarif": as_sarif})
    case = case_of(workspace)
    made = make(case)
    placed = dict(zip(made.findings, diagnostics(made, case), strict=True))
    if as_sarif:
        from mlctl.views.sarif import render

        waived = {index: item.waived for index, item in enumerate(placed) if item.waived}
        found = render(list(placed.values()), displayed(workspace.main), waived)
        print(json.dumps(found, indent=2, ensure_ascii=False))
    elif as_json:
        from mlctl.views.json.audit import finding_line, summary_line

        for finding, diagnostic in placed.items():
            emit_json(finding_line(finding, diagnostic))
        emit_json(summary_line(made))
    else:
        from mlctl.views.human.audit import audit_text

        places = {finding: str(item.where) for finding, item in placed.items() if item.where is not None}
        print(audit_text(made, places, color=wants_color(sys.stdout)), end="")
    return ExitCode.ERROR if made.errors or (strict and made.warnings) else ExitCode.OK
