"""The point-in-time join on small tables: formats and types of labels, order of rows, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.integration.features import driver

pytestmark = pytest.mark.tools

SNAPSHOTS = """COPY (SELECT * FROM (VALUES
    (1, TIMESTAMP '2026-03-02', 10.0::DOUBLE), (1, TIMESTAMP '2026-03-03', 20.0), (2, TIMESTAMP '2026-03-03', NULL)
) AS t(k, event_timestamp, x)) TO 'v.parquet' (FORMAT parquet)"""
VIEW: dict[str, Any] = {
    "view": "v",
    "keys": [{"name": "k", "type": "int64"}],
    "grid_seconds": 86400,
    "path": "v.parquet",
    "features": {"x": "float64"},
    "ttl_seconds": None,
}
LABELS = {"files": ["a.csv", "b.csv"], "format": "csv", "timestamp": "at"}


def test_labels_of_any_kind(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("k,at,y\n1,2026-03-02 23:59:59.999999,0\n1,2026-03-03 00:00:00,1\n")
    (tmp_path / "b.csv").write_text(
        "k,at,y\n2,2026-03-09 00:00:00,1\n1,2026-03-01 12:00:00,0\n9,2026-03-09 00:00:00,0\n"
    )
    zoned = "COPY (SELECT 1 AS k, TIMESTAMPTZ '2026-03-03 00:30:00+01' AS at UNION ALL SELECT 1, TIMESTAMPTZ '2026-03-02 20:00:00-05') TO 'zoned.parquet' (FORMAT parquet)"
    dated = "COPY (SELECT 1 AS k, DATE '2026-03-02' AS at UNION ALL SELECT NULL, DATE '2026-03-02' UNION ALL SELECT 1, NULL) TO 'dated.parquet' (FORMAT parquet)"
    many = "COPY (SELECT 1 AS k, TIMESTAMP '2026-03-02' AS at, hash(i) AS y FROM range(200000) AS t(i)) TO 'many.parquet' (FORMAT parquet, ROW_GROUP_SIZE 4096)"
    numbered = "read_parquet('{}', file_row_number=true)"
    many_order = f"SELECT count(*) FROM {numbered.format('many.parquet')} a JOIN {numbered.format('out.parquet')} b USING (file_row_number, y)"
    other = {**VIEW, "view": "w", "path": "w.parquet", "features": {"z": "float64"}, "ttl_seconds": 3600}

    def parquet(name: str) -> dict[str, Any]:
        return {"files": [name], "format": "parquet", "timestamp": "at"}

    read = {"do": "execute", "sql": ["SELECT * FROM 'out.parquet'"]}
    results = driver.run(
        tmp_path,
        [
            {
                "do": "execute",
                "sql": [
                    SNAPSHOTS,
                    SNAPSHOTS.replace("x)", "z)").replace("v.parquet", "w.parquet"),
                    zoned.replace(" at", ' "at"'),
                    dated.replace(" at", ' "at"'),
                    many.replace(" at,", ' "at",'),
                ],
            },
            {"do": "join", "labels": LABELS, "views": [VIEW, other], "output": "out.parquet"},
            read,
            {
                "do": "join",
                "labels": {**LABELS, "columns": {"k": "bigint", "at": "timestamp", "y": "varchar"}},
                "views": [VIEW],
                "output": "out.parquet",
            },
            read,
            {"do": "join", "labels": parquet("zoned.parquet"), "views": [VIEW], "output": "out.parquet"},
            {"do": "execute", "sql": ["SELECT x FROM 'out.parquet'"]},
            {"do": "join", "labels": parquet("dated.parquet"), "views": [VIEW], "output": "out.parquet"},
            {"do": "execute", "sql": ["SELECT x FROM 'out.parquet'"]},
            {"do": "join", "labels": parquet("many.parquet"), "views": [VIEW], "output": "out.parquet"},
            {"do": "execute", "sql": [many_order]},
        ],
    )
    assert results[1]["missing"] == {"x": 3, "z": 4}
    assert results[1]["columns"] == {"k": "bigint", "at": "timestamp", "y": "bigint", "x": "double", "z": "double"}
    moments = [
        "2026-03-02 23:59:59.999999",
        "2026-03-03 00:00:00",
        "2026-03-09 00:00:00",
        "2026-03-01 12:00:00",
        "2026-03-09 00:00:00",
    ]
    assert [row[1] for row in results[2]] == moments
    assert [(row[0], row[3], row[4]) for row in results[2]] == [
        (1, 10.0, None),
        (1, 20.0, 20.0),
        (2, None, None),
        (1, None, None),
        (9, None, None),
    ]
    assert [row[2] for row in results[4]] == ["0", "1", "1", "0", "0"]
    assert results[6] == [
        [10.0],
        [20.0],
    ]  # half past eleven in the evening of the 2nd, and one in the morning of the 3rd, in UTC
    assert results[8] == [[10.0], [None], [None]]
    assert results[10] == [[200_000]]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith((".join", ".out"))]


def test_a_key_and_a_time_may_stand_in_the_names_of_folders(tmp_path: Path) -> None:
    files = ["day=2026-03-04/k=1/x.csv", "day=2026-03-04/k=2/x.csv", "day=2026-03-02/k=1/x.csv"]
    for index, file in enumerate(files):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_text(f"y\n{index}\n")
    partitions = {"day": "date", "k": "bigint"}
    labels = {"files": files, "format": "csv", "timestamp": "day", "partitions": partitions}
    steps: list[dict[str, Any]] = [{"do": "execute", "sql": [SNAPSHOTS]}]
    for columns in (None, {"y": "bigint", **partitions}):
        steps.append({"do": "join", "labels": {**labels, "columns": columns}, "views": [VIEW], "output": "out.parquet"})
        steps.append({"do": "execute", "sql": ["SELECT y, k, x FROM 'out.parquet'"]})
    results = driver.run(tmp_path, steps)
    assert results[2] == results[4] == [[0, 1, 20.0], [1, 2, None], [2, 1, 10.0]]


def test_columns_of_the_labels_that_nobody_reads_may_be_called_as_features_are(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("k,at,y,X\n1,2026-03-02 00:00:00,7,99\n")
    labels = {"files": ["a.csv"], "format": "csv", "timestamp": "at", "only": ["at", "k", "y"]}
    steps: list[dict[str, Any]] = [
        {"do": "execute", "sql": [SNAPSHOTS]},
        {"do": "join", "labels": labels, "views": [VIEW], "output": "out.parquet"},
        {"do": "execute", "sql": ["SELECT k, y, x FROM 'out.parquet'"]},
        {"do": "join", "labels": {**labels, "only": [*labels["only"], "X"]}, "views": [VIEW], "output": "out.parquet"},
    ]
    results = driver.run(tmp_path, steps)
    assert results[2] == [[1, 7, 10.0]]
    assert results[3]["error"] == "features.name-collision"


def test_what_cannot_be_joined_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("k,at,y,day\n1,2026-03-02 00:00:00,0,Monday\n")
    labels = {"files": ["a.csv"], "format": "csv", "timestamp": "at"}
    refused: list[tuple[dict[str, Any], list[dict[str, Any]], str]] = [
        ({**labels, "timestamp": "att"}, [VIEW], "features.missing-column"),
        ({**labels, "timestamp": "day"}, [VIEW], "features.not-a-timestamp"),
        (labels, [{**VIEW, "keys": [{"name": "kk", "type": "int64"}]}], "features.missing-column"),
        (labels, [{**VIEW, "keys": [{"name": "k", "type": "string"}]}], "features.key-type"),
        (labels, [VIEW, {**VIEW, "view": "w"}], "features.name-collision"),
        (labels, [{**VIEW, "features": {"y": "float64"}}], "features.name-collision"),
        (labels, [{**VIEW, "features": {"Y": "float64"}}], "features.name-collision"),
        (labels, [{**VIEW, "path": "gone.parquet"}], "features.snapshot-gone"),
        ({**labels, "files": ["gone.parquet"], "format": "parquet"}, [VIEW], "data.missing-file"),
    ]
    steps = [{"do": "join", "labels": table, "views": views, "output": "out.parquet"} for table, views, _ in refused]
    results = driver.run(tmp_path, [{"do": "execute", "sql": [SNAPSHOTS]}, *steps])[1:]
    assert [result.get("error") for result in results] == [code for _, _, code in refused]
    assert not (tmp_path / "out.parquet").exists()
