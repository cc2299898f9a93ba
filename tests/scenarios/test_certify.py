"""`mlctl experiment certify` and `size` as programs: what they print, what they write, and how they end."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mlctl.views.json.schema import events_schema
from tests.scenarios.runner import MLCTL

PROJECT = Path(__file__).parent / "experiment-design"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PROJECT, tmp_path / "shop"))


def run(project: Path, *arguments: str, code: int = 0) -> str:
    done = subprocess.run([MLCTL, "experiment", *arguments], cwd=project, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def event(text: str) -> dict[str, Any]:
    (line,) = text.splitlines()
    found: dict[str, Any] = json.loads(line)
    jsonschema.validate(found, events_schema())
    return found


def test_a_sound_design_is_certified_and_the_same_seed_says_the_same(project: Path) -> None:
    found = event(run(project, "certify", "free_delivery", "--runs", "150", "--json"))
    assert found["holds"] == {"false_positives": True, "power": True}
    assert found["assumed"] == ["p95_seconds"]
    assert found["aa"]["runs"] == found["ab"]["runs"] == 150
    shutil.rmtree(project / ".mlctl")
    text = run(project, "certify", "--runs", "150")
    assert "free_delivery: 150 streams without an effect, 150 with it; up to 5 looks at 20,314 units" in text
    assert f"power            {100 * found['ab']['shipped']['share']:6.2f} %" in text
    assert "p95_seconds: no baseline is given" in text


def test_a_design_that_claims_what_is_not_there_ends_with_3(project: Path) -> None:
    """A hundred to one, one in a thousand, and ten looks: with a buyer or two in an arm z is not normal, and no bound of it holds."""
    spec = (project / "mlctl.yaml").read_text()
    for old, new in (
        ("control: 50, free: 50", "control: 100, free: 1"),
        ("baseline: 0.2, mde: {relative: 0.1}", "baseline: 0.001, mde: {relative: 20}"),
        ("      - {metric: error_rate, margin: 0.01, baseline: 0.01}\n", ""),
        ("daily_units: 2500", "daily_units: 100, sequential: pocock, looks: 10"),
    ):
        assert old in spec
        spec = spec.replace(old, new)
    (project / "mlctl.yaml").write_text(spec)
    found = event(run(project, "certify", "--runs", "250", "--json", code=3))
    assert found["holds"] == {"false_positives": False, "power": True}
    assert found["aa"]["claims"]["low"] > 0.05


def test_the_size_is_written_as_a_page(project: Path) -> None:
    run(project, "size", "--html", "size.html")
    page = (project / "size.html").read_text()
    assert page.count("<svg") == 1
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert "20,314 user_id in 3 weeks" in page
    assert "cannot be written" in subprocess.run(
        [MLCTL, "experiment", "size", "--html", "no/where.html"], cwd=project, capture_output=True, text=True, timeout=60
    ).stderr  # fmt: skip


def test_the_traffic_is_counted_where_the_design_does_not_say_it(project: Path) -> None:
    spec = (project / "mlctl.yaml").read_text()
    (project / "mlctl.yaml").write_text(spec.replace("design: {daily_units: 2500}", "design: {power: 0.8}"))
    found = event(run(project, "size", "--json"))
    assert (found["weeks"], found["daily_units"], found["curve"]) == (None, None, [])
    assert "traffic     not known" in run(project, "size")
