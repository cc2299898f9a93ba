"""The few requests that a state needs, with conditions. The only file that knows boto3.

A request whose answer was lost is sent again by boto3, and the server then says that the condition does not hold any
more, because of our own first success. So whoever is refused looks whether what stands there is what it wrote.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from mlctl.engine.store.s3.errors import told
from mlctl.engine.store.s3.place import Place

_CONNECT_SECONDS, _READ_SECONDS, _ATTEMPTS = 5, 30, 4
_CONFLICT_TRIES, _CONFLICT_PAUSE_SECONDS = 5, 0.2
_AT_ONCE = 16  # requests
_DELETE_LIMIT = 1000  # keys a request


@dataclass(frozen=True, slots=True)
class Blob:
    """An object as it was read. `age_seconds` is by the server's clock, both ends of it."""

    data: bytes
    etag: str
    age_seconds: float


class Refused(Exception):
    """A conditional write was refused; `there` is what stands in its place."""

    def __init__(self, there: Blob | None) -> None:
        super().__init__("the condition does not hold")
        self.there = there


@dataclass(frozen=True, slots=True)
class Listed:
    """An object in a listing; the name is relative to the place."""

    name: str
    size: int


class Bucket:
    """Objects below one prefix. Safe to use from several threads. All methods raise MlctlError (`state.s3-*`)."""

    def __init__(self, place: Place, client: Any = None) -> None:
        self.place = place
        self._made = client

    def get(self, name: str) -> Blob | None:
        """Read an object; None when there is none."""
        with self._told(name):
            try:
                answer = self._client.get_object(Bucket=self.place.bucket, Key=self.place.key(name))
            except self._client.exceptions.NoSuchKey:
                return None
            data: bytes = answer["Body"].read()
        return Blob(data, answer["ETag"], _age(answer))

    def get_all(self, names: Sequence[str]) -> list[bytes | None]:
        """Read several, a few at once."""
        if not names:
            return []
        with ThreadPoolExecutor(min(_AT_ONCE, len(names))) as pool:
            return [None if blob is None else blob.data for blob in pool.map(self.get, names)]

    def first_line(self, name: str, limit: int = 4096) -> bytes:
        """The first line of an object, without fetching the rest."""
        with self._told(name):
            answer = self._client.get_object(
                Bucket=self.place.bucket, Key=self.place.key(name), Range=f"bytes=0-{limit - 1}"
            )
            line: bytes = answer["Body"].read().partition(b"\n")[0]
        return line

    def put(self, name: str, data: bytes, *, absent: bool = False, match: str | None = None) -> str:
        """Write an object, on the condition that there is none, or that it is still the one with this ETag. Gives the new ETag.

        Raises Refused when the condition does not hold and what stands there is not what was to be written.
        """
        condition = {"IfNoneMatch": "*"} if absent else {} if match is None else {"IfMatch": match}
        with self._told(name):
            for left in reversed(range(_CONFLICT_TRIES)):
                try:
                    answer = self._client.put_object(
                        Bucket=self.place.bucket, Key=self.place.key(name), Body=data, **self._encryption(), **condition
                    )
                except self._client.exceptions.ClientError as error:
                    if error.response["ResponseMetadata"]["HTTPStatusCode"] == 409 and left:
                        time.sleep(_CONFLICT_PAUSE_SECONDS)  # two conditional writes met; the answer is to ask again
                        continue
                    if not condition or not _is_refusal(error, conditional=match is not None):
                        raise
                    return self._ours(name, data)
                return str(answer["ETag"])
        raise AssertionError("the loop ends by an answer or an error")

    def delete(self, names: Sequence[str]) -> None:
        """Remove objects; gone already is fine."""
        for start in range(0, len(names), _DELETE_LIMIT):
            chunk = names[start : start + _DELETE_LIMIT]
            with self._told(chunk[0]):
                self._client.delete_objects(
                    Bucket=self.place.bucket,
                    Delete={"Objects": [{"Key": self.place.key(name)} for name in chunk], "Quiet": True},
                )

    def delete_if(self, name: str, etag: str) -> bool:
        """Remove an object if it is still the one with this ETag; False when it is another one by now."""
        with self._told(name):
            try:
                self._client.delete_object(Bucket=self.place.bucket, Key=self.place.key(name), IfMatch=etag)
            except self._client.exceptions.ClientError as error:
                if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                    return True
                if not _is_refusal(error, conditional=True):
                    raise
                return False
        return True

    def names(self, prefix: str) -> list[Listed]:
        """What there is below a prefix, sorted by name."""
        cut = len(self.place.key(""))
        with self._told(prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.place.bucket, Prefix=self.place.key(prefix)
            )
            found = [Listed(item["Key"][cut:], item["Size"]) for page in pages for item in page.get("Contents", ())]
        return sorted(found, key=lambda item: item.name)

    def _ours(self, name: str, data: bytes) -> str:
        """After a refusal: the ETag when what stands there is what we wrote, by a request whose answer was lost."""
        there = self.get(name)
        if there is None or there.data != data:
            raise Refused(there)
        return there.etag

    def _encryption(self) -> dict[str, str]:
        given = {"ServerSideEncryption": self.place.sse, "SSEKMSKeyId": self.place.kms_key}
        return {name: value for name, value in given.items() if value}

    @contextmanager
    def _told(self, name: str) -> Iterator[None]:
        """Errors of boto3 in our own words."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError) as error:
            raise told(error, self.place, name) from error

    @property
    def _client(self) -> Any:
        """The boto3 client, made on first use."""
        if self._made is None:
            import boto3
            from botocore.config import Config

            config = Config(
                connect_timeout=_CONNECT_SECONDS, read_timeout=_READ_SECONDS, max_pool_connections=2 * _AT_ONCE,
                retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
                # a server that is not Amazon's may not know the checksums that boto3 adds of late
                request_checksum_calculation="when_required", response_checksum_validation="when_required",
                s3={"addressing_style": "path"} if self.place.endpoint else {},
            )  # fmt: skip
            session = boto3.Session(profile_name=self.place.profile, region_name=self.place.region)
            self._made = session.client("s3", endpoint_url=self.place.endpoint, config=config)
        return self._made


def _is_refusal(error: Any, *, conditional: bool) -> bool:
    """Whether the server says that a condition does not hold: 412, or 404 for an object that has to be there."""
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    return status == 412 or (conditional and status == 404 and error.response["Error"]["Code"] == "NoSuchKey")


def _age(answer: Any) -> float:
    """Seconds since an object was written, by the clock of the server, which says both when it was and what time it is."""
    modified: datetime = answer["LastModified"]
    now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    return (now - modified).total_seconds()
