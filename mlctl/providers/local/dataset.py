"""A dataset: files of the project, objects of a bucket or rows of a database, known by their content. mlctl profiles them, and
never writes or deletes them; what is no local file it copies beside the profile.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from mlctl.launch import job
from mlctl.provider import Condition, Context, Desired, Family, Observed, Outcome, diff_fields
from mlctl.providers.local import bring
from mlctl.providers.local.remote import remote_problems
from mlctl.providers.local.spec_dataset import DatasetSpec
from mlctl.types.address import Address
from mlctl.types.change import FieldChange, FieldClass
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.job import LOG_FILE, RESULT_FILE
from mlctl.types.jobs.profile import ProfileParams, Remote, dataset_digest
from mlctl.types.ownership import differs
from mlctl.types.state import Record
from mlctl.types.units import counted
from mlctl.types.value import Json, digest

_MANY = 100  # files of one folder; for more of them one look at the folder is cheaper than one at each


class Dataset:
    """The `datasets` section."""

    section: ClassVar[str] = "datasets"
    family: ClassVar[Family] = Family.BUILD
    spec: ClassVar[type[DatasetSpec]] = DatasetSpec
    identity: ClassVar[frozenset[str]] = frozenset()
    field_class: ClassVar[FieldClass] = FieldClass.DATA
    settings: ClassVar[frozenset[str]] = frozenset()

    def check(self, spec: DatasetSpec, ctx: Context) -> Sequence[Diagnostic]:
        """The files are there, inside the project, and of one known format; no password is written out. Asks no server."""
        try:
            return bring.origin(spec).problems(spec, ctx)
        except MlctlError as error:
            return [replace(item, path=item.path or _field(item, spec)) for item in error.diagnostics]

    def check_together(
        self, specs: Mapping[Address, Any], uses: Mapping[Address, Collection[Address]], ctx: Context
    ) -> Iterable[tuple[Address, Diagnostic]]:
        """Rows that stay in their database are used by what works there."""
        return remote_problems(specs, uses, ctx)

    def parts(self, spec: DatasetSpec, ctx: Context) -> Mapping[str, str]:
        """The content of each file, by name; of what is elsewhere, the version that is there now."""
        return bring.origin(spec).parts(spec, ctx)

    def read(self, prior: Record, ctx: Context) -> Observed | None:
        """Its profile is there, and so are its files; what is in them is already part of its identity."""
        if not (ctx.folder(prior.key) / RESULT_FILE).exists():
            return None
        gone = _gone([str(file) for file in prior.outputs.get("files") or ()], ctx.root)
        if gone:
            return Observed(
                condition=Condition.BROKEN,
                detail=f"the file `{gone[0]}` is gone" + (f", and {len(gone) - 1} more" if len(gone) > 1 else ""),
            )
        if _tampered(prior, ctx):
            return Observed(condition=Condition.BROKEN, detail="the copy of its rows was changed")
        if _earlier(prior):
            return Observed(
                condition=Condition.BROKEN, detail="an earlier version of mlctl made it, without a whole profile"
            )
        return Observed()

    def diff(self, desired: Desired, prior: Record, seen: Observed) -> Sequence[FieldChange]:
        """Fields of the spec; the content stands in the identity."""
        return diff_fields(desired, prior, seen)

    def apply(self, desired: Desired, prior: Record | None, ctx: Context) -> Outcome:
        """Bring what is no local file, and profile it."""
        spec: DatasetSpec = desired.spec
        folder = ctx.folder(desired.key)
        origin = bring.origin(spec)
        params = origin.params(spec, desired.parts, folder, ctx)
        spoilt = prior is not None and prior.key == desired.key and (_tampered(prior, ctx) or _earlier(prior))
        done = origin.copies and job.state(folder) is job.JobState.DONE  # one that was cut off goes on with what it has
        if spoilt or (done and _gone(params.files, ctx.root)):
            # what an earlier run brought was removed or changed behind our back, or lacks what is asked now
            job.discard(folder)
            bring.sweep(ctx)
        try:
            profile = dict(job.run("profile", params.model_dump(mode="json"), folder, ctx).outputs)
        except MlctlError:
            # a file that was replaced while it was read may look like anything
            self._refuse_changed(desired, folder, ctx)
            raise
        self._refuse_changed(desired, folder, ctx)
        return Outcome(desired.key.identity, _outputs(desired, params, profile, ctx))

    def adopt(self, desired: Desired, id: str, ctx: Context) -> Outcome:
        """Data is used where it is, so that taking it over is to profile it; `id` is its path, or the name of its table."""
        spec: DatasetSpec = desired.spec
        field, named = ("path", spec.path) if spec.database is None else ("table", spec.database.table)
        if id != named:
            raise differs(f"`{id}`", str(desired.address), [(field, id, named or "a query")])
        return self.apply(desired, None, ctx)

    def _refuse_changed(self, desired: Desired, folder: Path, ctx: Context) -> None:
        """Raise MlctlError when a file is not the one the identity stands for any more."""
        changed = self._changed(desired, ctx)
        if changed:
            # What was profiled may not be what the identity says. Forget it, lest it be taken for that when the old bytes come back.
            job.discard(folder)
            raise MlctlError.of(
                "data.changed-while-reading",
                f"`{changed}` changed while it was being read",
                "something else wrote to it, so the profile may be of neither version",
                "run `mlctl apply` again",
            )

    def _changed(self, desired: Desired, ctx: Context) -> str:
        """A file that changed, or nothing. What a server holds is compared by the program that copies it."""
        then = {name: part for name, part in desired.parts.items() if name.partition(":")[0] in ("file", "files")}
        if not then:
            return ""
        now = self.parts(desired.spec, ctx)
        return next(
            (name.partition(":")[2] for name in sorted(now.keys() | then.keys()) if now.get(name) != then.get(name)), ""
        )

    def delete(self, prior: Record, ctx: Context) -> None:
        """Remove the profile and what was copied. The data itself is the user's."""
        job.discard(ctx.folder(prior.key))
        bring.sweep(ctx)

    def log(self, prior: Record, ctx: Context) -> Path | None:
        """The log of the profile program."""
        path = ctx.folder(prior.key) / LOG_FILE
        return path if path.exists() else None

    def describe(self, prior: Record) -> str:
        """How large it is."""
        rows, columns = prior.outputs.get("rows"), prior.outputs.get("columns")
        if not isinstance(rows, int) or not isinstance(columns, dict):
            return ""
        return f"{counted(rows, 'row')}, {counted(len(columns), 'column')}"


