import pytest

from mlctl.types.jobs.duckdb_types import widens


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("integer", "bigint"), ("int4", "long"), ("utinyint", "smallint"), ("uinteger", "bigint"), ("integer", "double"),
        ("smallint", "float"), ("float", "double"), ("decimal(10,2)", "decimal(12,2)"), ("decimal(10,2)", "decimal(12,4)"),
        ("integer", "decimal(12,2)"), ("bigint", "decimal(19,0)"), ("date", "timestamp"), ("timestamp_s", "timestamp"), ("enum('a')", "varchar"),
    ],
)  # fmt: skip
def test_a_wider_type_holds_every_value(old: str, new: str) -> None:
    assert widens(old, new)
    assert not widens(new, old)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("bigint", "double"), ("integer", "float"), ("bigint", "ubigint"), ("ubigint", "bigint"), ("double", "varchar"), ("integer", "varchar"),
        ("decimal(10,2)", "decimal(10,4)"), ("decimal(10,2)", "double"), ("timestamp", "timestamp with time zone"), ("varchar", "bigint"),
        ("bigint", "decimal(18,0)"), ("boolean", "integer"), ("bigint[]", "hugeint[]"),
    ],
)  # fmt: skip
def test_another_type_is_not_wider(old: str, new: str) -> None:
    assert not widens(old, new)
