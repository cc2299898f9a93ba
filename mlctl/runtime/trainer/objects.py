"""Objects below one prefix of a bucket, with errors in our own words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from mlctl.files import atomic
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.recipe import Storage
from mlctl.types.jobs.tracking import TrackingTarget

_PART = 16 << 20  # bytes of one part of a large object
_AT_ONCE = 4  # parts
_DELETE_LIMIT = 1000  # keys a request
UNREACHABLE = "storage.unreachable"  # the one error that may pass by itself


def below(storage: Storage, *parts: str) -> Storage:
    """A place further down in the same bucket."""
    return storage.model_copy(update={"url": "/".join([storage.url, *parts])})


def job_place(storage: Storage, target: TrackingTarget) -> Storage:
    """Where the objects of one training stand: no other project, address or identity has the same."""
    identity = target.object.partition("#")[2]
    return below(storage, *(quote(part, safe="") for part in (target.lineage, target.address, identity)))


class Objects:
    """The objects of a place in a bucket, by names relative to it. Safe to use from several threads. All raise MlctlError."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        parts = urlsplit(storage.url)
        self.bucket, self._prefix = parts.netloc, parts.path.strip("/")
        self._made: Any = None

    def check(self) -> None:
        """Make sure that the bucket is there and may be listed."""
        with self._told("listed"):
            self._client.list_objects_v2(Bucket=self.bucket, Prefix=self._key(""), MaxKeys=1)

    def names(self, prefix: str = "", after: str | None = None) -> dict[str, int]:
        """Sizes of the objects whose names begin with a prefix, by name in order; with `after`, only of those behind it."""
        start = {} if after is None else {"StartAfter": self._key(after)}
        cut = len(self._key(""))
        with self._told("listed"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=self._key(prefix), **start
            )
            found = {item["Key"][cut:]: item["Size"] for page in pages for item in page.get("Contents", ())}
        return dict(sorted(found.items()))

    def get(self, name: str) -> bytes | None:
        """The bytes of an object; None when there is none."""
        with self._told("read"):
            try:
                data: bytes = self._client.get_object(Bucket=self.bucket, Key=self._key(name))["Body"].read()
            except self._client.exceptions.NoSuchKey:
                return None
        return data

    def get_json(self, name: str) -> Any:
        """A JSON object; None when there is none. Raises ValueError for other bytes."""
        data = self.get(name)
        return None if data is None else json.loads(data)

    def get_file(self, name: str, path: Path) -> None:
        """Fetch a large object into a file. Raises FileNotFoundError when there is none."""
        with self._told("read"):
            try:
                self._client.download_file(self.bucket, self._key(name), str(path), Config=self._transfer())
            except self._client.exceptions.ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                    raise FileNotFoundError(name) from error
                raise

    def put(self, name: str, data: bytes) -> None:
        """Write an object."""
        with self._told("written"):
            self._client.put_object(Bucket=self.bucket, Key=self._key(name), Body=data)

    def put_json(self, name: str, value: Any) -> None:
        """Write a small object."""
        self.put(name, json.dumps(value, sort_keys=True).encode())

    def put_file(self, name: str, path: Path) -> None:
        """Write a file, in parts when it is large. Raises OSError when it cannot be read."""
        with self._told("written"):
            self._client.upload_file(str(path), self.bucket, self._key(name), Config=self._transfer())

    def delete(self, names: Iterable[str]) -> None:
        """Remove objects; gone already is fine."""
        keys = [{"Key": self._key(name)} for name in names]
        with self._told("written"):
            for start in range(0, len(keys), _DELETE_LIMIT):
                self._client.delete_objects(
                    Bucket=self.bucket, Delete={"Objects": keys[start : start + _DELETE_LIMIT], "Quiet": True}
                )

    def drop_unfinished(self) -> None:
        """Give up uploads that a kill cut short: nobody sees them, and they cost as much as what is there."""
        with self._told("written"):
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self.bucket, Prefix=self._key("")
            )
            for item in [item for page in pages for item in page.get("Uploads", ())]:
                self._client.abort_multipart_upload(Bucket=self.bucket, Key=item["Key"], UploadId=item["UploadId"])

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

    def _transfer(self) -> Any:
        from boto3.s3.transfer import TransferConfig

        return TransferConfig(multipart_threshold=_PART, multipart_chunksize=_PART, max_concurrency=_AT_ONCE)

    @property
    def _client(self) -> Any:
        """The client, made on first use; its credentials are those of the environment or of a profile."""
        if self._made is None:
            from mlctl.databases import s3

            self._made = s3.client(self.storage.endpoint_url, self.storage.region, connections=4 * _AT_ONCE)
        return self._made

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (Boto3Error, BotoCoreError, ClientError) as error:
            cause = error.__cause__ or error.__context__ if isinstance(error, Boto3Error) else error
            raise self._explained(cause or error, what) from error

    def _explained(self, error: BaseException, what: str) -> MlctlError:
        """What an error of boto3 means for the person whose training it is."""
        said = " ".join(str(error).split())[:400]
        where = self.storage.endpoint_url or "S3"
        answer = getattr(error, "response", {})
        code = str(answer.get("Error", {}).get("Code", ""))
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if code == "NoSuchBucket":
            return MlctlError.of(
                "storage.missing-bucket",
                f"there is no bucket `{self.bucket}` at {where}",
                said,
                "make the bucket, or correct `storage` and its `endpoint_url`",
            )
        if status in (401, 403) or type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
            return MlctlError.of(
                "storage.denied",
                f"`{self.storage.url}` at {where} may not be {what}",
                said,
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE; listing, reading, writing and deleting must be allowed",
            )
        return MlctlError.of(
            UNREACHABLE,
            f"`{self.storage.url}` at {where} cannot be {what}",
            said,
            "see `endpoint_url` and `region` of the storage, and the network; then run `mlctl apply` again",
        )


def fetch_verified(objects: Objects, prefix: str, files: dict[str, str], folder: Path) -> bool:
    """Fetch files into a folder that is to be made, whole or not at all; False when one is missing or is not what its digest says."""
    import shutil

    from blake3 import blake3

    beside = folder.with_name(f".fetched-{folder.name}")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        for name, digest in files.items():
            path = beside / name
            if not path.resolve().is_relative_to(beside.resolve()):
                return False
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                objects.get_file(f"{prefix}/{name}", path)
            except FileNotFoundError:
                return False
            if blake3().update_mmap(path).hexdigest() != digest:
                return False
        shutil.rmtree(folder, ignore_errors=True)
        beside.rename(folder)
        atomic.sync_folder(folder.parent)
        return True
    finally:
        shutil.rmtree(beside, ignore_errors=True)
