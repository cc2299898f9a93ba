"""What a killed job leaves behind is ended, and a stranger is not."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlctl.processes import leftover, session

FOREVER = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def left() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(FOREVER, start_new_session=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_session_that_outlived_its_job_is_ended(tmp_path: Path, left: subprocess.Popen[bytes]) -> None:
    leftover.note(tmp_path, left.pid)
    leftover.end(tmp_path, 5.0)
    left.wait(timeout=5)
    assert session.members(left.pid, 0.0) == []
    assert not (tmp_path / leftover.NOTE_FILE).exists()
    leftover.end(tmp_path, 5.0)  # nothing is noted any more


@pytest.mark.parametrize("stranger", [{"since": time.time() - 3600}, {"boot": "another start of the system"}])
def test_a_stranger_with_the_number_of_a_session_is_left_alone(
    tmp_path: Path, left: subprocess.Popen[bytes], stranger: dict[str, object]
) -> None:
    leftover.note(tmp_path, left.pid)
    noted = json.loads((tmp_path / leftover.NOTE_FILE).read_text())
    (tmp_path / leftover.NOTE_FILE).write_text(json.dumps({**noted, **stranger}))
    leftover.end(tmp_path, 5.0)
    assert left.poll() is None
    assert not (tmp_path / leftover.NOTE_FILE).exists()
