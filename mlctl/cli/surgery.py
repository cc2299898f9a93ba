"""The commands of `mlctl state` that write: each takes the lock, asks, keeps a generation, and touches no real object."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from mlctl.cli.options import AsJson, AutoApprove, addresses, confirm, emit_json
from mlctl.cli.project import in_project
from mlctl.cli.telling import tell
from mlctl.engine.store import surgery
from mlctl.provider import Family, named_by_address
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.state import Record, State
from mlctl.workspace import Workspace

MV_HELP = (
    "Give an object another address, with all that was made with it: what was made stays where it is and is not made again.\n\n"
    "For a rename that everybody who applies should follow, write a `moved:` block instead.\n\n"
    "Examples:\n\n  mlctl state mv training.churn training.churn_v2"
)
RM_HELP = (
    "Forget an object. The real object stays where it is, and mlctl will not know it any more.\n\n"
    "Examples:\n\n  mlctl state rm datasets.old\n\n  mlctl state rm 'training.churn#0f3a9c51d2e44b70'"
)
PUSH_HELP = (
    "Put a state in the place of the present one. Refuses another lineage, and one that is older.\n\n"
    "Examples:\n\n  mlctl state push .mlctl/default/errored.state.json\n\n  mlctl state push - < backup.json"
)
UNDO_HELP = (
    "Go back to the generation of the state before this one, as a new serial. It also takes the place of a damaged state.\n\n"
    "That is a generation like any other: a second `undo` takes the first one back. To go further back, name a serial with `--to`.\n\n"
    "Real objects are not touched: the next plan shows what they differ in.\n\n"
    "Examples:\n\n  mlctl state undo\n\n  mlctl state undo --to 12"
)
RENAME_HELP = (
    "Take the state over for the project as it is named now: after a change of `project:` in its file. Objects are not touched.\n\n"
    "Examples:\n\n  mlctl state rename-project shop   # `project:` was `shop`"
)
Force = Annotated[bool, typer.Option("--force", help="Do it although mlctl would refuse.")]
DECLINED = "Nothing was changed."


@in_project
def mv(
    workspace: Workspace,
    source: Annotated[str, typer.Argument(metavar="FROM", help="The address it has.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="The address it gets.")],
    auto_approve: AutoApprove = False,
    as_json: AsJson = False,
) -> int:
    """Move, and say what became of which key."""
    old, new = addresses([source, target])
    if named_by_address(workspace.kind(old.section)):
        raise MlctlError.of(
            "state.cannot-move",
            f"the tool behind `{old.section}` knows an object by its name",
            "with another address it would be another object",
            "rename it in the project: the next apply makes the new one and removes the old one",
        )
    with workspace.store.session("state mv") as session:
        surgery.found(session.ledger, source)
        if not approved(f"Move {source} to {target}?", auto_approve, as_json):
            return ExitCode.ERROR
        moved = surgery.move(session, old, new)
    _warn(workspace, as_json)
    for before, after in moved:
        _tell(as_json, f"{before} -> {after}", {"type": "moved", "from": str(before), "to": str(after)})
    if not as_json:
        print("Rename it in the project files too, or the next apply makes the old one and removes the new one.")
    return ExitCode.OK


@in_project
def rm(
    workspace: Workspace,
    names: Annotated[list[str], typer.Argument(metavar="ADDRESS|KEY...", help="As `mlctl state list` prints them.")],
    force: Force = False,
    auto_approve: AutoApprove = False,
    as_json: AsJson = False,
) -> int:
    """Forget, and say that the real objects stay."""
    with workspace.store.session("state rm") as session:
        chosen = {record.key: record for name in names for record in surgery.found(session.ledger, name)}
        if not as_json:
            for key in sorted(chosen):
                print(f"- {key}")
        question = f"Forget {objects(len(chosen))}? What is real stays where it is."
        if not approved(question, auto_approve, as_json):
            return ExitCode.ERROR
        surgery.forget(session, list(chosen.values()), force=force)
    _warn(workspace, as_json)
    for record in chosen.values():
        if as_json:
            emit_json({"type": "forgotten", "key": str(record.key), "id": record.id})
    if not as_json:
        print(f"Forgot {objects(len(chosen))}. Nothing real was removed:{_remains(chosen.values())}")
    return ExitCode.OK


@in_project
def push(
    workspace: Workspace,
    path: Annotated[str, typer.Argument(metavar="FILE|-", help="A state as JSON; `-` reads it from the input.")],
    force: Force = False,
    auto_approve: AutoApprove = False,
    as_json: AsJson = False,
) -> int:
    """Check, ask, and replace the state."""
    given, choose = surgery.pushed(_read(path), force=force)
    question = f"Put serial {given.serial} with {objects(len(given.objects))} in the place of the present state?"
    return _replace(workspace, "state push", choose, question, auto_approve, as_json)


@in_project
def undo(
    workspace: Workspace,
    to: Annotated[
        int | None,
        typer.Option(
            "--to", metavar="SERIAL", help="A generation, see `mlctl state log`.", show_default="the one before"
        ),
    ] = None,
    auto_approve: AutoApprove = False,
    as_json: AsJson = False,
) -> int:
    """Ask, and put an older state in place."""
    choose = surgery.undone(workspace.store, to)
    question = f"Go back to {'the generation before' if to is None else f'generation {to}'}?"
    return _replace(workspace, "state undo", choose, question, auto_approve, as_json)


@in_project
def rename_project(
    workspace: Workspace,
    old: Annotated[str, typer.Argument(metavar="OLD", help="The name that the project had.")],
    auto_approve: AutoApprove = False,
    as_json: AsJson = False,
) -> int:
    """Ask, and write the new name into the state."""
    new = workspace.loaded.name
    if new == old:
        raise MlctlError.of(
            "cli.usage",
            f"the project is named `{old}`",
            "OLD is the name that it had before",
            "change `project:` in its file first",
        )
    question = f"Make the state of `{old}` that of `{new}`?"
    choose = surgery.renamed_project(old, new)
    return _replace(workspace, "state rename-project", choose, question, auto_approve, as_json)


def is_build(workspace: Workspace) -> Callable[[str], bool]:
    """Whether the objects of a section are builds; no, for a section whose kind is not installed any more."""

    def answer(section: str) -> bool:
        try:
            return workspace.kind(section).family is Family.BUILD
        except MlctlError:
            return False

    return answer


def _replace(
    workspace: Workspace,
    operation: str,
    choose: Callable[[State | None], State],
    question: str,
    given: bool,
    as_json: bool,
) -> int:
    """Put another state in place under the lock, once a person has seen what differs."""

    def ask(present: State | None) -> State:
        chosen = choose(present)
        differences = [] if present is None else surgery.compare(present, chosen)
        if not as_json:
            for item in differences:
                print(f"{'+' if item.what == 'added' else '-' if item.what == 'removed' else '~'} {item.key}")
        if not approved(question, given, as_json):
            raise _DeclinedError
        return chosen

    try:
        state = workspace.store.replace(operation, ask)
    except _DeclinedError:
        return ExitCode.ERROR
    _warn(workspace, as_json)
    text = (
        f"The state has serial {state.serial} now, with {objects(len(state.objects))}. Real objects were not touched:\n"
        "`mlctl plan` shows what they differ in. The state before is kept, see `mlctl state log`."
    )
    _tell(
        as_json,
        text,
        {"type": "state", "serial": state.serial, "lineage": state.lineage, "objects": len(state.objects)},
    )
    return ExitCode.OK


class _DeclinedError(Exception):
    """The answer was no."""


def approved(question: str, given: bool, as_json: bool) -> bool:
    """Whether it may be done: it was approved before, or a person says so. Raises MlctlError when nobody can be asked."""
    if given or confirm(question, as_json=as_json):
        return True
    print(DECLINED)
    return False


def _read(path: str) -> bytes:
    """The bytes of a file or of the input. Raises MlctlError when there is no such file."""
    if path == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise MlctlError.of(
            "cli.cannot-read",
            f"`{path}` cannot be read: {error.strerror}",
            "",
            "give a file that holds a state, or `-`",
        ) from None


def _warn(workspace: Workspace, as_json: bool) -> None:
    """What the store found on the way."""
    tell(workspace.store.warnings, as_json=as_json)


def _tell(as_json: bool, text: str, value: dict[str, Any]) -> None:
    if as_json:
        emit_json(value)
    else:
        print(text)


def objects(count: int, what: str = "object") -> str:
    """`1 object`, `2 objects`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def _remains(records: Any) -> str:
    """Where the forgotten objects are, as far as their records say."""
    named: list[Record] = [record for record in records if record.id]
    if not named:
        return " what their tools hold is yours now."
    return "".join(f"\n  {record.key.address}: {json.dumps(record.id, ensure_ascii=False)}" for record in named)
