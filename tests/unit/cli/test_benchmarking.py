from __future__ import annotations

from pathlib import Path

import pytest

from mlctl.cli.benchmarking import own_folder, writable
from mlctl.types.diagnostic import MlctlError


def test_two_load_tests_of_one_deployment_leave_each_other_alone(tmp_path: Path) -> None:
    first, second = own_folder(tmp_path, "api"), own_folder(tmp_path, "api")
    assert first != second
    assert first.is_dir()
    assert first.stat().st_mode & 0o077 == 0


def test_a_page_that_could_not_be_written_is_told_before_the_load(tmp_path: Path) -> None:
    writable(tmp_path / "bench.html")
    for path in (tmp_path / "nowhere" / "bench.html", tmp_path):
        with pytest.raises(MlctlError, match=r"cli\.usage"):
            writable(path)
