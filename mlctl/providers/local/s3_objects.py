"""Which objects of a bucket a dataset's `path` means, and in which version they are there now."""

from __future__ import annotations

from typing import Any

from mlctl.providers.local.data_files import fits
from mlctl.providers.local.spec_dataset import S3, S3_SCHEME
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.copy import S3Object

_WILD = frozenset("*?[")


def parse(path: str) -> tuple[str, str]:
    """The bucket and the key, prefix or pattern of `s3://bucket/key`. Raises MlctlError."""
    bucket, _, key = path.removeprefix(S3_SCHEME).partition("/")
    if not bucket or _WILD & set(bucket):
        raise MlctlError.of(
            "data.bad-path",
            f"`{path}` does not name a bucket",
            "it reads `s3://bucket/key`, `s3://bucket/prefix/` or `s3://bucket/prefix/*.parquet`",
            "name one bucket",
        )
    return bucket, key


def objects(path: str, settings: S3 | None) -> list[S3Object]:
    """The objects that a path means, by key. Raises MlctlError, also when there is none."""
    from botocore.exceptions import BotoCoreError, ClientError

    from mlctl.databases import s3

    bucket, key = parse(path)
    endpoint = None if settings is None else settings.endpoint_url
    try:
        made = s3.client(endpoint, None if settings is None else settings.region)
        found = _found(made, bucket, key)
    except (ClientError, BotoCoreError) as error:
        raise s3.explain(error, bucket, endpoint) from error
    if not found:
        raise MlctlError.of(
            "data.missing-file",
            f"there is no object at `{path}`",
            "objects whose names begin with `.` or `_` do not count, nor do empty ones that stand for a folder",
            "write the data first, or correct `path`; a prefix ends in `/`",
        )
    for item in found:
        _refuse(item.key, path)
    return found


def _found(made: Any, bucket: str, key: str) -> list[S3Object]:
    from mlctl.databases import s3

    steps = key.split("/")
    fixed = next((index for index, step in enumerate(steps) if _WILD & set(step)), None)
    if fixed is None and key and not key.endswith("/"):
        one = s3.one(made, bucket, key)
        if one is not None:
            return [one]
        key += "/"  # a prefix, as one names a folder
    prefix = key if fixed is None else "".join(f"{step}/" for step in steps[:fixed])
    listed = [item for item in s3.below(made, bucket, prefix) if _is_data(item.key[len(prefix) :])]
    return listed if fixed is None else [item for item in listed if fits(item.key.split("/"), steps)]


def _is_data(name: str) -> bool:
    return not name.endswith("/") and not any(part.startswith((".", "_")) for part in name.split("/"))


def _refuse(key: str, path: str) -> None:
    """Keys become names of files below a folder of ours; some cannot."""
    parts = key.split("/")
    if any(part in ("", ".", "..") or "\0" in part or len(part.encode()) > 255 for part in parts):
        raise MlctlError.of(
            "data.bad-name",
            f"the object {key!r} cannot be a file",
            "its key has an empty, a dotted or a very long part between slashes",
            f"copy it to another key, or narrow `path`, which is `{path}`",
        )
