"""Where a dataset comes from, and what its worker program is asked: local files, objects of a bucket, a database's file or server."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from mlctl.provider import Context
from mlctl.providers.local import database, s3_objects
from mlctl.providers.local.data_files import data_files, format_of, partitions
from mlctl.providers.local.spec_database import File, Server
from mlctl.providers.local.spec_dataset import S3_SCHEME, DatasetSpec
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.jobs.copy import DOWNLOADS, SNAPSHOT_FILE, Download, S3Object
from mlctl.types.jobs.profile import ProfileParams
from mlctl.types.value import digest

_MAX_PARTS = 100  # a dataset of more files has one part of the content key for all of them
_STORE = "downloads"  # of an environment: each object once, however many datasets and versions of them have it


class Origin(Protocol):
    """One sort of place that data comes from."""

    copies: bool  # whether the files that programs read are copies of ours

    def problems(self, spec: DatasetSpec, ctx: Context) -> Sequence[Diagnostic]:
        """What is wrong, as far as it shows offline. May raise MlctlError."""
        ...

    def parts(self, spec: DatasetSpec, ctx: Context) -> dict[str, str]:
        """The content that is there now. Raises MlctlError."""
        ...

    def params(self, spec: DatasetSpec, parts: Mapping[str, Any], folder: Path, ctx: Context) -> ProfileParams:
        """What the profile program is asked to bring and to look at, of the content that `parts` tells of."""
        ...


def origin(spec: DatasetSpec) -> Origin:
    """The place that a dataset comes from."""
    if spec.path is not None:
        return _Bucket() if spec.path.startswith(S3_SCHEME) else _Files()
    if isinstance(spec.database, File):
        return _DatabaseFile(spec.database)
    if isinstance(spec.database, Server):
        return _DatabaseServer(spec.database)
    raise ValueError("a dataset has a path or a database")


def digests(files: Sequence[str], ctx: Context) -> list[str]:
    """The digest of each file's content. Raises MlctlError for a file that cannot be read."""
    try:
        return ctx.digests.files(files, ctx.root)
    except OSError as error:
        raise MlctlError.of(
            "data.unreadable",
            f"`{error.filename}` cannot be read",
            str(error.strerror),
            "check that it exists and that you may read it",
        ) from None


def sweep(ctx: Context) -> None:
    """Remove downloads that no dataset has any more. A file that is being linked just now is downloaded once more at worst."""
    store = ctx.home / _STORE
    if store.is_dir():
        with os.scandir(store) as entries:
            for entry in entries:
                try:
                    if os.stat(entry.path).st_nlink == 1:
                        os.unlink(entry.path)
                except FileNotFoundError:
                    continue


class _Files:
    """Files of the project."""

    copies = False

    def problems(self, spec: DatasetSpec, ctx: Context) -> Sequence[Diagnostic]:
        partitions(data_files(str(spec.path), spec.format, ctx)[0])
        return ()

    def parts(self, spec: DatasetSpec, ctx: Context) -> dict[str, str]:
        files, _ = data_files(str(spec.path), spec.format, ctx)
        return _parts("file", str(spec.path), dict(zip(files, digests(files, ctx), strict=True)))

    def params(self, spec: DatasetSpec, parts: Mapping[str, Any], folder: Path, ctx: Context) -> ProfileParams:
        files, form = data_files(str(spec.path), spec.format, ctx)
        return _params(spec, files=files, format=form, partitions=partitions(files))


class _Bucket:
    """Objects of a bucket, which are downloaded."""

    copies = True

    def problems(self, spec: DatasetSpec, ctx: Context) -> Sequence[Diagnostic]:
        s3_objects.parse(str(spec.path))
        return ()

    def parts(self, spec: DatasetSpec, ctx: Context) -> dict[str, str]:
        return _object_parts(spec, s3_objects.objects(str(spec.path), spec.s3))

    def params(self, spec: DatasetSpec, parts: Mapping[str, Any], folder: Path, ctx: Context) -> ProfileParams:
        path = str(spec.path)
        found = s3_objects.objects(path, spec.s3)
        if any(parts.get(name) != part for name, part in _object_parts(spec, found).items()):
            raise MlctlError.of(
                "data.changed-while-reading",
                f"what is at `{path}` changed after it was planned",
                "an object was added, removed or written again",
                "run `mlctl apply` again when nobody writes to it",
            )
        target = _relative(folder / DOWNLOADS, ctx)
        keys = [item.key for item in found]
        download = Download(
            bucket=s3_objects.parse(path)[0],
            objects=found,
            endpoint_url=None if spec.s3 is None else spec.s3.endpoint_url,
            region=None if spec.s3 is None else spec.s3.region,
            store=_relative(ctx.home / _STORE, ctx),
            target=target,
        )
        return _params(
            spec,
            files=[f"{target}/{key}" for key in keys],
            format=format_of(keys, spec.format, path),
            partitions=partitions(keys),
            download=download,
        )


class _DatabaseFile:
    """A file of SQLite or DuckDB below the project folder."""

    copies = True

    def __init__(self, source: File) -> None:
        self._source = source

    def problems(self, spec: DatasetSpec, ctx: Context) -> Sequence[Diagnostic]:
        database.files_of(self._source, ctx)
        return ()

    def parts(self, spec: DatasetSpec, ctx: Context) -> dict[str, str]:
        files = database.files_of(self._source, ctx)
        return _parts("file", self._source.path, dict(zip(files, digests(files, ctx), strict=True)))

    def params(self, spec: DatasetSpec, parts: Mapping[str, Any], folder: Path, ctx: Context) -> ProfileParams:
        target = _relative(folder / SNAPSHOT_FILE, ctx)
        wanted = database.copy_of(self._source, spec.key, target=target)
        return _params(spec, files=[target], format="parquet", database=wanted)


class _DatabaseServer:
    """Rows of PostgreSQL, BigQuery or Snowflake."""

    copies = True

    def __init__(self, source: Server) -> None:
        self._source = source

    def problems(self, spec: DatasetSpec, ctx: Context) -> Sequence[Diagnostic]:
        return database.password_problems(self._source, ctx)

    def parts(self, spec: DatasetSpec, ctx: Context) -> dict[str, str]:
        return database.server_parts(self._source, ctx)

    def params(self, spec: DatasetSpec, parts: Mapping[str, Any], folder: Path, ctx: Context) -> ProfileParams:
        target = _relative(folder / SNAPSHOT_FILE, ctx) if spec.copy_ else None
        version = database.planned_version(parts)
        wanted = database.copy_of(self._source, spec.key, version=version, target=target)
        return _params(spec, files=[] if target is None else [target], format="parquet", database=wanted)


def _params(spec: DatasetSpec, **brought: Any) -> ProfileParams:
    return ProfileParams(timestamp=spec.timestamp, key=list(spec.key), **brought)


def _parts(what: str, whole: str, contents: Mapping[str, str]) -> dict[str, str]:
    """A part for each file or, for very many, one for all of them."""
    if len(contents) > _MAX_PARTS:
        return {f"{what}s:{whole}": digest(contents)}
    return {f"{what}:{name}": content for name, content in contents.items()}


def _object_parts(spec: DatasetSpec, found: Sequence[S3Object]) -> dict[str, str]:
    return _parts("object", str(spec.path), {item.key: item.version_id or item.etag.strip('"') for item in found})


def _relative(path: Path, ctx: Context) -> str:
    return path.relative_to(ctx.root).as_posix()
