"""A project whose state is in a bucket, by the real command line: two machines, one state."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests import nursery
from tests.integration.state.conftest import BUCKET, KEYS, client

pytestmark = [pytest.mark.tools]
MLCTL = Path(sys.executable).with_name("mlctl")


def run(root: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    known = {**os.environ, **KEYS, "AWS_EC2_METADATA_DISABLED": "true", **environment}
    return nursery.mlctl(*arguments, folder=root, environment=known)


@pytest.fixture
def project(tmp_path: Path, moto_url: str) -> Path:
    """A table, and a state in a bucket under a prefix of its own."""
    made = client(moto_url)
    made.create_bucket(Bucket=BUCKET)
    root = tmp_path / "here"
    (root / "data").mkdir(parents=True)
    (root / "data" / "visits.csv").write_text("visit_id,spent\n1,2\n2,4\n")
    state = {"backend": "s3", "bucket": BUCKET, "prefix": uuid.uuid4().hex, "endpoint": moto_url, "region": "us-east-1"}
    (root / "mlctl.yaml").write_text(
        f"project: small\nstate: {json.dumps(state)}\ndatasets:\n  visits: {{path: data/visits.csv}}\n"
    )
    return root


def test_two_machines_share_one_state(project: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    shutil.copytree(project, there)
    applied = run(project, "apply", "--auto-approve")
    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert not (project / ".mlctl" / "default" / "state.json").exists()
    first = run(project, "state", "pull", "--json")
    second = run(there, "state", "pull", "--json")
    assert json.loads(first.stdout) == json.loads(second.stdout)
    (key,) = json.loads(first.stdout)["objects"]
    moved = run(there, "state", "mv", "datasets.visits", "datasets.trips", "--auto-approve")
    assert moved.returncode == 0, moved.stderr
    assert run(project, "state", "list").stdout == f"{key.replace('visits', 'trips')}\n"
    undone = run(project, "state", "undo", "--auto-approve")
    assert undone.returncode == 0, undone.stderr
    assert [json.loads(line)["operation"] for line in run(there, "state", "log", "--json").stdout.splitlines()] == ["state undo", "state mv", "apply"]  # fmt: skip
    assert run(project, "plan", "--detailed-exitcode").returncode == 0
    checked = run(project, "state", "fsck")
    assert checked.returncode == 0, checked.stderr
    elsewhere = run(there, "state", "fsck")
    assert "fsck.no-folder" in elsewhere.stderr  # the profile is on the machine that made it


def test_what_another_machine_made_is_not_let_go_without_a_word(project: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    shutil.copytree(project, there)
    assert run(project, "apply", "--auto-approve").returncode == 0
    for look in (("plan", "--destroy"), ("plan", "--refresh-only"), ("plan", "--refresh-only", "--json")):
        found = run(there, *look)
        assert "state.made-elsewhere" in found.stdout + found.stderr, look
        assert "state.made-elsewhere" not in run(project, *look).stderr
    before = run(project, "state", "pull").stdout
    for refused in (
        ("destroy", "-y"),
        ("apply", "-y"),
        ("apply", "-y", "--refresh-only"),
        ("plan", "--detailed-exitcode"),
    ):
        found = run(there, *refused)
        assert (found.returncode, "error[state.made-elsewhere]" in found.stderr) == (1, True), refused
    assert run(project, "state", "pull").stdout == before
    gone = run(there, "destroy", "--auto-approve", "--forget-elsewhere")
    assert (gone.returncode, "state.made-elsewhere" in gone.stderr) == (0, True)
    assert "datasets.visits" in gone.stderr
    assert list((project / ".mlctl" / "default" / "objects" / "datasets.visits").iterdir())


def test_without_credentials_the_error_says_what_to_set_and_nothing_is_printed_of_them(
    project: Path, tmp_path: Path
) -> None:
    missing = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "HOME": str(tmp_path)}
    failed = run(project, "plan", **missing)
    assert failed.returncode == 1
    assert "state.s3-no-credentials" in failed.stderr
    assert "AWS_PROFILE" in failed.stderr
    for command in (["plan"], ["state", "list"], ["apply", "--auto-approve"]):
        done = run(project, *command)
        assert KEYS["AWS_SECRET_ACCESS_KEY"] not in done.stdout + done.stderr


def test_a_server_that_is_down_is_a_clear_error(project: Path) -> None:
    text = (project / "mlctl.yaml").read_text()
    (project / "mlctl.yaml").write_text(re.sub(r"127.0.0.1:\d+", "127.0.0.1:9", text))
    failed = run(project, "plan", AWS_MAX_ATTEMPTS="1")
    assert failed.returncode == 1
    assert "state.s3-" in failed.stderr
    assert "Traceback" not in failed.stderr
