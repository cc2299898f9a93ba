"""mlctl validate: check the project files offline."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import typer

from mlctl.cli.options import AsJson, emit_json, make_app, one_of
from mlctl.cli.project import in_project
from mlctl.spec.reading import displayed
from mlctl.types.diagnostic import Diagnostic, ExitCode, MlctlError
from mlctl.views.human import diagnostics as human_diagnostics
from mlctl.views.human.style import wants_color, width
from mlctl.views.json import diagnostics as json_diagnostics
from mlctl.workspace import Workspace

app = make_app()


@app.command(
    help="Check the project files offline and report every problem at once. Needs no tool and touches nothing. "
    "Without `--env`, all declared environments are checked. A secret that is not set is a warning here.\n\n"
    "Examples:\n\n  mlctl validate\n\n  mlctl -C specs/quickstart validate --json\n\n"
    "  mlctl validate --sarif > mlctl.sarif"
)
@in_project
def validate(
    workspace: Workspace,
    as_json: AsJson = False,
    as_sarif: Annotated[
        bool, typer.Option("--sarif", help="A SARIF 2.1.0 log, as code hosts read it, problems or none.")
    ] = False,
) -> int:
    """Load the project; problems leave as MlctlError."""
    one_of({"--json": as_json, "--sarif": as_sarif})
    if as_sarif:
        return _sarif(workspace)
    valid = checked(workspace)
    workspace.digests.save()
    if as_json:
        for item in _warnings(valid):
            emit_json(json_diagnostics.to_json(item))
    else:
        sys.stderr.write(human_diagnostics.render(_warnings(valid), color=wants_color(sys.stderr), width=width()))
    for inside in valid:
        found, noticed = inside.project, len(inside.noticed)
        where = f" in {found.environment}" if len(workspace.declared) > 1 else ""
        count = len(found.resources)
        if as_json:
            facts = {"project": found.name, "environment": found.environment, "resources": count}
            emit_json({"type": "valid", **facts})
        else:
            said = f"{noticed} warning{'' if noticed == 1 else 's'}" if noticed else "no problems"
            print(f"{found.name}: {count} resource{'' if count == 1 else 's'}{where}, {said}")
    return 0


def checked(workspace: Workspace) -> list[Workspace]:
    """The project in the environment that was chosen or, when none was, in all that it declares. Raises MlctlError."""
    workspace.secretless = True  # who checks a request from a fork has none, and is to have none
    each = [workspace]
    if workspace.chosen.environment is None and len(workspace.declared) > 1:
        chosen = (replace(workspace.chosen, environment=name) for name in workspace.declared)
        each = [Workspace(workspace.root, workspace.file, item, secretless=True) for item in chosen]
    problems: dict[Diagnostic, None] = {}
    for inside in each:
        try:
            _ = inside.project
        except MlctlError as error:
            problems.update(dict.fromkeys(error.diagnostics))  # what all of them have is told once
    if problems:
        raise MlctlError(list(problems))
    return each


def _warnings(valid: Sequence[Workspace]) -> list[Diagnostic]:
    """What was noticed in any of the environments, each once."""
    return list(dict.fromkeys(item for inside in valid for item in inside.noticed))


def _sarif(workspace: Workspace) -> int:
    """Print a log of every problem; the exit code is what it is without `--sarif`."""
    from mlctl.views.sarif import render

    file = displayed(workspace.main)
    try:
        log, code = render(_warnings(checked(workspace)), file), ExitCode.OK
        workspace.digests.save()
    except MlctlError as error:
        log, code = render(error.diagnostics, file), error.exit_code
    print(json.dumps(log, indent=2, ensure_ascii=False))
    return code
