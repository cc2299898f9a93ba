from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mlctl.runtime import secrets
from mlctl.runtime.trainer import provenance
from mlctl.types.secret import Secrets


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in ("model.py", ".env"):
        (tmp_path / name).write_text("first\n")
    git(tmp_path, "init", "-q", ".")
    git(tmp_path, "add", "-A", "-f")
    git(tmp_path, "-c", "user.email=a@b", "-c", "user.name=a", "commit", "-qm", "one")
    return tmp_path


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True)


def test_nothing_differs_from_a_commit_that_is_checked_out(repository: Path) -> None:
    assert provenance.git_diff(repository) == ""
    assert provenance.git_state(repository)["mlctl.git.dirty"] == "false"


def test_a_diff_shows_the_code_without_secrets_and_without_the_file_of_secrets(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "known", lambda: Secrets({"var.token": "hunter22hunter22"}))
    (repository / "model.py").write_text("token = 'hunter22hunter22'\nlayers = 3\n")
    (repository / ".env").write_text("PASSWORD=swordfish\n")
    diff = provenance.git_diff(repository)
    assert "+layers = 3" in diff
    assert "hunter22" not in diff
    assert "swordfish" not in diff
    assert provenance.git_state(repository)["mlctl.git.dirty"] == "true"


def test_a_diff_that_is_long_is_cut_and_says_so(repository: Path) -> None:
    (repository / "model.py").write_text("x" * 79 + "\n")
    (repository / "model.py").write_text(("y" * 79 + "\n") * 20_000)
    diff = provenance.git_diff(repository)
    assert len(diff) < 1_050_000
    assert diff.endswith("is left out]\n")


def test_a_folder_without_git_has_no_commit_and_no_diff(tmp_path: Path) -> None:
    assert provenance.git_state(tmp_path) == {}
    assert provenance.git_diff(tmp_path) == ""
