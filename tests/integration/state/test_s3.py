"""What only a bucket can do to a state: answers that are lost, leases that run out, writers without the lock, no network."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mlctl.engine.store import format
from mlctl.engine.store.s3 import lease as leases
from mlctl.engine.store.s3.place import Place
from mlctl.engine.store.s3.store import S3Store
from mlctl.types.address import ObjectKey
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.state import Pending, Record, State
from tests.integration.state.conftest import client
from tests.integration.state.places import BucketWorld, Client

A, B = ObjectKey.parse("builds.a#1"), ObjectKey.parse("builds.b#2")
LEASE_SECONDS = 2.0
ROOT = Path(__file__).parents[3]


def code(error: pytest.ExceptionInfo[MlctlError]) -> str:
    return error.value.diagnostics[0].code


class Lossy:
    """A client whose every conditional write loses its first answer, after the server did it, and sends it again."""

    def __init__(self, real: Any) -> None:
        self.real = real
        self.lost = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.real, name)
        if name not in ("put_object", "delete_object"):
            return found

        def call(**arguments: Any) -> Any:
            found(**arguments)
            self.lost += 1
            return found(**arguments)

        return call


def test_a_request_whose_answer_was_lost_does_not_lock_its_sender_out(bucket_world: BucketWorld) -> None:
    lossy = Lossy(bucket_world.client)
    for number in range(2):
        store = bucket_world.open(client=lossy)
        with store.session("test") as session:
            session.record(Record(A, sequence=number + 1))
            session.record(Record(B, sequence=number + 1))
        assert store.warnings == []
    assert lossy.lost >= 2 * 5  # lock, two entries, state, and the lock let go
    assert bucket_world.open().read().serial == 2
    assert bucket_world.open().holder() is None


def test_a_lease_is_renewed_for_as_long_as_its_holder_works(bucket_world: BucketWorld) -> None:
    with bucket_world.open(lease_seconds=LEASE_SECONDS).session("apply") as session:
        first = bucket_world.client.get_object(Bucket=bucket_world.bucket, Key=f"{bucket_world.prefix}/lock.json")["Body"].read()  # fmt: skip
        deadline = time.monotonic() + LEASE_SECONDS + leases._GRAIN_SECONDS + 0.5
        while time.monotonic() < deadline:
            with pytest.raises(MlctlError) as caught, bucket_world.open().session("second"):
                pass
            assert caught.value.exit_code is ExitCode.LOCKED
            time.sleep(0.3)
        session.record(Record(A))
        assert first != bucket_world.client.get_object(Bucket=bucket_world.bucket, Key=f"{bucket_world.prefix}/lock.json")["Body"].read()  # fmt: skip
    assert A in bucket_world.open().read().objects


def test_a_holder_that_was_cut_off_is_taken_over_and_writes_nothing_more(bucket_world: BucketWorld) -> None:
    cut = threading.Event()

    def network(name: str, arguments: dict[str, Any]) -> None:
        if cut.is_set():
            from botocore.exceptions import EndpointConnectionError

            raise EndpointConnectionError(endpoint_url="http://cut.off")

    old = bucket_world.open(client=Client(bucket_world.client, before=network), lease_seconds=LEASE_SECONDS)
    seen: list[str] = []

    def work() -> None:
        with old.session("apply") as session:
            session.record(Record(A, pending=Pending.APPLY, sequence=1))
            cut.set()
            with pytest.raises(MlctlError) as caught:
                session.record(Record(A, id="early", sequence=2))
            seen.append(code(caught))
            with pytest.raises(MlctlError) as caught, bucket_world.open().session("soon"):
                pass
            seen.append(code(caught))
            new = bucket_world.open()
            with new.session("later", wait_seconds=20) as later:
                seen.extend(item.code for item in new.warnings)
                later.record(Record(B, sequence=3))
                cut.clear()
                with pytest.raises(MlctlError) as caught:
                    session.record(Record(A, id="late", sequence=4))
                seen.append(code(caught))

    with pytest.raises(MlctlError) as caught:
        work()
    assert seen == ["state.s3-unreachable", "state.locked", "state.lease-taken-over", "state.lease-lost"]
    assert code(caught) == "state.lease-lost"
    state = bucket_world.open().read()
    assert state.objects[A].pending is Pending.APPLY
    assert B in state.objects


PROGRAM = """
import json, os, pathlib, signal, sys, time
from mlctl.engine.store.s3.store import S3Store
from mlctl.engine.store.s3.place import Place
from mlctl.types.address import ObjectKey
from mlctl.types.state import Record
from tests.integration.state.conftest import client

