"""Changes of a project's own files: made in memory, checked as `mlctl validate` would, shown, asked for, and only then written."""

from __future__ import annotations

import codecs
import difflib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mlctl.cli.options import confirm, emit_json
from mlctl.files import atomic
from mlctl.spec.editing import REMOVED, edited_all, written
from mlctl.spec.files import read_text
from mlctl.spec.places import Layered, Located, Part, Place, YamlPath
from mlctl.spec.project import Project
from mlctl.spec.source import Source
from mlctl.types.address import Address
from mlctl.types.diagnostic import MlctlError
from mlctl.types.value import Json
from mlctl.views.human.style import Paint, wants_color
from mlctl.views.human.text import safe
from mlctl.workspace import Workspace


@dataclass(frozen=True)
class Edit:
    """One field of a resource, and what it is to be; REMOVED takes it out."""

    address: Address
    path: tuple[str, ...]
    value: Json | object

    @property
    def words(self) -> str:
        """`executor.spot: true`, or `remove micro_batch_size`."""
        if self.value is REMOVED:
            return f"remove {'.'.join(self.path)}"
        return f"{'.'.join(self.path)}: {written(self.value)}"


@dataclass(frozen=True)
class Patched:
    """A project with some fields changed: the one file that says so, and the workspace that reads it so. Nothing is written."""

    edits: tuple[Edit, ...]
    file: Path
    name: str  # of the file, relative to the project
    before: str
    after: str
    workspace: Workspace

    @property
    def diff(self) -> str:
        """What is different, as a unified diff."""
        lines = difflib.unified_diff(
            self.before.splitlines(), self.after.splitlines(), f"a/{self.name}", f"b/{self.name}", lineterm=""
        )
        return "".join(f"{line}\n" for line in lines)


def patched(workspace: Workspace, edits: Sequence[Edit], *, whole: bool = False) -> Patched:
    """The project with the fields changed, valid in its environment; `whole` lets what is taken out go with the comments inside
    of it. Raises MlctlError when it would not be valid, or when a field is not written where it could be changed; nothing is
    touched."""
    project = workspace.project
    files = {workspace.files.source(path): path for path in _yaml(workspace, project)}
    changes: dict[Path, list[tuple[list[str], Json | object]]] = {}
    for edit in edits:
        source, path = _written(project, edit)
        file = files.get(source)
        if file is None or not workspace.files.inside(file):
            raise _refused(edit, f"it is written in {source.name}, which is no file of this project")
        changes.setdefault(file, []).append(([str(part) for part in path], edit.value))
    if len(changes) != 1:
        raise _refused(edits[0], "the change would touch more than one file, which cannot be replaced all at once")
    ((file, own),) = changes.items()
    source = workspace.files.source(file)
    after = edited_all(source.name, source.text, own, whole=whole)
    name = workspace.files.name(file)
    inside = replace(workspace, texts={**project.texts, name: after}, values=dict(project.values))
    _effective(project, inside.project, edits)
    return Patched(tuple(edits), file, name, source.text, after, inside)


def _yaml(workspace: Workspace, project: Project) -> Iterator[Path]:
    """The files that say what a project is: its own, those it includes, and its modules."""
    for name in project.texts:
        if name.endswith((".yaml", ".yml")):
            yield workspace.root / name


def write(workspace: Workspace, patch: Patched, *, approved: bool, as_json: bool) -> bool:
    """Show what would change, ask, and replace the file; False when nobody wants it. Raises MlctlError when another environment
    would not be valid any more, or when the file was changed meanwhile."""
    valid_everywhere(workspace, patch)
    if not as_json:
        show(patch)
    if not approved and not confirm(f"Write this into {patch.name}?", as_json=as_json):
        return False
    replaced(patch)
    return True


def replaced(patch: Patched) -> None:
    """Put the file in the place of the one there is, all at once. Raises MlctlError when that was changed meanwhile."""
    target = patch.file.resolve()  # a link stays a link
    if read_text(target, patch.name) != patch.before:
        raise MlctlError.of(
            "cost.file-changed",
            f"{patch.name} was changed meanwhile",
            "the change was made for what it was before; nothing was written",
            "run the command again",
        )
    mark = codecs.BOM_UTF8 if target.read_bytes().startswith(codecs.BOM_UTF8) else b""
    atomic.write_bytes(target, mark + patch.after.encode("utf-8"), mode=target.stat().st_mode & 0o777)


