"""Promotion: an environment takes finished builds of another over instead of making them again.

What is taken over becomes wholly its own: the folder is linked (copied where that cannot be), and outputs that name paths
in the other environment's home name its own. So destroying the other environment hurts nothing.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from mlctl.engine.ledger import Ledger
from mlctl.files import atomic
from mlctl.provider import Approvable, Context, Family, Kind, class_of, flatten, judges
from mlctl.spec import asking
from mlctl.spec.project import Project, Resource
from mlctl.types import job as contract
from mlctl.types.address import Address, ObjectKey
from mlctl.types.change import Action, Change, FieldClass, Plan, Reason
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.state import Record

_OWN = (contract.LOCK_FILE, contract.PROCESS_FILE)  # of the process that made it
_WORTH_LINKING = 1 << 20  # bytes
PROMOTED_FROM = "promoted_from"  # in the provenance of a build: the environment that made it
_MAKING = (Action.CREATE, Action.RUN, Action.REPLACE, Action.RESUME, Action.ADOPT)


@dataclass(frozen=True)
class Offer:
    """What one environment has to give: its finished builds by key, and where their folders are."""

    environment: str
    records: Mapping[ObjectKey, Record]
    current: Mapping[Address, Record]  # the newest object of each address, finished or not
    kinds: Callable[[str], Kind]
    ctx: Context

    @classmethod
    def of(cls, ledger: Ledger, kinds: Callable[[str], Kind], ctx: Context) -> Offer:
        """The finished builds of an environment whose gates, if they have one, are open."""
        builds = [record for record in ledger if kinds(record.key.address.section).family is Family.BUILD]
        records = {
            record.key: record for record in builds if record.complete and (record.gate is None or record.gate.open)
        }
        newest = {record.key.address: ledger.current(record.key.address) for record in builds}
        current = {address: record for address, record in newest.items() if record is not None}
        return cls(ctx.environment, records, current, kinds, ctx)

    def take(self, key: ObjectKey, ctx: Context) -> Record:
        """Put an offered build into the environment of `ctx`: its folder, and its record with outputs that name that. Repeatable."""
        offered = self.records[key]
        source, target = self.ctx.folder(key), ctx.folder(key)
        moved = {self.ctx.lineage: ctx.lineage, str(self.ctx.home): str(ctx.home)}
        moved |= {_relative(self.ctx.home, ctx.root): _relative(ctx.home, ctx.root)}
        if source.exists() and not target.exists():
            link_tree(source, target, lambda value: _rewritten(value, moved))
        facts = {**offered.provenance, PROMOTED_FROM: self.environment}
        return replace(offered, outputs=_rewritten(offered.outputs, moved), provenance=facts, origin=None, failure=None)

    def refuse_builds(self, plan: Plan, project: Project, ctx: Context) -> None:
        """Raise MlctlError for every build that would have to be made, with what is asked differently.

        A gate is no build in this sense: it may be judged again, against the champion of the environment it is in. But what
        it published in one environment is not published again in the same place by another.
        """
        found = []
        for change in plan:
            resource = project.resources.get(change.address)
            if resource is None or resource.kind.family is not Family.BUILD or not change.effective:
                continue
            if change.reason is Reason.PROMOTED:
                record = self.records[change.key]
                if isinstance(resource.kind, Approvable) and record.gate is not None and record.id is not None:
                    found.append(self._published(record, ctx))
            elif change.action in _MAKING and change.reason is not Reason.METADATA and not judges(resource.kind):
                found.append(self._differs(change, resource, ctx))
        if found:
            raise MlctlError(found)

    def _published(self, record: Record, ctx: Context) -> Diagnostic:
        address, here = record.key.address, ctx.environment
        return Diagnostic(
            "promote.published",
            f"{address} published `{record.id}` for `{self.environment}`, and `{here}` would publish in the same place",
            "what one environment published is never changed by another, and each needs a champion of its own",
            f"give `{here}` a place of its own, such as `environments: {{{here}: {{tracking: ...}}}}`; its gate is then judged there",
            address=str(address),
        )

    def _differs(self, change: Change, resource: Resource, ctx: Context) -> Diagnostic:
        record = self.current.get(change.address)
        if record is None or not record.complete:
            why = (
                f"`{self.environment}` has not made one yet"
                if record is None
                else f"that of `{self.environment}` was cut off"
            )
        elif record.gate is not None and not record.gate.open:
            why = f"its gate in `{self.environment}` did not pass: {record.gate.summary}"
        else:
            why = "\n".join(_differences(record, resource, ctx)) or "what it is made from is not the same there"
        return Diagnostic(
            "promote.differs",
            f"{change.address}: `{self.environment}` has no finished build of what `{ctx.environment}` asks for",
            why,
            f"apply it in `{self.environment}` as it is asked for here, or build here: `mlctl -e {ctx.environment} apply`",
            address=str(change.address),
        )


def _differences(record: Record, resource: Resource, ctx: Context) -> Iterator[str]:
    """What a block asks for that a record was not made with. What an expression stands for is known only to its inputs."""
    old, new = flatten(record.spec), flatten(resource.spec.model_dump(mode="json", exclude_defaults=True))
    for path in sorted(old.keys() | new.keys()):
        name = path.split(".")[0]
        if (
            class_of(resource.spec, path) is FieldClass.METADATA
            or name.startswith("project_")
            or "${" in str(new.get(path))
            or old.get(path) == new.get(path)
        ):
            continue
        yield f"{path}: {_word(old.get(path))} there, {_word(new.get(path))} here"
    parts = asking.parts(resource.kind, resource.address, resource.spec, ctx)
    for name in sorted(parts):
        if parts[name] != record.parts.get(name):
            yield f"{name}: another content than there"


def _word(value: Any) -> str:
    return "(not set)" if value is None else json.dumps(value, ensure_ascii=False, default=str)


def link_tree(source: Path, target: Path, rewritten: Callable[[Any], Any] = lambda value: value) -> None:
    """A folder at a second place: large files are hard links where the file system allows it, all others are copies.

    What a job was asked and what it left is passed through `rewritten`. All is built beside and renamed, so that a kill leaves either
    nothing or the whole.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{uuid4().hex[:8]}")
    try:
        for folder, _, names in os.walk(source):
            here = beside / os.path.relpath(folder, source)
            here.mkdir(parents=True, exist_ok=True)
            for name in names:
                _link(Path(folder) / name, here / name)
        for name in (contract.JOB_FILE, contract.RESULT_FILE):
            if (beside / name).exists():
                atomic.write_json(beside / name, rewritten(json.loads((beside / name).read_bytes())))
        try:
            os.rename(beside, target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # somebody was faster, with the same content
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _link(source: Path, target: Path) -> None:
    """One file. What a process may still append to is small or a log, and is copied: a link would be the same file."""
    if source.is_symlink():
        target.symlink_to(os.readlink(source))
    elif source.name in _OWN or not source.is_file():
        return
    elif source.name == contract.LOG_FILE or source.stat().st_size < _WORTH_LINKING:
        shutil.copy2(source, target)
    else:
        try:
            os.link(source, target)
        except OSError:  # another file system, or one without links
            shutil.copy2(source, target)


def _rewritten(value: Any, moved: Mapping[str, str]) -> Any:
    """Outputs with paths of the other home replaced. Digests of content are not paths and stay."""
    if isinstance(value, str):
        for old, new in moved.items():
            if value == old or f"{old}/" in value:
                return value.replace(f"{old}/", f"{new}/") if value != old else new
        return value
    if isinstance(value, Mapping):
        return {name: _rewritten(item, moved) for name, item in value.items()}
    return [_rewritten(item, moved) for item in value] if isinstance(value, list | tuple) else value


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
