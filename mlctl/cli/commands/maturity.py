"""mlctl maturity: where this project stands on the field's scales, and the first thing that keeps it from the next level."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mlctl.cli.options import AsJson, emit_json, make_app
from mlctl.cli.project import in_project
from mlctl.types.diagnostic import ExitCode
from mlctl.views.human.style import wants_color
from mlctl.workspace import Workspace

app = make_app()


@app.command(
    help="Print Google's (0 to 2) and Microsoft's (0 to 4) level of MLOps maturity and the ML Test Score, from evidence: what the "
    "project says, what was made, and what was decided and drilled. Of each scale, the first failing check is named with its "
    "command.\n\n"
    "What no figure shows can be vouched for: `audit: {attest: [{check: slices, by: WHO, on: DAY, until: DAY, evidence: WHERE}]}` "
    "counts half.\n\n"
    "Examples:\n\n  mlctl maturity\n\n  mlctl maturity --full\n\n  mlctl maturity --json"
)
@in_project
def maturity(
    workspace: Workspace,
    full: Annotated[bool, typer.Option("--full", help="Each of the 28 tests, with its evidence.")] = False,
    as_json: AsJson = False,
) -> int:
    """Look at everything, tell it."""
    from mlctl.audit.maturity.levels import SCALES, reached
    from mlctl.audit.maturity.score import score
    from mlctl.cli.auditing import case_of

    case = case_of(workspace)
    scales, points = [reached(case, name) for name in SCALES], score(case)
    if as_json:
        from mlctl.views.json.audit import maturity_line

        emit_json(maturity_line(scales, points))
    else:
        from mlctl.views.human.audit import maturity_text

        print(maturity_text(scales, points, color=wants_color(sys.stdout), full=full), end="")
    return ExitCode.OK
