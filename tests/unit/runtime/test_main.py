"""What a worker program says when a package is not installed, or when something that it calls fails."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mlctl.runtime import __main__ as program
from mlctl.runtime.__main__ import PROGRAMS, missing_package


@pytest.mark.parametrize(("package", "extra"), [("pyspark", "spark"), ("pyspark.sql", "spark"), ("duckdb", "data")])
def test_a_missing_package_of_a_check_comes_with_the_extra_that_has_it(package: str, extra: str) -> None:
    found = missing_package("checks", ModuleNotFoundError(f"No module named {package!r}", name=package))
    assert found.fix == f"pip install 'mlctl[{extra}]'"


def test_an_error_of_a_database_is_told_without_its_statement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "job.json").write_text('{"params": {}}')

    def main(params: object, report: object) -> None:
        raise RuntimeError("(sqlite3.OperationalError) database or disk is full\n[SQL: INSERT INTO runs]")

    monkeypatch.setitem(PROGRAMS, "checks", "a_program_of_a_test")
    monkeypatch.setitem(sys.modules, "a_program_of_a_test", SimpleNamespace(main=main))  # type: ignore[misc]
    assert program.main("checks", tmp_path) == 1
    (told,) = json.loads((tmp_path / "result.json").read_text())["diagnostics"]
    assert told["summary"] == "checks: RuntimeError: (sqlite3.OperationalError) database or disk is full"