def offer(workspace: Workspace, patch: Patched, *, approved: bool, as_json: bool) -> None:
    """The same for a command that was given `--apply-patch`, with a word on what came of it."""
    done = write(workspace, patch, approved=approved, as_json=as_json)
    if as_json:
        emit_json({"type": "cost_patched", "file": patch.name, "diff": patch.diff, "written": done})
    else:
        print(f"{patch.name} written; see `mlctl plan`." if done else "Nothing was written.")


def check_yes(*, yes: bool, apply: bool) -> None:
    """Raise MlctlError for an answer to a question that is not asked."""
    if yes and not apply:
        raise MlctlError.of(
            "cli.usage", "`--yes` has no effect without `--apply-patch`", "nothing is asked", "leave it out"
        )


def check_one(names: Sequence[str]) -> None:
    """Raise MlctlError where a patch could be of several resources."""
    if len(names) != 1:
        why = f"there are {', '.join(names)}"
        raise MlctlError.of("cli.usage", "`--apply-patch` changes one resource", why, "name it")


def show(patch: Patched) -> None:
    """The difference, in colour on a terminal."""
    paint = Paint(wants_color(sys.stdout))
    styles = {"+": "green", "-": "red", "@": "cyan"}
    for line in patch.diff.splitlines():
        print(paint(safe(line), styles[line[0]]) if line[:1] in styles else safe(line))


def shared(project: Project, address: Address) -> list[str]:
    """Other resources that are made of the same block: instances, and uses of a module. A change is one of all of them."""
    own = _base(project.places.get(address))
    if own is None:
        return []
    return [
        str(other)
        for other, place in project.places.items()
        if other != address
        and (base := _base(place)) is not None
        and (base.source, base.path) == (own.source, own.path)
    ]


def _base(place: Located | None) -> Place | None:
    while isinstance(place, Layered):
        place = place.lower
    return place if isinstance(place, Place) else None


def _written(project: Project, edit: Edit) -> tuple[Source, YamlPath]:
    """The file that decides a field of a resource, and the field's place in it."""
    place: Located | None = project.places.get(edit.address)
    path: YamlPath = edit.path
    while place is not None:
        if isinstance(place, Place):
            return place.source, (*place.path, *path)
        if isinstance(place, Part):
            path = (*place.path, *path)
            place = place.whole
        elif isinstance(place, Layered):
            place = place.upper if _decides(place.over, path) else place.lower
        else:
            break
    raise _refused(edit, "where it is written is not known")


def _decides(over: Json, path: Sequence[str | int]) -> bool:
    """Whether what is laid over a block says a field of it."""
    for part in path:
        if not isinstance(over, Mapping) or part not in over:
            return not isinstance(over, Mapping)
        over = over[part]
    return True


def _effective(before: Project, after: Project, edits: Sequence[Edit]) -> None:
    """Each resource that was to change did. Raises MlctlError for one that is as it was: something else decides the field."""
    for edit in edits:
        was, now = before.resources[edit.address].spec, after.resources[edit.address].spec
        if was.model_dump(mode="json") == now.model_dump(mode="json"):
            raise _refused(edit, "it would have no effect: another place in the project decides it")


def valid_everywhere(workspace: Workspace, patch: Patched) -> None:
    """What was valid in another environment still is, else raises MlctlError. One that has problems already is not asked."""
    for name in workspace.declared:
        if name == workspace.environment:
            continue
        chosen = replace(workspace.chosen, environment=name)
        there = Workspace(workspace.root, workspace.file, chosen)
        try:
            texts = there.project.texts
        except MlctlError:
            continue
        if patch.name in texts:
            _ = Workspace(workspace.root, workspace.file, chosen, texts={**texts, patch.name: patch.after}).project


def _refused(edit: Edit, why: str) -> MlctlError:
    field = ".".join(edit.path)
    return MlctlError.of(
        "cost.cannot-patch",
        f"`{field}` of {edit.address} cannot be changed by mlctl",
        why,
        f"write `{edit.words}` by hand",
        address=str(edit.address),
    )


def edits_of(address: Address, changes: Sequence[str]) -> Iterator[Edit]:
    """The edits of changes that are written as `path: value`, as outlooks have them."""
    for change in changes:
        path, _, text = change.partition(":")
        yield Edit(address, tuple(path.strip().split(".")), Source.of_text("<change>", text.strip()).value)
