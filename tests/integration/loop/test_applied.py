"""What a project that was applied can do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.loop.project import GATE, MLCTL, TRAINING, Loop, kill
from tests.integration.loop.shop import FEATURES, HOUSEHOLDS

pytestmark = [pytest.mark.slow, pytest.mark.tools]

HEAVY = {"torch", "pandas", "numpy", "mlflow", "feast", "great_expectations", "evidently", "duckdb", "pyarrow"}


def test_monitor_waits_for_rows_then_passes_then_alarms_on_shifted_features(loop: Loop) -> None:
    _forget_predictions(loop)
    none = loop.run("monitor", "run", "--json")
    assert none.exit_code == 3, none
    assert none.lines[0]["verdict"] == "no_data"
    answers = [loop.predict({"household_id": key}) for key in HOUSEHOLDS]
    assert len({answer["predictions"][0]["score"] for answer in answers}) > 50
    same = loop.run("monitor", "run", "--json")
    assert same.exit_code == 0, same
    assert same.lines[0]["parts"]["data"]["rows"] == len(HOUSEHOLDS)
    for number in range(20):
        rows = [dict.fromkeys(FEATURES, 500.0 + number * 20 + row) for row in range(20)]
        loop.predict({"instances": rows})
    shifted = loop.run("monitor", "run", "--json")
    assert shifted.exit_code == 5, shifted
    columns = shifted.lines[0]["parts"]["data"]["columns"]
    assert {columns[name]["verdict"] for name in FEATURES} == {"alarm"}
    kept = loop.run("monitor", "history", "--json").lines
    assert [line["verdict"] for line in kept][-3:] == ["no_data", "ok", "alarm"]


def test_a_plan_with_nothing_to_do_says_so_and_imports_no_tool(loop: Loop) -> None:
    done = loop.run("plan", "--detailed-exitcode")
    assert done.exit_code == 0, done
    assert done.output == "No changes. 13 resources as the project asks.\n"
    # the console script itself, as the shell would start it, under an eye on its imports
    watched = subprocess.run(
        [sys.executable, "-X", "importtime", MLCTL, "plan", "--detailed-exitcode"],
        cwd=loop.root, capture_output=True, text=True, check=True,
    )  # fmt: skip
    names = [line.rpartition("|")[2].strip() for line in watched.stderr.splitlines() if line.startswith("import time:")]
    assert "mlctl.engine.planner" in names
    assert {name.partition(".")[0] for name in names} & HEAVY == set()


def test_everything_is_well_and_says_what_it_is(loop: Loop) -> None:
    done = loop.run("status")
    assert done.exit_code == 0, done
    assert {line["condition"] for line in loop.status().values()} == {"ready"}
    assert "shops@champion v" in done.output
    metrics = loop.show(GATE)["outputs"]["metrics"]
    assert 0.6 < metrics["roc_auc"] < 0.95
    assert loop.runs(TRAINING)[0][1] == "FINISHED"


def test_offline_and_online_features_are_the_same(loop: Loop) -> None:
    done = loop.run("features", "parity", "--json")
    assert done.exit_code == 0, done
    (line,) = done.lines
    assert (line["passed"], line["keys"], line["values"]) == (True, 160, 160 * len(FEATURES))


def test_predict_by_key_is_predict_with_the_features_of_that_key(loop: Loop) -> None:
    by_key = loop.run("predict", "--key", "household_id=42", "--json")
    assert by_key.exit_code == 0, by_key
    (found,) = loop.run("features", "get", "shopping", "42", "--json").lines
    values = {name: found["features"][name] for name in FEATURES}
    by_value = loop.run("predict", "--data", json.dumps({"instances": [values]}), "--json")
    score = by_key.lines[0]["predictions"][0]["score"]
    assert by_value.lines[0]["predictions"][0]["score"] == pytest.approx(score, abs=1e-6)
    assert by_key.lines[0]["version"] == loop.aliased_version()


def test_bench_measures_the_deployment_with_what_it_was_asked_before_and_is_a_gate(loop: Loop, tmp_path: Path) -> None:
    page = tmp_path / "bench.html"
    quick = ("--duration", "1s", "--warmup", "0s")
    good = ("--require", "p95 < 5s at 2 clients", "--require", "error_rate <= 0 at 2 clients")
    done = loop.run("bench", *quick, *good, "--html", str(page), "--json")
    assert done.exit_code == 0, done
    found = done.lines[-1]
    (point,) = found["points"]
    assert point["load"] == {"kind": "closed", "value": 2}
    assert (point["errors"], list(point["statuses"])) == (0, ["200"])
    assert [item["met"] for item in found["required"]] == [True, True]
    assert "under load" in page.read_text()
    bad = loop.run("bench", "--rate", "5", *quick, "--require", "mean < 0.01ms")
    assert bad.exit_code == 3, bad
    assert "✗ mean < 0.01ms" in bad.output


def _forget_predictions(loop: Loop) -> None:
    """Begin with an empty log, whatever was asked before; the server has it open, so it starts anew."""
    logs = list(loop.home.rglob("predictions/*.jsonl"))
    if logs:
        kill(loop.server_pid())
        for path in logs:
            path.unlink()
        loop.apply()
