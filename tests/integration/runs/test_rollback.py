"""Rolling back through the command line, on kinds that take a second: what is chosen again, and who may undo it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.faults.project import Project

pytestmark = [pytest.mark.tools]


def lines(project: Project, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
    done = project.run(*arguments, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(project: Project) -> str:
    """The data check that is in use."""
    return str(lines(project, "show", "data_checks.visits_ok")[0]["key"])


@pytest.mark.contract(16)
def test_a_rollback_chooses_what_was_and_is_held_until_it_is_lifted(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "project")
    assert "rollback.nothing-before" in project.run("rollback", "-y").stderr
    lines(project, "apply", "-y")
    before = check(project)
    file = project.root / "mlctl.yaml"
    file.write_text(file.read_text().replace("max: 1000", "max: 500") + "  other: {key: other_id, dtype: int64}\n")
    lines(project, "apply", "-y")
    assert check(project) != before

    told = lines(project, "rollback", "-y", "--why", "errors went up")
    assert [line["type"] for line in told].count("apply_start") == 1  # the entity goes; no check is run again
    assert check(project) == before
    (held,) = [line for line in lines(project, "status") if line["type"] == "held"]
    assert held["reason"] == "errors went up"
    assert "Held at run" in project.run("plan").stdout

    refused = lines(project, "apply", "-y", code=4)
    assert [line["code"] for line in refused if line["type"] == "diagnostic"] == ["state.held"]
    assert refused[-1]["type"] == "apply_summary"
    assert check(project) == before
    lines(project, "apply", "-y", "--unhold")
    assert check(project) != before
    assert not [line for line in lines(project, "status") if line["type"] == "held"]
    history = lines(project, "runs")
    assert [line["operation"] for line in history] == ["apply", "rollback", "apply", "apply"]
    assert [line["serial_before"] for line in history] == [3, 2, 1, 0]


def test_a_detached_apply_that_is_refused_says_so_at_once(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "project")
    assert project.run("plan", "--out", "a.plan").returncode == 0
    assert project.run("apply", "a.plan").returncode == 0
    done = project.run("apply", "a.plan", "--detach")
    assert done.returncode == 7, done.stdout + done.stderr
    assert "plan.stale" in done.stderr
    (run, _) = lines(project, "runs")
    assert (run["exit_code"], run["running"], run["detached"]) == (7, False, True)


def test_a_plan_of_another_project_is_refused(tmp_path: Path) -> None:
    one, other = Project.make(tmp_path / "one"), Project.make(tmp_path / "other")
    assert one.run("plan", "--out", "../a.plan").returncode == 0
    (other.root / "mlctl.yaml").write_text(
        (other.root / "mlctl.yaml").read_text().replace("project: faults", "project: x")
    )
    done = other.run("apply", "../a.plan")
    assert done.returncode == 7
    assert "plan.foreign" in done.stderr
    done = one.run("apply", "../a.plan", "-e", "prod")
    assert done.returncode == 7
    assert "the plan is of the environment `default`, and this is `prod`" in done.stderr


@pytest.mark.contract(6)
@pytest.mark.contract(9)
def test_drift_alone_has_an_exit_code_of_its_own(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "project")
    lines(project, "apply", "-y")
    assert project.run("plan", "--refresh-only", "--detailed-exitcode").returncode == 0
    for path in (project.home / "objects").glob("datasets.visits/*/result.json"):
        path.unlink()
    assert project.run("plan", "--refresh-only", "--detailed-exitcode").returncode == 5
    assert lines(project, "apply", "--refresh-only", "-y")[-1]["exit_code"] == 0
    assert project.run("plan", "--refresh-only", "--detailed-exitcode").returncode == 0
