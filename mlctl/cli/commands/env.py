"""mlctl env: environments: list, show, new, delete."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from mlctl.cli.options import AsJson, AutoApprove, again, confirm, emit_json, make_group
from mlctl.cli.project import in_project
from mlctl.files import atomic
from mlctl.spec.environments import HOME, ad_hoc_base, ad_hoc_names, ad_hoc_path, misnamed
from mlctl.spec.suggest import shown
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.types.secret import HIDDEN
from mlctl.views.human.style import columns
from mlctl.views.human.text import safe
from mlctl.workspace import Workspace

app = make_group(
    "Look at environments, and make one for a while, such as for a change request.\n\n"
    "Examples:\n\n  mlctl env list\n\n  mlctl env new pr-7 --from dev && mlctl -e pr-7 apply"
)
Name = Annotated[str, typer.Argument(help="The environment.")]


@app.command(
    "list",
    help="List the environments: the declared ones, and those made for a while. `*` marks the one that commands work on.\n\n"
    "Examples:\n\n  mlctl env list\n\n  mlctl env list --json | jq -r .name",
)
@in_project
def list_(workspace: Workspace, as_json: AsJson = False) -> int:
    """One line for each."""
    try:
        current = workspace.environment
    except MlctlError as error:
        if error.diagnostics[0].code != "env.unchosen":
            raise
        current = ""  # several are declared and none is chosen: all are listed, none is marked
    rows: list[list[str]] = []
    for name in _names(workspace):
        inside = _of(workspace, name)
        backend = inside.heading.backend
        state = inside.store.read()
        declared = inside.heading.environment.declared
        facts: dict[str, Any] = {
            "name": name, "declared": declared, "from": None if declared else inside.heading.environment.base,
            "backend": backend.backend, "objects": len(state.objects), "serial": state.serial, "current": name == current,
        }  # fmt: skip
        if as_json:
            emit_json({"type": "environment", **facts})
        origin = "declared" if declared else f"from {facts['from']}"
        count = f"{facts['objects']} object{'' if facts['objects'] == 1 else 's'}"
        rows.append(["*" if name == current else " ", name, origin, backend.backend, count, f"serial {state.serial}"])
    if not as_json:
        print(*columns(rows), sep="\n")
    return 0


@app.command(
    "show",
    help="Show one environment: the values of its variables, what it changes, and where its state is.\n\n"
    "Examples:\n\n  mlctl env show prod\n\n  mlctl env show prod --json | jq .variables",
)
@in_project
def show(
    workspace: Workspace,
    name: Annotated[str | None, typer.Argument(help="The environment.", show_default="the current one")] = None,
    as_json: AsJson = False,
) -> int:
    """Print it; the values of secrets are not shown."""
    inside = workspace if name is None else _of(workspace, name)
    environment, project = inside.heading.environment, inside.loaded
    secret = {*project.secrets.values, *project.unset}
    variables = {**project.values, **{label.removeprefix("var."): HIDDEN for label in sorted(secret)}}
    facts: dict[str, Any] = {
        "name": environment.name,
        "declared": environment.declared,
        "from": None if environment.declared else environment.base,
        "variables": dict(sorted(variables.items())),
        "not_set": sorted(project.unset),
        "changes": _changed(environment.overlay),
        "state": inside.heading.backend.model_dump(exclude_none=True),
        "location": inside.store.location,
    }
    if as_json:
        emit_json({"type": "environment", **facts})
        return 0
    print(f"{environment.name}" + ("" if environment.declared else f", made from {environment.base}"))
    print(f"state: {safe(facts['location'])}")
    for title, lines in (
        ("variables", [f"{label}: {_written(value)}" for label, value in facts["variables"].items()]),
        ("not set", facts["not_set"]),
        ("changes", facts["changes"]),
    ):
        if lines:
            print(f"{title}:", *(f"  {safe(line)}" for line in lines), sep="\n")
    return 0


@app.command(
    "new",
    help="Make an environment that no project file declares, for a pull request or an experiment: it takes the overlay and the "
    "values of another one and has a state of its own. Doing it again changes nothing.\n\n"
    "Examples:\n\n  mlctl env new pr-12 --from dev\n\n  mlctl -e pr-12 apply",
)
@in_project
def new(
    workspace: Workspace,
    name: Name,
    base: Annotated[
        str | None,
        typer.Option("--from", metavar="NAME", help="The environment it is like.", show_default="the current one"),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Write the file that makes it."""
    if (problem := misnamed(name)) is not None:
        raise MlctlError.of("env.bad-name", *problem)
    known = list(workspace.declared)
    if name in known:
        raise MlctlError.of(
            "env.declared",
            f"the environment {shown(name)} is declared",
            "the project file has it",
            "choose another name",
        )
    chosen = base or workspace.environment
    if chosen not in known:
        why = "it takes the overlay of an environment that the project declares"
        raise MlctlError.of(
            "env.unknown", f"the project declares no environment {shown(chosen)}", why, did_you_mean(chosen, known)
        )
    before = ad_hoc_base(name, workspace.files)
    if before not in (None, chosen):
        why, fix = (
            "its state was made from that one",
            f"delete it first: {again(workspace, 'env', {'': ['delete', name]})}",
        )
        raise MlctlError.of("env.exists", f"{shown(name)} is there already, made from {shown(str(before))}", why, fix)
    path = ad_hoc_path(workspace.root, name)
    if before is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_json(path, {"from": chosen})
    if as_json:
        emit_json({"type": "environment", "name": name, "declared": False, "from": chosen, "new": before is None})
    else:
        print(
            f"{name} is there already." if before else f"Made {name} from {chosen}.",
            f"Use it with: mlctl -e {name} plan",
        )
    return 0


