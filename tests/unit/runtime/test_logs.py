from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import Any

from mlctl.runtime import logs
from mlctl.runtime.logs import JsonStream


def written(*texts: str) -> list[dict[str, Any]]:
    below = io.StringIO()
    stream = JsonStream(below, "stderr", "server")
    for text in texts:
        stream.write(text)
    stream.finish()
    return [json.loads(line) for line in below.getvalue().splitlines()]


def test_each_line_is_an_object_however_it_is_written() -> None:
    found = written("one", " and more\ntwo\n", "\n", "no end")
    assert [item["message"] for item in found] == ["one and more", "two", "no end"]
    assert {(item["stream"], item["program"]) for item in found} == {("stderr", "server")}


def test_a_traceback_is_one_message() -> None:
    text = (
        'Traceback (most recent call last):\n  File "x", line 1\n    1 / 0\nZeroDivisionError: division by zero\nnext\n'
    )
    found = written(*text.splitlines(keepends=True))
    assert [item["message"].splitlines()[-1] for item in found] == ["ZeroDivisionError: division by zero", "next"]


def test_what_is_printed_while_a_request_is_worked_on_has_its_trace() -> None:
    token = logs.request.set(("0af7651916cd43dd8448eb211c80319c", "r-1"))
    try:
        [found] = written("it failed\n")
    finally:
        logs.request.reset(token)
    assert (found["trace_id"], found["request_id"]) == ("0af7651916cd43dd8448eb211c80319c", "r-1")
    assert "trace_id" not in written("later\n")[0]


def test_a_program_that_is_told_by_its_environment_loses_nothing_at_its_end() -> None:
    program = "import sys; from mlctl.runtime import process; process.begin('batch'); print('said'); sys.stderr.write('rest'); process.leave(0)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"MLCTL_LOG_FORMAT": "json", "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert [json.loads(text)["message"] for text in (done.stdout, done.stderr)] == ["said", "rest"]
    assert json.loads(done.stdout)["program"] == "batch"
