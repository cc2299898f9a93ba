from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from mlctl.runtime.bench.program import main
from mlctl.runtime.report import Report
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.bench import BenchJob, BenchReport, Load
from tests.integration.bench.server import Server, serving


def measured(
    folder: Path, server: Server, *loads: Load, path: str = "/predict", seconds: float = 1.0, **job: object
) -> BenchReport:
    (folder / "bodies.jsonl").write_text('{"n": 1}\n\n{"n": 2}\n')
    wanted = BenchJob.model_validate(
        {
            "url": server.url,
            "path": path,
            "bodies": str(folder / "bodies.jsonl"),
            "loads": loads,
            "seconds": seconds,
            "warmup_seconds": 0.0,
            "timeout_seconds": 2.0,
            **job,
        }
    )
    return BenchReport.model_validate(main(wanted.model_dump(), Report(folder)).outputs)


def test_a_closed_loop_has_so_many_requests_under_way_and_sends_all_bodies_in_turn(tmp_path: Path) -> None:
    with serving(Server(delay=0.05)) as server:
        report = measured(tmp_path, server, Load(kind="closed", value=4))
    (point,) = report.points
    assert point.latency is not None
    assert point.latency.p50 >= 0.05
    assert server.most == 4  # by the server's own count
    assert point.rate <= 80  # 4 clients / 50 ms
    assert point.rate * point.latency.mean == pytest.approx(4, rel=0.25)  # none of them waits before it sends the next
    assert (point.errors, sum(point.histogram)) == (0, point.requests)
    assert {body["n"] for body in server.bodies} == {1, 2}


def test_an_open_loop_keeps_its_rate_and_counts_the_time_that_requests_had_to_wait(tmp_path: Path) -> None:
    with serving(Server(delay=0.001)) as server:
        threading.Timer(0.5, server.stall, [0.5]).start()
        report = measured(tmp_path, server, Load(kind="open", value=200), seconds=1.5)
    (point,) = report.points
    assert 200 <= point.requests <= 400
    assert point.latency is not None
    closed, opened = server.stalled
    sent = sum(closed < moment < opened for moment in server.arrived)
    assert sent > 20  # a client that waits for answers would have sent one
    assert point.latency.p95 > 0.2  # and these waited, as those did that were due


def test_failures_are_counted_and_not_timed(tmp_path: Path) -> None:
    with serving(Server()) as server:
        (point,) = measured(tmp_path, server, Load(kind="closed", value=1), path="/fail", seconds=0.5).points
    assert point.error_rate == pytest.approx(1 / 3, abs=0.05)
    assert point.statuses["500"] == point.errors
    assert sum(point.histogram) == point.requests - point.errors


def test_a_server_that_goes_away_is_an_error_of_its_requests(tmp_path: Path) -> None:
    with serving(Server()) as server:
        threading.Timer(0.6, lambda: server.loop.call_soon_threadsafe(server.stop.set)).start()
        (point,) = measured(tmp_path, server, Load(kind="closed", value=2), seconds=1.5).points
    assert point.errors
    assert point.requests > point.errors
    assert {"refused"} & set(point.statuses)


def test_tokens_of_a_stream_are_counted_and_the_first_one_is_timed(tmp_path: Path) -> None:
    with serving(Server(gap=0.03)) as server:
        path = "/v1/chat/completions"
        (point,) = measured(tmp_path, server, Load(kind="closed", value=1), path=path, streaming=True).points
    assert point.ttft is not None
    assert point.tpot is not None
    assert point.latency is not None
    # of eight tokens in four pieces that are equally far apart, the first piece takes a quarter of the time
    assert 0.03 <= point.ttft.p50 < 0.5 * point.latency.p50
    assert 0.09 / 7 <= point.tpot.p50 < point.latency.p50 / 7
    assert point.tokens_per_second == pytest.approx(point.rate * 8)
    assert point.answer_tokens is not None
    assert (point.answer_tokens.least, point.answer_tokens.most, point.prompt_tokens) == (8, 8, None)


def test_a_load_that_is_only_refused_is_not_measured_and_the_reason_is_told(tmp_path: Path) -> None:
    with serving(Server()) as server, pytest.raises(MlctlError) as caught:
        measured(tmp_path, server, Load(kind="closed", value=1), path="/refuse")
    found = caught.value.diagnostics[0]
    assert found.code == "bench.refused"
    assert "there is no `amount`" in found.why


def test_progress_says_what_each_load_came_to(tmp_path: Path) -> None:
    with serving(Server()) as server:
        began = time.monotonic()
        measured(tmp_path, server, Load(kind="closed", value=1), Load(kind="open", value=50), seconds=0.3)
        assert time.monotonic() - began < 5
    lines = [json.loads(line)["message"] for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [line.partition(":")[0] for line in lines if "good answers" in line] == ["1 client", "50 qps"]