def _field(problem: Diagnostic, spec: DatasetSpec) -> tuple[str, ...]:
    """The field that is to blame for a problem of the files."""
    if spec.database is not None:
        return ("database", "path")
    return ("format",) if problem.code == "data.unknown-format" and spec.format is not None else ("path",)


def _outputs(desired: Desired, params: ProfileParams, profile: dict[str, Json], ctx: Context) -> dict[str, Json]:
    """What dependents see. Their digest does not know names, and of a copied table only the rows."""
    spec: DatasetSpec = desired.spec
    outputs: dict[str, Json] = {"timestamp": spec.timestamp, "key": list(spec.key), **profile}
    database = params.database
    if database is not None and database.target is None:
        columns: Any = profile["columns"]
        relation = str(outputs.pop("relation"))
        remote = Remote(
            type=spec.database.type,  # type: ignore[union-attr]  # rows that stay are a server's
            connection=database.connection,
            relation=relation,
            columns=columns,
            key=list(spec.key),
            timestamp=spec.timestamp,
        )
        seen = [remote.model_dump(mode="json", exclude={"connection"}), database.version]
        return {**outputs, "remote": remote.model_dump(mode="json"), "digest": digest(seen)}
    outputs |= {"files": list(params.files), "format": params.format, "partitions": dict(params.partitions)}
    if spec.path is not None:
        outputs["path"] = spec.path
    contents = bring.digests(params.files, ctx)
    copied: Any = outputs.get("copied")
    if copied is not None:
        outputs["copied"] = {**copied, "file": contents[0]}
    outputs["digest"] = dataset_digest(outputs, contents)
    return outputs


def _earlier(record: Record) -> bool:
    """Whether it was made by a version of mlctl that wrote no profile into a file."""
    return record.complete and "profile" not in record.outputs


def _tampered(record: Record, ctx: Context) -> bool:
    """Whether copies of ours are not what was copied any more. Files of the project are not ours: their content is the identity."""
    outputs = record.outputs
    listed: Any = outputs.get("files") or ()
    files = [str(file) for file in listed]
    if not {"format", "timestamp", "key", "columns", "digest"} <= outputs.keys():
        return False  # the record was written by hand, and does not say what the copy was
    if not files or not (ctx.root / files[0]).is_relative_to(ctx.folder(record.key)) or _gone(files, ctx.root):
        return False
    return dataset_digest(outputs, bring.digests(files, ctx)) != outputs.get("digest")


def _gone(files: Sequence[str], root: Path) -> list[str]:
    """The files that are not there, with few looks when they are very many in few folders."""
    folders: dict[str, list[str]] = {}
    for file in files:
        folders.setdefault(file.rpartition("/")[0], []).append(file)
    gone = []
    for folder, members in folders.items():
        if len(members) < _MANY:
            gone += [file for file in members if not (root / file).is_file()]
            continue
        try:
            with os.scandir(root / folder) as entries:
                there = {entry.name for entry in entries if entry.is_file()}
        except OSError:
            there = set()
        gone += [file for file in members if file.rpartition("/")[2] not in there]
    return gone
