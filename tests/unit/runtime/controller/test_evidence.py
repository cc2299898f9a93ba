"""What is counted of each variant is never lost, and never counted twice, whatever is killed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlctl.rollout.evidence import BOUNDS, Counts, Histogram
from mlctl.runtime.controller.evidence import Meter, counts_from, counts_to, plus
from mlctl.runtime.controller.series import POINTS, Series

BUCKETS = len(BOUNDS) + 1


def histogram(*at: int) -> Histogram:
    counts = [0] * BUCKETS
    for place in at:
        counts[place] += 1
    return Histogram(tuple(counts), float(len(at)))


def write(folder: Path, name: str, requests: int, tokens: int = 0, place: int = 10, shadow: int = 0) -> None:
    """A file as the middleware writes it."""
    (folder / "stats").mkdir(parents=True, exist_ok=True)

    def part(number: int) -> dict[str, Any]:
        counts = [0] * BUCKETS
        counts[place] = number
        return {"requests": number, "errors": 0, "seconds": {"counts": counts, "total": 0.5 * number}, "tokens": tokens}

    stored = {"variants": {"stable": part(requests)}, "shadow": part(shadow)}
    (folder / "stats" / name).write_text(json.dumps(stored))


def again(meter: Meter) -> Meter:
    """The meter of a controller that began anew."""
    return Meter(json.loads(json.dumps(meter.to_json())))


def test_counts_survive_json() -> None:
    counts = Counts(7, 2, histogram(0, 5, 5, 170), histogram(), 30, 1.5, 4, 1, (0, 3), 6, 2, 1)
    assert counts_from(json.loads(json.dumps(counts_to(counts)))) == counts
    assert len(json.dumps(counts_to(Counts()))) < 10  # nothing is little


def test_a_histogram_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="171"):
        counts_from({"seconds": {"counts": [0] * 200, "total": 0}})


def test_servers_are_added_up_over_processes_kills_and_controllers(tmp_path: Path) -> None:
    release = tmp_path / "3"
    write(release, "10.json", 5, tokens=7)
    meter = Meter()
    for _ in range(3):  # looking again counts nothing twice
        meter.servers("stable", "stable", release)
    assert (meter.total("stable").seconds.number, meter.total("stable").tokens) == (5, 7)
    write(release, "11.json", 2)  # the server was started again
    meter = again(meter)
    meter.servers("stable", "stable", release)
    assert meter.total("stable").seconds.number == 7
    write(release, "10.json", 1)  # a process began to count anew under the name
    meter.servers("stable", "stable", release)
    assert meter.total("stable").seconds.number == 8
    assert meter.total("stable").requests == 0  # those the gateway has counted
    assert meter.total("stable").seconds.quantile(0.5) == BOUNDS[10]


def test_the_gateway_that_begins_anew_loses_and_doubles_nothing() -> None:
    meter = Meter()
    meter.gateway({"stable": (10, 1), "candidate": (4, 4)})
    meter.gateway({"stable": (15, 1), "candidate": (4, 4)})
    meter = again(meter)
    meter.gateway({"stable": (3, 2)})
    assert (meter.total("stable").requests, meter.total("stable").errors) == (18, 3)
    assert (meter.total("candidate").requests, meter.total("candidate").errors) == (4, 4)


def test_copies_are_counted_apart_and_torn_files_are_nothing(tmp_path: Path) -> None:
    release = tmp_path / "1"
    write(release, "10.json", 5, shadow=3)
    (release / "stats" / "11.json").write_text('{"variants": {"sta')
    (release / "stats" / "12.json").write_text('{"variants": {"stable": {"seconds": {"counts": "many"}}}}')
    meter = Meter()
    meter.servers("candidate (copies)", None, release)
    meter.servers("stable", "stable", release)
    assert meter.total("candidate (copies)").seconds.number == 3
    assert meter.total("stable").seconds.number == 5
    meter.servers("stable", "stable", tmp_path / "gone")
    meter.forget(release)
    assert meter.to_json()["sources"] == {}


def test_scores_of_two_are_added_when_they_have_the_same_buckets() -> None:
    assert plus(Counts(scores=(1, 2)), Counts(scores=(3, 4))).scores == (4, 6)
    assert plus(Counts(), Counts(scores=(3, 4))).scores == (3, 4)


def test_the_last_minutes_are_kept_point_by_point() -> None:
    series = Series()
    for number in range(3 * POINTS):
        series.add(100.0 + 2 * number, {"stable": Counts(number * 10, number, Histogram())})
    points = series.to_json("stable")
    assert len(points["rate"]) == POINTS
    assert points["rate"][-1] == pytest.approx(5.0)
    assert points["error_rate"][-1] == pytest.approx(0.1)
    assert points["p99"][-1] is None
    assert series.to_json("nobody")["rate"] == []
