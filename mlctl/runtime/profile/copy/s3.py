"""Objects of a bucket as files: each is downloaded once, in parts and several at a time, exactly in the version that was planned."""

from __future__ import annotations

import os
import shutil
import threading
import time
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlctl.runtime.report import Report
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.copy import Download, S3Object
from mlctl.types.value import digest

_PART = 16 << 20  # bytes of an object fetched by one request
_AT_ONCE = 8
_READ = 1 << 20
_REPORT_SECONDS = 0.5


def fetch(wanted: Download, report: Report) -> list[str]:
    """The local files of the objects, in their order. What is in the store already is not asked for again. Raises MlctlError.

    Only whole files count: one is written beside, and put into the store when it has all its bytes. So a program that was
    killed goes on with the files that it had not finished.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    from mlctl.databases.s3 import client, explain

    store, parts = Path(wanted.store), report.folder / "partial"
    shutil.rmtree(parts, ignore_errors=True)
    parts.mkdir(parents=True)
    store.mkdir(parents=True, exist_ok=True, mode=0o700)
    files = [Path(wanted.target, item.key) for item in wanted.objects]
    missing = [
        (item, file) for item, file in zip(wanted.objects, files, strict=True) if not _linked(wanted, item, file)
    ]
    try:
        if missing:
            made = client(wanted.endpoint_url, wanted.region, connections=2 * _AT_ONCE)
            told = _Told(report, sum(item.size for item, _ in missing))
            # an object waits for its parts, and parts for nobody: two pools, so that neither can block the other
            with ThreadPoolExecutor(_AT_ONCE) as pieces, ThreadPoolExecutor(_AT_ONCE) as whole:

                def bring(item: S3Object, file: Path) -> None:
                    part = parts / _name(wanted, item)
                    _download(made, wanted.bucket, item, part, pieces, told)
                    _keep(part, store / part.name, file)

                _all([whole.submit(bring, item, file) for item, file in missing])
    except (ClientError, BotoCoreError) as error:
        raise explain(error, wanted.bucket, wanted.endpoint_url) from error
    finally:
        shutil.rmtree(parts, ignore_errors=True)
    return [str(file) for file in files]


def _name(wanted: Download, item: S3Object) -> str:
    """What an object is called in the store: by where it is and which version of it this is."""
    return digest([wanted.endpoint_url, wanted.bucket, item.key, item.version_id, item.etag])[:32]


def _linked(wanted: Download, item: S3Object, file: Path) -> bool:
    """Whether the file is there, by a link to what the store has if need be."""
    kept = Path(wanted.store) / _name(wanted, item)
    if file.is_file() and file.stat().st_size == item.size:
        _share(file, kept)  # a program that was killed may not have come to it
        return True
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        if kept.stat().st_size != item.size:
            return False
        _link(kept, file)
    except FileNotFoundError:  # not there, or another dataset that had it was removed just now
        return False
    return True


def _keep(part: Path, kept: Path, file: Path) -> None:
    """Put a whole file in its place, and into the store for others."""
    os.replace(part, file)
    _share(file, kept)


def _share(file: Path, kept: Path) -> None:
    with suppress(OSError):  # somebody was faster, or the file system has no links: then it is there once
        os.link(file, kept)


def _link(kept: Path, file: Path) -> None:
    beside = file.with_name(f".{file.name[:100]}.part")
    beside.unlink(missing_ok=True)
    try:
        os.link(kept, beside)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(kept, beside)
    os.replace(beside, file)


class _Told:
    """Counts bytes from several threads."""

    def __init__(self, report: Report, total: int) -> None:
        self._report, self._total = report, total
        self._lock = threading.Lock()
        self._done, self._last = 0, time.monotonic()

    def add(self, size: int) -> None:
        """So many bytes more."""
        with self._lock:
            self._done += size
            if time.monotonic() - self._last > _REPORT_SECONDS or self._done == self._total:
                self._report.progress("downloading", self._done, self._total, "bytes")
                self._last = time.monotonic()


def _download(made: Any, bucket: str, item: S3Object, part: Path, pool: ThreadPoolExecutor, told: _Told) -> None:
    """One object into a file, its parts in parallel, each on the condition that it is still that version."""
    handle = os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    try:
        starts = range(0, item.size, _PART)
        futures = [pool.submit(_piece, made, bucket, item, handle, start, told) for start in starts]
        _all(futures)
        os.fsync(handle)
    finally:
        os.close(handle)


def _all(futures: list[Future[None]]) -> None:
    """Wait for all; on the first error, for those that have begun only."""
    done, rest = wait(futures, return_when=FIRST_EXCEPTION)
    for future in rest:
        future.cancel()
    wait(rest)
    for future in done:
        future.result()


def _piece(made: Any, bucket: str, item: S3Object, handle: int, start: int, told: _Told) -> None:
    """A range of an object, written where it belongs."""
    end = min(start + _PART, item.size)
    version = {"VersionId": item.version_id} if item.version_id else {}
    try:
        answer = made.get_object(
            Bucket=bucket, Key=item.key, Range=f"bytes={start}-{end - 1}", IfMatch=item.etag, **version
        )
    except made.exceptions.ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] in (404, 412):
            raise _changed(item.key) from None
        raise
    place, pieces = start, answer["Body"].iter_chunks(_READ)
    for piece in pieces:
        os.pwrite(handle, piece, place)
        place += len(piece)
        told.add(len(piece))
    if place != end:
        raise _changed(item.key)


def _changed(key: str) -> MlctlError:
    return MlctlError.of(
        "data.changed-while-reading",
        f"the object `{key}` changed after it was planned",
        "it is gone, or has another ETag than the plan saw",
        "run `mlctl apply` again when nobody writes to it",
    )
