"""What a worker program says when a package is not installed."""

import pytest

from mlctl.runtime.__main__ import missing_package


@pytest.mark.parametrize(("package", "extra"), [("pyspark", "spark"), ("pyspark.sql", "spark"), ("duckdb", "data")])
def test_a_missing_package_of_a_check_comes_with_the_extra_that_has_it(package: str, extra: str) -> None:
    found = missing_package("checks", ModuleNotFoundError(f"No module named {package!r}", name=package))
    assert found.fix == f"pip install 'mlctl[{extra}]'"
