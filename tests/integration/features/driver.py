"""Run steps of `drive.py` from a test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from mlctl.processes.environment import worker_environment


def run(root: Path, steps: list[dict[str, Any]], environment: dict[str, str] | None = None) -> list[Any]:
    """What each step gave, in order; a step that was refused gives {"error": code, "summary": ...}."""
    asked, given = root / ".steps.json", root / ".results.json"
    asked.write_text(json.dumps(steps))
    given.unlink(missing_ok=True)
    command = [sys.executable, str(Path(__file__).with_name("drive.py")), str(asked), str(given)]
    ended = subprocess.run(
        command, cwd=root, env=worker_environment(environment), capture_output=True, text=True, check=False
    )
    assert given.exists(), ended.stderr[-3000:]
    results: list[Any] = json.loads(given.read_text())
    return results
