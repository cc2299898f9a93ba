"""Models where pods can get them: a folder for each version, in a bucket that mlctl fills, or in a volume that others fill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlctl.provider import Context, Input
from mlctl.providers.serving.spec.target import ModelStore
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.event import Progress
from mlctl.types.value import digest

_COMPLETE = ".mlctl-complete"  # written last: without it a copy is half made


def storage(store: ModelStore, made: Input, lineage: str) -> str:
    """Where the folder of a version is: of a name and version in a volume, and of exactly this content in a bucket."""
    url, name, version = store.url.rstrip("/"), str(made.outputs["name"]), str(made.outputs["version"])
    if url.startswith("pvc://"):
        return f"{url}/{name}/{version}"
    return f"{url}/{name}/{version}-{digest([lineage, name, version, made.digest])[:12]}"


def publish(store: ModelStore, place: str, folder: Path, ctx: Context, address: str) -> None:
    """Copy a model's folder to its place in the bucket, unless it is there. Cut off, it goes on with what is missing.

    Raises MlctlError.
    """
    if not place.startswith("s3://"):
        return
    from mlctl.databases import s3

    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    client = s3.client(store.endpoint_url, store.region)
    try:
        if s3.one(client, bucket, f"{prefix}/{_COMPLETE}") is not None:
            return
        there = {item.key: item.size for item in s3.below(client, bucket, f"{prefix}/")}
        files = list(_files(folder))
        for number, path in enumerate(files):
            key = f"{prefix}/{path.relative_to(folder).as_posix()}"
            if there.get(key) != path.stat().st_size:
                ctx.progress(Progress(f"copying the model to {place}", number, len(files)))
                client.upload_file(str(path), bucket, key)
            if ctx.stop.is_set():
                raise _interrupted(place, address)
        client.put_object(Bucket=bucket, Key=f"{prefix}/{_COMPLETE}", Body=b"")
    except Exception as error:
        if isinstance(error, MlctlError):
            raise
        raise _explained(error, bucket, store, address) from error


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _interrupted(place: str, address: str) -> MlctlError:
    return MlctlError.of(
        "deploy.interrupted",
        f"the model was not copied to {place}",
        "mlctl was interrupted",
        "run `mlctl apply` again: it goes on with the files that are missing",
        exit_code=ExitCode.INTERRUPTED,
        address=address,
    )


def _explained(error: Any, bucket: str, store: ModelStore, address: str) -> MlctlError:
    """In our own words; what is no error of the bucket is a bug, and stays what it is."""
    import botocore.exceptions
    from boto3.exceptions import Boto3Error

    if not isinstance(error, botocore.exceptions.BotoCoreError | botocore.exceptions.ClientError | Boto3Error):
        raise error
    said = " ".join(str(error).split())[:400]
    return MlctlError.of(
        "deploy.models-unreachable",
        f"the model cannot be copied into the bucket `{bucket}` at {store.endpoint_url or 'S3'}",
        said,
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE; listing, reading and writing must be allowed",
        address=address,
    )
