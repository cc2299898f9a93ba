"""mlctl state: look into the state, and mend it by hand."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from mlctl.cli import surgery
from mlctl.cli.options import AsJson, AutoApprove, LockTimeout, Parallelism, emit_json, make_group
from mlctl.cli.project import in_project
from mlctl.engine.store import format
from mlctl.engine.store.surgery import compare, found, matching
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.state import State
from mlctl.views.human import diagnostics as human_diagnostics
from mlctl.views.human import state as human
from mlctl.views.human.style import wants_color, width
from mlctl.views.json import diagnostics as json_diagnostics
from mlctl.views.json import state as json_view
from mlctl.views.json.text import escaped
from mlctl.workspace import Workspace

app = make_group(
    "Look into the state, and mend it by hand: move or forget objects, go back, check it.\n\n"
    "Examples:\n\n  mlctl state list\n\n  mlctl state mv training.churn training.churn_eu\n\n  mlctl state undo"
)


@app.command(
    "list",
    help="List the objects in the state, one a line: `section.name#identity`. Kept older builds are among them.\n\n"
    "Examples:\n\n  mlctl state list\n\n  mlctl state list 'training.*'",
)
@in_project
def list_(
    workspace: Workspace,
    pattern: Annotated[
        str, typer.Argument(help="Only these: an address, a key, or a pattern with `*` and `?`.", show_default="all")
    ] = "*",
    as_json: AsJson = False,
) -> int:
    """Print every key."""
    for record in matching(workspace.ledger(), pattern):
        if as_json:
            emit_json(
                {"type": "object", "key": str(record.key), "pending": record.pending, "sequence": record.sequence}
            )
        else:
            print(human.line(record))
    return ExitCode.OK


@app.command(
    "show",
    help="Print an object as it is stored.\n\n"
    "Examples:\n\n  mlctl state show training.churn   # the one made or chosen last\n\n  mlctl state show 'training.churn#0f3a9c51d2e44b70'",
)
@in_project
def show(
    workspace: Workspace,
    key: Annotated[str, typer.Argument(metavar="ADDRESS|KEY", help="As `mlctl state list` prints it.")],
    as_json: AsJson = False,
) -> int:
    """Print one record as JSON."""
    record = max(found(workspace.ledger(), key), key=lambda item: item.sequence)
    if as_json:
        emit_json({"type": "object", "key": str(record.key), **record.to_json()})
    else:
        print(escaped(json.dumps(record.to_json(), indent=2, ensure_ascii=False)))
    return ExitCode.OK


@app.command(
    "pull",
    help="Print the whole state as JSON, as `mlctl state push` takes it.\n\n"
    "Examples:\n\n  mlctl state pull > backup.json\n\n  mlctl -e prod state pull --json | jq .serial",
)
@in_project
def pull(workspace: Workspace, as_json: AsJson = False) -> int:
    """Print the state."""
    value = format.to_json(workspace.store.read())
    print(escaped(json.dumps(value, ensure_ascii=False, indent=None if as_json else 1)))
    return ExitCode.OK


@app.command(
    "log",
    help="List the generations of the state that are kept: when, who, doing what, and how much changed.\n\nExamples:\n\n  mlctl state log",
)
@in_project
def log(workspace: Workspace, as_json: AsJson = False) -> int:
    """Print the generations, the newest first."""
    generations = workspace.store.generations()
    if as_json:
        for item in generations:
            emit_json(json_view.generation(item))
    else:
        print("\n".join(human.log(generations)) or "Nothing was written yet.")
    return ExitCode.OK


@app.command(
    "diff",
    help="Compare two generations of the state, or one with the present state.\n\n"
    "Examples:\n\n  mlctl state diff 7\n\n  mlctl state diff 5 7 --json",
)
@in_project
def diff(
    workspace: Workspace,
    before: Annotated[int, typer.Argument(metavar="A", help="The serial of a generation, see `mlctl state log`.")],
    after: Annotated[
        int | None, typer.Argument(metavar="B", help="Another one.", show_default="the present state")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Print what differs."""
    store = workspace.store
    old: State = store.generation(before)
    new = store.read() if after is None else store.generation(after)
    differences = compare(old, new)
    if as_json:
        for item in differences:
            emit_json(json_view.difference(item))
    else:
        print("\n".join(human.differences(differences, color=wants_color(sys.stdout))) or "No differences.")
    return ExitCode.OK


@app.command(
    "fsck",
    help="Check that the state is whole: its files, its journal, its generations, and what its records say of each other.\n\n"
    "Exits with 1 when something is wrong and was not mended. Objects are never removed.\n\n"
    "Examples:\n\n  mlctl state fsck\n\n  mlctl state fsck --repair\n\n  mlctl state fsck --repair --auto-approve",
)
@in_project
def fsck(
    workspace: Workspace,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend file modes, remove temporary files, set damaged journals aside.")
    ] = False,
    auto_approve: AutoApprove = False,
    as_json: AsJson = False,
) -> int:
    """Print what was found, and ask before anything of it is mended."""
    from mlctl.engine.store.fsck import check

    if auto_approve and not repair:
        raise MlctlError.of(
            "cli.usage", "`--auto-approve` needs `--repair`", "nothing else here is asked", "leave it out"
        )
    findings = check(workspace.store, workspace.home, surgery.is_build(workspace))
    if repair:
        mendable = [item.problem for item in findings if item.mendable]
        for problem in mendable if not as_json else ():
            print(f"~ {problem.summary}")
        if mendable and not surgery.approved(f"Mend {surgery.objects(len(mendable), 'file')}?", auto_approve, as_json):
            return ExitCode.ERROR
        findings = check(workspace.store, workspace.home, surgery.is_build(workspace), repair=True)
    left = [item for item in findings if not item.mended]
    if as_json:
        for item in findings:
            emit_json({**json_diagnostics.to_json(item.problem), "mended": item.mended})
        emit_json({"type": "fsck_summary", "found": len(findings), "mended": len(findings) - len(left)})
    else:
        sys.stderr.write(
            human_diagnostics.render((it.problem for it in left), color=wants_color(sys.stderr), width=width())
        )
        for item in findings:
            if item.mended:
                print(f"mended: {item.problem.summary}")
        print(human.checked(len(left), workspace.store.location))
    return ExitCode.ERROR if left else ExitCode.OK


app.command("mv", help=surgery.MV_HELP)(surgery.mv)
app.command("rm", help=surgery.RM_HELP)(surgery.rm)
app.command("push", help=surgery.PUSH_HELP)(surgery.push)
app.command("undo", help=surgery.UNDO_HELP)(surgery.undo)
app.command("rename-project", help=surgery.RENAME_HELP)(surgery.rename_project)


@app.command(
    "import",
    help="The same as `mlctl import`: take over an object that exists already.\n\n"
    "Examples:\n\n  mlctl state import training.churn models:/churn/3",
)
@in_project
def import_(
    workspace: Workspace,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="The resource in the project file.")],
    id: Annotated[str, typer.Argument(metavar="ID", help="What the tool calls the object.")],
    lock_timeout: LockTimeout = "0s",
    auto_approve: AutoApprove = False,
    parallelism: Parallelism = 4,
    as_json: AsJson = False,
) -> int:
    """Hand on to the command of this name."""
    from mlctl.cli.commands.import_ import take_over  # plans and applies, which nothing else here does

    return take_over(workspace, address, id, lock_timeout, auto_approve, parallelism, as_json)
