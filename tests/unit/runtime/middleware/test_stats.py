from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from mlctl.rollout.evidence import BOUNDS, Counts, Histogram
from mlctl.runtime.middleware import Middleware, tally
from mlctl.runtime.middleware.stats import StatsFile
from mlctl.runtime.middleware.tally import Tally, added
from tests.unit.runtime.middleware.client import ask, echo, run, settings


def test_the_buckets_are_those_of_the_rollouts_evidence() -> None:
    assert tally.BOUNDS == BOUNDS
    buckets, histogram = tally.Buckets(), Histogram().counts
    assert len(buckets.counts) == len(histogram)
    for seconds in (0.0, 1e-4, 0.0123, BOUNDS[50], 5000.0):
        buckets.add(seconds)
    assert Histogram(tuple(buckets.counts)).number == 5
    assert Histogram(tuple(buckets.counts)).above(500.0) == 1


def test_a_variant_has_what_evidence_is_made_of() -> None:
    stored = tally.Variant().to_json()
    assert {"requests", "errors", "seconds", "ttft", "tokens", "decoding_seconds", "scores"} <= stored.keys() & set(
        Counts.__dataclass_fields__
    )


def test_counts_survive_their_process_and_are_added_up(tmp_path: Path) -> None:
    for _ in range(2):
        counted = Tally()
        counted.variant("stable", False).request(200, 0.01, 0.0)
        counted.variant("stable", False).request(503, 0.02, 0.0)
        counted.dropped += 1
        StatsFile(tmp_path, counted).close()  # two processes with one pid: both files stay
    here = Tally()
    here.variant("stable", False).request(200, 0.5, 0.0)
    here.running = 3
    stats = StatsFile(tmp_path, here)
    found = stats.all()
    stats.close()
    stable = found["variants"]["stable"]
    assert (stable["requests"], stable["errors"], stable["codes"]) == (5, 2, {"200": 3, "503": 2})
    assert (sum(stable["seconds"]["counts"]), found["server"]["dropped"], found["now"]["running"]) == (5, 2, 3)
    assert sorted(path.name for path in (tmp_path / "stats").iterdir()) == [
        f"{os.getpid()}-1.json",
        f"{os.getpid()}-2.json",
        f"{os.getpid()}.json",
    ]


def test_what_a_dead_process_had_running_is_running_no_more(tmp_path: Path) -> None:
    folder = tmp_path / "stats"
    folder.mkdir()
    dead = Tally()
    dead.running = 7
    dead.variant("stable", False).request(200, 0.1, 0.0)
    old = {
        "started": 1.0,
        "at": time.time() - 60,
        "process": {"cpu_seconds": 2.0, "resident_bytes": 10**12},
        **dead.to_json(),
    }
    (folder / "999999999.json").write_text(json.dumps(old))
    (folder / "torn.json").write_text('{"at": ')
    stats = StatsFile(tmp_path, Tally())
    found = stats.all()
    stats.close()
    assert (found["now"]["running"], found["variants"]["stable"]["requests"]) == (0, 1)
    assert found["process"]["resident_bytes"] < 10**11
    assert found["process"]["cpu_seconds"] > 2.0


def test_counts_are_on_disk_within_a_second(tmp_path: Path) -> None:
    app = Middleware(echo(), settings(folder=str(tmp_path)), CollectorRegistry())
    run(ask(app))
    deadline = time.monotonic() + 2.0
    [path] = (tmp_path / "stats").iterdir()
    while json.loads(path.read_bytes())["variants"].get("stable", {}).get("requests") != 1:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    app.close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_full_disk_costs_the_counts_their_news_and_nothing_else(tmp_path: Path) -> None:
    app = Middleware(echo(), settings(folder=str(tmp_path)), CollectorRegistry())
    [path] = (tmp_path / "stats").iterdir()
    path.with_suffix(".new").mkdir()  # nothing can be written beside it
    assert run(ask(app)).status == 200
    app.close()
    assert json.loads(path.read_bytes())["variants"] == {}


def test_trees_are_added_leaf_by_leaf() -> None:
    one = {"a": 1, "b": [1, 2], "c": {"x": 0.5}, "e": []}
    two = {"a": 2, "b": [3, 4], "c": {"x": 0.25, "y": 1}, "d": 5, "e": [1]}
    assert added(one, two) == {"a": 3, "b": [4, 6], "c": {"x": 0.75, "y": 1}, "d": 5, "e": [1]}


def test_scores_are_counted_only_while_they_can_be_probabilities() -> None:
    counted = tally.Variant()
    counted.scored([0.0, 0.999, 1.0])
    assert (counted.to_json()["scores"][0], counted.to_json()["scores"][99]) == (1, 2)
    counted.scored([1.5])
    counted.scored([0.5])
    assert counted.to_json()["scores"] == []


def test_prometheus_sees_every_variant_with_its_role() -> None:
    registry = CollectorRegistry()
    app = Middleware(echo(), settings(), registry)
    run(ask(app))
    run(ask(app, headers=[("x-mlctl-variant", "candidate")]))
    run(ask(app, headers=[("host", "api-shadow")]))
    page = generate_latest(registry).decode()
    common = 'deployment="api",model="shops",'
    for role, variant in (("stable", "stable"), ("canary", "candidate"), ("shadow", "candidate")):
        assert f'mlctl_requests_total{{code="200",{common}role="{role}",variant="{variant}",version="3"}} 1.0' in page
        assert (
            f'mlctl_request_duration_seconds_count{{{common}role="{role}",variant="{variant}",version="3"}} 1.0' in page
        )
    assert 'mlctl_feature_missing_total{deployment="api",feature="b"' in page
    assert "mlctl_time_to_first_token" not in page  # this is no language model


def test_it_runs_where_mlctl_is_not_installed(tmp_path: Path) -> None:
    """As vLLM has it: the package under another name, in an interpreter without mlctl."""
    package = Path(tally.__file__).parent
    (tmp_path / "mlctl_middleware").symlink_to(package)
    code = (
        "import sys, json, importlib.abc\n"
        "class Nothing(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('mlctl', 'pydantic', 'numpy', 'redis'): raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Nothing())\n"
        "import mlctl_middleware\n"
        "print(mlctl_middleware.Middleware(None).settings.deployment)\n"
    )
    told = json.dumps({"deployment": "d", "model": "m", "version": "1", "limits": {"max_running": 2}})
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "MLCTL_MIDDLEWARE": told}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert found.stdout.strip() == "d", found.stderr
    environment["MLCTL_MIDDLEWARE"] = told.replace('"version"', '"vresion"')
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert "unknown settings: vresion" in found.stderr
