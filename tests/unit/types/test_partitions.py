from collections.abc import Sequence

import pytest

from mlctl.types.jobs.partitions import type_of, values_of
from mlctl.types.jobs.profile import dataset_digest


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("data/year=2024/month=01/x.parquet", {"year": "2024", "month": "01"}),
        ("data/x=1.parquet", {}),
        ("data/city=New%20York/x.csv", {"city": "New York"}),
        ("data/city=__HIVE_DEFAULT_PARTITION__/x.csv", {"city": None}),
        ("data/formula=a=b/x.csv", {"formula": "a=b"}),
        (".mlctl/dev/objects/datasets.d@lr=0.1/abc/objects/year=2024/x.parquet", {"year": "2024"}),
        ("data/=1/x.csv", {}),
        ("x.csv", {}),
    ],
)
def test_folders_are_columns(file: str, expected: dict[str, str | None]) -> None:
    assert values_of(file) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "02", "-3"], "bigint"), (["1", None], "bigint"), (["1", "x"], "varchar"), (["1" * 19], "varchar"), (["1.5"], "varchar"),
        (["2024-01-31"], "date"), (["2024-02-31"], "varchar"), (["2024-1-3"], "varchar"), ([None], "varchar"), (["2024-01-31", "1"], "varchar"),
    ],
)  # fmt: skip
def test_types_of_folders(values: Sequence[str | None], expected: str) -> None:
    assert type_of(values) == expected


def outputs(*files: str, partitions: dict[str, str]) -> dict[str, object]:
    return {
        "files": list(files),
        "format": "csv",
        "timestamp": None,
        "key": [],
        "columns": {"a": "bigint"},
        "partitions": partitions,
    }


def test_the_digest_knows_the_values_of_partitions_and_no_other_name() -> None:
    year = {"year": "bigint"}
    first = dataset_digest(outputs("d/year=1/x", "d/year=2/x", partitions=year), ["p", "q"])
    assert dataset_digest(outputs("e/year=1/y", "e/year=2/z", partitions=year), ["p", "q"]) == first
    assert dataset_digest(outputs("d/year=1/x", "d/year=3/x", partitions=year), ["p", "q"]) != first
    plain = dataset_digest(outputs("d/a", "d/b", partitions={}), ["p", "q"])
    assert dataset_digest(outputs("d/c", "d/d", partitions={}), ["p", "q"]) == plain != first


def test_a_copied_table_counts_by_its_rows_while_its_file_is_whole() -> None:
    copied = {**outputs("snapshot.parquet", partitions={}), "copied": {"rows": "r", "file": "f"}}
    again = {**copied, "copied": {"rows": "r", "file": "g"}}
    assert dataset_digest(copied, ["f"]) == dataset_digest(again, ["g"])
    assert dataset_digest(copied, ["another"]) != dataset_digest(copied, ["f"])
