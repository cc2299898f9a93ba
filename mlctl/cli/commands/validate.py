"""mlctl validate: check the project files offline."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated

import typer

from mlctl.cli.options import AsJson, emit_json, make_app, one_of
from mlctl.cli.project import in_project
from mlctl.spec.project import Project
from mlctl.spec.reading import displayed
from mlctl.types.diagnostic import Diagnostic, ExitCode, MlctlError
from mlctl.workspace import Workspace

app = make_app()


@app.command(
    help="Check the project files offline and report every problem at once. Needs no tool and touches nothing. "
    "Without `--env`, all declared environments are checked.\n\n"
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
    for found in valid:
        where = f" in {found.environment}" if len(workspace.declared) > 1 else ""
        count = len(found.resources)
        if as_json:
            facts = {"project": found.name, "environment": found.environment, "resources": count}
            emit_json({"type": "valid", **facts})
        else:
            print(f"{found.name}: {count} resource{'' if count == 1 else 's'}{where}, no problems")
    return 0


def checked(workspace: Workspace) -> list[Project]:
    """The project in the environment that was chosen or, when none was, in all that it declares. Raises MlctlError."""
    if workspace.chosen.environment is not None or len(workspace.declared) == 1:
        return [workspace.project]
    valid: list[Project] = []
    problems: dict[Diagnostic, None] = {}
    for name in workspace.declared:
        inside = Workspace(workspace.root, workspace.file, replace(workspace.chosen, environment=name))
        try:
            valid.append(inside.project)
        except MlctlError as error:
            problems.update(dict.fromkeys(error.diagnostics))  # what all of them have is told once
    if problems:
        raise MlctlError(list(problems))
    return valid


def _sarif(workspace: Workspace) -> int:
    """Print a log of every problem; the exit code is what it is without `--sarif`."""
    from mlctl.views.sarif import render

    log, code = render([]), ExitCode.OK
    try:
        checked(workspace)
        workspace.digests.save()
    except MlctlError as error:
        file = displayed(workspace.main)
        log, code = render(error.diagnostics, file), error.exit_code
    print(json.dumps(log, indent=2, ensure_ascii=False))
    return code