@app.command(
    "delete",
    help="Delete an environment that no project file declares. It must be empty: destroy its objects first.\n\n"
    "Examples:\n\n  mlctl -e pr-12 destroy && mlctl env delete pr-12",
)
@in_project
def delete(workspace: Workspace, name: Name, auto_approve: AutoApprove = False, as_json: AsJson = False) -> int:
    """Remove its folder, under its lock."""
    if name in workspace.declared:
        why, fix = "the project file has it", "take it out there once its objects are destroyed"
        raise MlctlError.of("env.declared", f"the environment {shown(name)} is declared", why, fix)
    if ad_hoc_base(name, workspace.files) is None:
        fix = did_you_mean(name, ad_hoc_names(workspace.root)) or "see them with `mlctl env list`"
        raise MlctlError.of("env.unknown", f"there is no environment {shown(name)}", "", fix)
    inside = _of(workspace, name)
    _refuse_full(inside, name)
    if not auto_approve and not confirm(f"Delete the environment {name} with its history?", as_json=as_json):
        print("Nothing was deleted.")
        return 1
    with inside.store.session("env delete"):
        _refuse_full(inside, name)
        # one step, so that a kill leaves the whole or nothing
        grave = Path(tempfile.mkdtemp(prefix=".deleted-", dir=workspace.root / HOME))
        inside.home.rename(grave / name)
    shutil.rmtree(grave, ignore_errors=True)
    if as_json:
        emit_json({"type": "environment", "name": name, "deleted": True})
    else:
        print(f"Deleted {name}.")
    return 0


def _names(workspace: Workspace) -> list[str]:
    """The declared environments in the order of the file, then the others by name."""
    return [*workspace.declared, *(name for name in ad_hoc_names(workspace.root) if name not in workspace.declared)]


def _of(workspace: Workspace, name: str) -> Workspace:
    """The workspace of another environment of the same project."""
    return Workspace(workspace.root, workspace.file, replace(workspace.chosen, environment=name))


def _refuse_full(inside: Workspace, name: str) -> None:
    state = inside.store.read()
    if state.objects:
        count = len(state.objects)
        summary = f"the environment {shown(name)} still has {count} object{'' if count == 1 else 's'}"
        fix = f"remove them first: {again(inside, 'destroy', {})}"
        raise MlctlError.of("env.not-empty", summary, "nobody would know of them any more", fix)


def _changed(overlay: dict[str, Any]) -> list[str]:
    """What an overlay says something of: resources by address, settings by name."""
    found = []
    for section, value in overlay.items():
        names = (
            value
            if isinstance(value, dict) and all(item is None or isinstance(item, dict) for item in value.values())
            else {}
        )
        found += [f"{section}.{name}" for name in names] or [section]
    return found


def _written(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
