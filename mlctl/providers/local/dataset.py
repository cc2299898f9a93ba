"""A dataset: files of the project, known by their content. mlctl profiles them and never writes or deletes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from mlctl.launch import job
from mlctl.provider import Condition, Context, Desired, Family, Observed, Outcome, diff_fields
from mlctl.providers.local.data_files import data_files
from mlctl.providers.local.spec_dataset import DatasetSpec
from mlctl.types.change import FieldChange, FieldClass
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.job import LOG_FILE, RESULT_FILE
from mlctl.types.jobs.profile import ProfileParams, dataset_digest
from mlctl.types.ownership import differs
from mlctl.types.state import Record
from mlctl.types.value import digest

_MAX_PARTS = 100  # a dataset of more files has one part of the content key for all of them


class Dataset:
    """The `datasets` section."""

    section: ClassVar[str] = "datasets"
    family: ClassVar[Family] = Family.BUILD
    spec: ClassVar[type[DatasetSpec]] = DatasetSpec
    identity: ClassVar[frozenset[str]] = frozenset()
    field_class: ClassVar[FieldClass] = FieldClass.DATA
    settings: ClassVar[frozenset[str]] = frozenset()

    def check(self, spec: DatasetSpec, ctx: Context) -> Sequence[Diagnostic]:
        """The files are there, inside the project, and of one known format."""
        try:
            data_files(spec.path, spec.format, ctx)
        except MlctlError as error:
            field = (
                "format" if error.diagnostics[0].code == "data.unknown-format" and spec.format is not None else "path"
            )
            return [replace(item, path=(field,)) for item in error.diagnostics]
        return ()

    def parts(self, spec: DatasetSpec, ctx: Context) -> Mapping[str, str]:
        """The content of each file, by name."""
        files, _ = data_files(spec.path, spec.format, ctx)
        contents = dict(zip(files, _digests(files, ctx), strict=True))
        if len(files) > _MAX_PARTS:
            return {f"files:{spec.path}": digest(contents)}
        return {f"file:{file}": content for file, content in contents.items()}

    def read(self, prior: Record, ctx: Context) -> Observed | None:
        """Its profile is there, and so are its files; what is in them is already part of its identity."""
        if not (ctx.folder(prior.key) / RESULT_FILE).exists():
            return None
        gone = [str(file) for file in prior.outputs.get("files") or () if not (ctx.root / str(file)).is_file()]
        if gone:
            return Observed(
                condition=Condition.BROKEN,
                detail=f"the file `{gone[0]}` is gone" + (f", and {len(gone) - 1} more" if len(gone) > 1 else ""),
            )
        return Observed()

    def diff(self, desired: Desired, prior: Record, seen: Observed) -> Sequence[FieldChange]:
        """Fields of the spec; the content stands in the identity."""
        return diff_fields(desired, prior, seen)

    def apply(self, desired: Desired, prior: Record | None, ctx: Context) -> Outcome:
        """Profile the files."""
        spec: DatasetSpec = desired.spec
        files, form = data_files(spec.path, spec.format, ctx)
        folder = ctx.folder(desired.key)
        params = ProfileParams(files=files, format=form, timestamp=spec.timestamp, key=list(spec.key))
        profile = job.run("profile", params.model_dump(mode="json"), folder, ctx).outputs
        if changed := self._changed(desired, ctx):
            # What was profiled may not be what the identity says. Forget it, lest it be taken for that when the old bytes come back.
            job.discard(folder)
            why = "something else wrote to it, so the profile may be of neither version"
            raise MlctlError.of(
                "data.changed-while-reading",
                f"`{changed}` changed while it was being read",
                why,
                "run `mlctl apply` again",
            )
        outputs = {
            "path": spec.path,
            "files": files,
            "format": form,
            "timestamp": spec.timestamp,
            "key": list(spec.key),
            **profile,
        }
        outputs["digest"] = dataset_digest(outputs, _digests(files, ctx))
        return Outcome(desired.key.identity, outputs)

    def adopt(self, desired: Desired, id: str, ctx: Context) -> Outcome:
        """Files are used where they are, so that taking them over is to profile them; `id` is their path."""
        if id != desired.spec.path:
            raise differs(f"`{id}`", str(desired.address), [("path", id, desired.spec.path)])
        return self.apply(desired, None, ctx)

    def _changed(self, desired: Desired, ctx: Context) -> str:
        """A file that is not the one the identity stands for any more, or nothing."""
        now = self.parts(desired.spec, ctx)
        then = {name: part for name, part in desired.parts.items() if name.partition(":")[0] in ("file", "files")}
        return next(
            (name.partition(":")[2] for name in sorted(now.keys() | then.keys()) if now.get(name) != then.get(name)), ""
        )

    def delete(self, prior: Record, ctx: Context) -> None:
        """Remove the profile. The files are the user's."""
        job.discard(ctx.folder(prior.key))

    def log(self, prior: Record, ctx: Context) -> Path | None:
        """The log of the profile program."""
        path = ctx.folder(prior.key) / LOG_FILE
        return path if path.exists() else None

    def describe(self, prior: Record) -> str:
        """How large it is."""
        rows, columns = prior.outputs.get("rows"), prior.outputs.get("columns")
        return f"{rows:,} rows, {len(columns)} columns" if isinstance(rows, int) and isinstance(columns, dict) else ""


def _digests(files: Sequence[str], ctx: Context) -> list[str]:
    """The digest of each file's content. Raises MlctlError for a file that cannot be read."""
    try:
        return [ctx.digests.file(ctx.root / file) for file in files]
    except OSError as error:
        raise MlctlError.of(
            "data.unreadable",
            f"`{error.filename}` cannot be read",
            str(error.strerror),
            "check that it exists and that you may read it",
        ) from None
