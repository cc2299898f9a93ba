"""What a process that knows secrets prints goes out without them, in one piece and at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import logging, os, sys
from mlctl.types.secret import Secrets, announce
from mlctl.files.redacting import guard_output
announce(Secrets({"var.a": "hunter2hunter2"}))
print("before")
guard_output()
print("a hunter2hunter2 b", end="")
sys.stdout.buffer.write(b" bytes hunter2hunter2 \\xff\\n")
print("ä hunter2hunter2", file=sys.stderr)
logging.warning("hunter2hunter2")
assert sys.stdout.fileno() == 1 and sys.stdout.isatty() is False
print("last", flush=False)
if len(sys.argv) > 1:
    os._exit(0)
raise ValueError("hunter2hunter2")
"""


def test_prints_bytes_logs_and_tracebacks_are_all_guarded() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=False)
    assert done.stdout == b"before\na (sensitive) b bytes (sensitive) \xff\nlast\n"
    said = done.stderr.decode()
    assert said.startswith("ä (sensitive)\nWARNING:root:(sensitive)\n")
    assert said.endswith("ValueError: (sensitive)\n")
    assert "hunter2" not in said.replace('"hunter2hunter2"', "")


def test_nothing_waits_in_a_buffer_when_the_process_is_ended(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, "at once"], capture_output=True, check=True)
    assert done.stdout.endswith(b"last\n")
