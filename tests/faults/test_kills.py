"""SIGKILL of a real `mlctl apply` at every point of its bookkeeping. Whatever the point, the next apply ends in the same state."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.faults.project import KILLED, Project

pytestmark = [pytest.mark.slow, pytest.mark.tools]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Nothing applied yet."""
    return Project.make(tmp_path_factory.mktemp("fresh") / "project")


@pytest.fixture(scope="module")
def created(fresh: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Applied without a kill."""
    project = fresh.copy(tmp_path_factory.mktemp("created") / "project")
    project.heal()
    return project


@pytest.fixture(scope="module")
def changed(created: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Applied, changed, and applied again, without a kill."""
    project = created.copy(tmp_path_factory.mktemp("changed") / "project")
    project.change()
    project.heal()
    return project


def copies(project: Project, folder: Path) -> Iterator[tuple[int, Project]]:
    """One copy after another, numbered from 1."""
    for number in count(1):
        yield number, project.copy(folder / str(number))


@pytest.mark.parametrize("side", [pytest.param("before", marks=pytest.mark.soak), "after"])
def test_a_first_apply_killed_at_any_journal_line_ends_the_same(
    side: str, fresh: Project, created: Project, tmp_path: Path
) -> None:
    for number, project in copies(fresh, tmp_path):
        code = project.apply_killed(f"{side}-append", number)
        project.heal()
        assert project.objects() == created.objects(), f"killed {side} line {number}"
        assert project.folders() == created.folders()
        if code != KILLED:
            assert code == 0
            assert number == 2 * 4 + 1  # an intent and an outcome for each of four objects, and then there is no more
            return


@pytest.mark.parametrize("side", [pytest.param("before", marks=pytest.mark.soak), "after"])
@pytest.mark.contract(11)
def test_a_change_killed_at_any_journal_line_ends_the_same(
    side: str, created: Project, changed: Project, tmp_path: Path
) -> None:
    for number, project in copies(created, tmp_path):
        project.change()
        code = project.apply_killed(f"{side}-append", number)
        project.heal()
        assert project.objects() == changed.objects(), f"killed {side} line {number}"
        assert project.folders() == changed.folders()
        if code != KILLED:
            assert code == 0
            assert number == 2 * 4 + 1  # data, check, a new entity and a removed one
            return


@pytest.mark.parametrize("point", ["before-generation", "after-generation", "before-state", "after-state", "before-fold", "after-fold"])  # fmt: skip
def test_a_kill_while_the_journal_is_folded_loses_nothing(
    point: str, created: Project, changed: Project, tmp_path: Path
) -> None:
    project = created.copy(tmp_path / "project")
    project.change()
    assert project.apply_killed(point, 1) == KILLED
    assert project.journal.exists() == (point != "after-fold")
    plan = project.run("plan", "--detailed-exitcode")  # the journal counts before anybody folds it, and never twice
    assert plan.returncode == 0, plan.stdout
    assert (
        project.objects() == (changed if point in ("after-state", "before-fold", "after-fold") else created).objects()
    )
    project.heal()
    assert project.objects() == changed.objects()
    assert project.apply_killed(point, 1) == 0  # nothing to do: nothing is written, so there is nothing to die at
