"""mlctl validate: check the project files offline."""

from __future__ import annotations

from mlctl.cli.options import DEFAULT_DIR, AsJson, ProjectDir, ProjectFile, emit_json, make_app, open_workspace

app = make_app()


@app.command(
    help="Check the project files offline and report every problem at once. Needs no tool and touches nothing.\n\n"
    "Examples:\n\n  mlctl validate\n\n  mlctl -C specs/quickstart validate --json"
)
def validate(project: ProjectDir = DEFAULT_DIR, file: ProjectFile = None, as_json: AsJson = False) -> int:
    """Load the project; problems leave as MlctlError."""
    workspace = open_workspace(project, file)
    found = workspace.project
    workspace.digests.save()
    if as_json:
        emit_json({"type": "valid", "project": found.name, "resources": len(found.resources)})
    else:
        count = len(found.resources)
        print(f"{found.name}: {count} resource{'' if count == 1 else 's'}, no problems")
    return 0
