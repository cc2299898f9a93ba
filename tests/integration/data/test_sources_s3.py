"""Objects of a bucket as a dataset, on a server in this process and on a real one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from mlctl.provider import Context
from mlctl.providers.local.dataset import Dataset
from mlctl.testing.harness import make_context, make_desired
from mlctl.types.diagnostic import MlctlError
from mlctl.types.event import Progress
from mlctl.types.state import Record
from tests.integration.data.helpers import dataset, write_sql
from tests.integration.data.test_sources_files import rows
from tests.integration.state.conftest import BUCKET, KEYS, client, moto_url, seaweedfs_url, url  # noqa: F401

pytestmark = pytest.mark.tools


@dataclass
class Bucket:
    """A prefix of its own in the one bucket of a server."""

    made: Any
    url: str
    prefix: str

    def put(self, name: str, data: bytes) -> None:
        self.made.put_object(Bucket=BUCKET, Key=f"{self.prefix}/{name}", Body=data)

    def block(self, name: str) -> dict[str, object]:
        return {"path": f"s3://{BUCKET}/{self.prefix}/{name}", "s3": {"endpoint_url": self.url, "region": "us-east-1"}}


@pytest.fixture
def bucket(url: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:  # noqa: F811 (a fixture)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    made = client(url)
    if BUCKET not in [item["Name"] for item in made.list_buckets()["Buckets"]]:
        made.create_bucket(Bucket=BUCKET)
    return Bucket(made, url, uuid4().hex[:12])


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return make_context(tmp_path)


def parquet(ctx: Context, query: str) -> bytes:
    write_sql(ctx.root / "made", {"x.parquet": query})
    return (ctx.root / "made/x.parquet").read_bytes()


def stored(ctx: Context) -> list[str]:
    return sorted(item.name for item in (ctx.home / "downloads").iterdir())


def test_a_key_a_prefix_and_a_pattern_with_folders_as_columns(ctx: Context, bucket: Bucket) -> None:
    for year in (2023, 2024):
        bucket.put(f"trips/year={year}/größe.parquet", parquet(ctx, f"SELECT {year} * 10 AS n"))
    bucket.put("trips/_SUCCESS", b"")
    bucket.put("trips/.hidden.parquet", b"x")
    bucket.put("tripsy.parquet", parquet(ctx, "SELECT 1 AS n"))
    for name in ("trips/", "trips", "trips/year=*/*.parquet"):
        made = dataset(ctx, "d", **bucket.block(name))
        assert rows(ctx, made, "n, year") == [[20230, 2023], [20240, 2024]], name
    one = dataset(ctx, "one", **bucket.block("trips/year=2024/größe.parquet"))
    assert rows(ctx, one, "n, year") == [[20240, 2024]]
    assert len(stored(ctx)) == len(os.listdir(ctx.home / "downloads")) == 2  # four datasets, two objects


def test_the_same_bytes_again_are_the_same_digest_and_others_another(ctx: Context, bucket: Bucket) -> None:
    bucket.put("d.csv", b"a\n1\n")
    first = dataset(ctx, "d", **bucket.block("d.csv"))
    assert dataset(ctx, "d", **bucket.block("d.csv")).key == first.key
    bucket.put("d.csv", b"a\n2\n")
    second = dataset(ctx, "d", **bucket.block("d.csv"))
    assert second.key != first.key
    assert second.digest != first.digest
    assert rows(ctx, first, "a") == [[1]]  # an older version keeps its rows
    assert rows(ctx, second, "a") == [[2]]
    Dataset().delete(first, ctx)
    assert len(stored(ctx)) == 1
    Dataset().delete(second, ctx)
    assert stored(ctx) == []


def test_an_object_that_is_written_again_after_the_plan_is_told(ctx: Context, bucket: Bucket) -> None:
    bucket.put("d/a.csv", b"a\n1\n")
    planned = make_desired(Dataset(), "datasets.d", bucket.block("d/"), ctx)
    bucket.put("d/a.csv", b"a\n2\n")
    with pytest.raises(MlctlError) as caught:
        Dataset().apply(planned, None, ctx)
    assert caught.value.diagnostics[0].code == "data.changed-while-reading"


def test_an_object_that_changes_while_it_is_downloaded_is_told_and_nothing_of_it_is_kept(
    ctx: Context, bucket: Bucket
) -> None:
    from mlctl.runtime.profile.copy import s3
    from mlctl.runtime.report import Report
    from mlctl.types.jobs.copy import Download, S3Object

    bucket.put("d.csv", b"a\n2\n")
    key = f"{bucket.prefix}/d.csv"
    stale = S3Object(key=key, etag='"0123456789abcdef0123456789abcdef"', size=4)
    wanted = Download(
        bucket=BUCKET,
        objects=[stale],
        endpoint_url=bucket.url,
        region="us-east-1",
        store=str(ctx.home / "downloads"),
        target=str(ctx.root / "o"),
    )
    with pytest.raises(MlctlError, match="changed after it was planned"):
        s3.fetch(wanted, Report(ctx.root))
    assert stored(ctx) == []


def test_a_large_object_comes_in_parts_and_tells_its_bytes(ctx: Context, bucket: Bucket) -> None:
    size = (40 << 20) + 17
    data = b"a\n" + b"1\n" * ((size - 2) // 2)
    bucket.put("large.csv", data)
    told: list[Progress] = []
    made = dataset(replace(ctx, progress=told.append), "d", **bucket.block("large.csv"))
    [file] = made.outputs["files"]  # type: ignore[misc]
    assert (ctx.root / str(file)).read_bytes() == data
    bytes_told = [item for item in told if item.unit == "bytes"]
    assert bytes_told[-1].done == bytes_told[-1].total == len(data)


_APPLY = """
import json, sys
from pathlib import Path
from mlctl.testing.harness import make_context
from tests.integration.data.helpers import dataset
made = dataset(make_context(Path(sys.argv[1])), "d", **json.loads(sys.argv[2]))
print(made.digest)
"""


def test_a_download_that_was_killed_goes_on_with_the_files_it_had_not_finished(ctx: Context, bucket: Bucket) -> None:
    for number in range(24):
        bucket.put(f"d/{number:02}.csv", b"a\n" + b"%d\n" % number * (1 << 19))
    command = [sys.executable, "-c", _APPLY, str(ctx.root), json.dumps(bucket.block("d/"))]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    store = ctx.home / "downloads"
    deadline = time.monotonic() + 60
    while not (store.is_dir() and len(stored(ctx)) >= 3):
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    worker = json.loads(next(ctx.home.rglob("process.json")).read_text())["pid"]
    os.killpg(worker, signal.SIGKILL)
    running.kill()
    running.communicate()
    kept = {name: (store / name).stat().st_mtime_ns for name in stored(ctx)}
    assert 3 <= len(kept) <= 24
    (store / min(kept)).unlink()  # as if it had been killed between a file and its place in the store
    made = dataset(ctx, "d", **bucket.block("d/"))
    assert made.outputs["rows"] == 24 << 19
    assert {name: (store / name).stat().st_mtime_ns for name in kept} == kept  # not fetched again
    assert len(stored(ctx)) == 24
    assert not (ctx.folder(made.key) / "partial").exists()


@pytest.mark.parametrize(
    ("block", "code"),
    [
        ({"path": f"s3://{BUCKET}/nope/"}, "data.missing-file"),
        ({"path": "s3://no-such-bucket-here/x.csv"}, "data.missing-file"),
        ({"path": "s3://no-such-bucket-here/x/"}, "data.missing-bucket"),
    ],
)
def test_what_is_not_there_is_told_at_plan(ctx: Context, bucket: Bucket, block: dict[str, str], code: str) -> None:
    with pytest.raises(MlctlError) as caught:
        make_desired(Dataset(), "datasets.d", {**block, "s3": {"endpoint_url": bucket.url, "region": "us-east-1"}}, ctx)
    assert caught.value.diagnostics[0].code in (code, "data.missing-bucket")


def test_a_server_that_is_down_and_keys_that_are_wrong_are_told_apart(
    ctx: Context, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def code(values: dict[str, object]) -> str:
        with pytest.raises(MlctlError) as caught:
            make_desired(Dataset(), "datasets.d", values, ctx)
        return caught.value.diagnostics[0].code

    block = bucket.block("d/")
    assert (
        code({**block, "s3": {"endpoint_url": "http://127.0.0.1:1", "region": "us-east-1"}})
        == "data.bucket-unreachable"
    )
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    assert code(block) == "data.bucket-denied"


def test_a_versioned_object_is_known_by_its_version(
    ctx: Context,
    moto_url: str,  # noqa: F811 (a fixture)
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    made = client(moto_url)
    made.create_bucket(Bucket="versioned")
    made.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    block = {"path": "s3://versioned/d.csv", "s3": {"endpoint_url": moto_url, "region": "us-east-1"}}

    def put(data: bytes) -> str:
        version: str = made.put_object(Bucket="versioned", Key="d.csv", Body=data)["VersionId"]
        return version

    first = put(b"a\n1\n")
    record: Record = dataset(ctx, "d", **block)
    assert record.parts["object:d.csv"] == first
    second = put(b"a\n1\n")  # the same bytes: another version, and nothing runs after it
    again = dataset(ctx, "d", **block)
    assert again.parts["object:d.csv"] == second != first
    assert again.digest == record.digest