url, bucket, prefix, skew = sys.argv[1:]
real = time.time
time.time = lambda: real() + float(skew)
store = S3Store(Place(bucket, prefix), pathlib.Path("/nonexistent"), client=client(url), lease_seconds=3)
began = time.monotonic()
with store.session("apply", wait_seconds=30) as session:
    waited = time.monotonic() - began
    if skew == "0":
        session.record(Record(ObjectKey.parse("builds.a#1"), sequence=1))
        os.kill(os.getpid(), signal.SIGKILL)
print(json.dumps({"waited": waited, "warnings": [item.code for item in store.warnings]}))
"""


@pytest.mark.soak
@pytest.mark.parametrize("skew", ["-864000", "864000"])
@pytest.mark.contract(10)
def test_what_a_killed_process_left_is_taken_over_by_the_servers_clock(
    bucket_world: BucketWorld, url: str, skew: str
) -> None:
    """Ten days of error in the clock of the next machine change nothing: the age of a lock is what the server says."""

    def run(skew: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", PROGRAM, url, bucket_world.bucket, bucket_world.prefix, skew]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    killed = run("0")
    assert killed.returncode == -9, killed.stderr
    assert A in bucket_world.open().read().objects
    assert "state.json" not in bucket_world.files()
    done = run(skew)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["warnings"] == ["state.lease-taken-over"]
    assert said["waited"] > 1, "the lease still counted when the next one came"
    assert "state.json" in bucket_world.files()
    assert A in bucket_world.open().read().objects


def test_a_state_that_somebody_wrote_without_the_lock_is_not_overwritten(bucket_world: BucketWorld) -> None:
    with bucket_world.open().session("first") as session:
        session.record(Record(A, sequence=1))
    foreign = format.encode(State(bucket_world.open().read().lineage, 2, {}))

    def work() -> None:
        with bucket_world.open().session("apply") as session:
            session.record(Record(B, sequence=2))
            bucket_world.write("state.json", foreign)

    with pytest.raises(MlctlError) as caught:
        work()
    assert code(caught) == "state.lost-update"
    assert bucket_world.files()["state.json"] == foreign
    rescued = bucket_world.home / "errored.state.json"
    assert f"mlctl state push {rescued}" in caught.value.diagnostics[0].fix
    assert set(format.decode(rescued.read_bytes()).objects) == {A, B}
    assert rescued.stat().st_mode & 0o777 == 0o600
    store = bucket_world.open()
    with store.session("next"):
        pass
    assert [item.code for item in store.warnings] == ["state.journal-foreign"]  # and a copy of it is kept
    assert any(b"builds.b" in data for name, data in bucket_world.files().items() if "journal.foreign" in name)


def test_a_state_that_cannot_be_brought_to_the_bucket_is_kept_here_and_in_the_journal(
    bucket_world: BucketWorld,
) -> None:
    def network(name: str, arguments: dict[str, Any]) -> None:
        if arguments.get("Key", "").endswith("/state.json"):
            from botocore.exceptions import ReadTimeoutError

            raise ReadTimeoutError(endpoint_url="http://slow")

    def work() -> None:
        with bucket_world.open(client=Client(bucket_world.client, before=network)).session("apply") as session:
            session.record(Record(A, sequence=1))

    with pytest.raises(MlctlError) as caught:
        work()
    assert code(caught) == "state.s3-unreachable"
    assert "mlctl state push" in caught.value.diagnostics[0].fix
    assert set(format.decode((bucket_world.home / "errored.state.json").read_bytes()).objects) == {A}
    assert A in bucket_world.open().read().objects
    with bucket_world.open().session("next") as session:
        assert session.ledger.get(A) is not None


@contextmanager
def counted(world: BucketWorld) -> Iterator[list[str]]:
    """The requests that are made meanwhile."""
    asked: list[str] = []

    def note(request: Any, **_: Any) -> None:
        asked.append(f"{request.method} {request.url.partition('?')[0].rpartition('/')[2] or 'list'}")

    world.client.meta.events.register("before-send.s3", note)
    yield asked
    world.client.meta.events.unregister("before-send.s3", note)


def test_a_look_at_a_state_is_two_requests_and_a_step_is_one(bucket_world: BucketWorld) -> None:
    with bucket_world.open().session("first") as session:
        session.record(Record(A, sequence=1))
    with counted(bucket_world) as asked:
        bucket_world.open().read()
    assert len(asked) == 2
    with bucket_world.open().session("second") as session, counted(bucket_world) as asked:
        for number in range(10):
            session.record(Record(B, sequence=number))
        assert len(asked) == 10


@pytest.mark.parametrize("moto", ["moto"])
def test_what_is_wrong_with_the_place_is_said_with_what_to_do(
    moto: str, moto_url: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    wrong = {
        "state.s3-no-bucket": S3Store(Place("no-such-bucket", "p"), tmp_path, client=client(moto_url)),
        "state.s3-unreachable": S3Store(Place("b", "p"), tmp_path, client=client("http://127.0.0.1:9", attempts=1)),
        "state.s3-no-credentials": S3Store(Place("b", "p", "us-east-1", moto_url), tmp_path),
    }
    for expected, store in wrong.items():
        with pytest.raises(MlctlError) as caught:
            store.read()
        assert code(caught) == expected
        assert caught.value.diagnostics[0].fix
    with pytest.raises(MlctlError) as caught:
        S3Store(Place("b", "p", "us-east-1", moto_url, profile="nobody"), tmp_path).read()
    assert code(caught) == "state.s3-no-credentials"


def test_encryption_is_asked_for_with_every_object(bucket_world: BucketWorld) -> None:
    place = Place(bucket_world.bucket, bucket_world.prefix, sse="aws:kms", kms_key="alias/state")
    seen: list[dict[str, Any]] = []
    watching = Client(bucket_world.client, before=lambda name, arguments: seen.append({"name": name, **arguments}))
    try:
        with S3Store(place, bucket_world.home, client=watching).session("test") as session:
            session.record(Record(A))
    except MlctlError:
        pass  # a server without a key service refuses; what was asked of it is what counts
    puts = [item for item in seen if item["name"] == "put_object"]
    assert puts
    assert {(item["ServerSideEncryption"], item["SSEKMSKeyId"]) for item in puts} == {("aws:kms", "alias/state")}


def test_the_place_of_each_project_and_environment_is_its_own() -> None:
    settings = {
        "backend": "s3",
        "bucket": "b",
        "prefix": "/team/",
        "encryption": {"sse": "AES256"},
        "region": "eu-west-1",
    }
    place = Place.of(settings, "rides", "prod")
    assert (place.prefix, place.key("state.json"), str(place)) == ("team/rides/prod", "team/rides/prod/state.json", "s3://b/team/rides/prod")  # fmt: skip
    assert (place.sse, place.kms_key, place.region) == ("AES256", None, "eu-west-1")
    assert Place.of({"bucket": "b"}, "rides", "dev").prefix == "rides/dev"
