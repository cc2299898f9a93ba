"""Several views of different entities in one join, against a look at every row: ties, nulls, boundaries, order."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mlctl.types.jobs.features import Key, ViewSource
from tests.integration.features import lab

pytestmark = pytest.mark.tools

START = datetime(2026, 3, 1)
HOUR = timedelta(hours=1)
KINDS = {"house": "int64", "shop": "string"}


def snapshots(draw: random.Random, keys: tuple[str, ...], feature: str) -> list[dict[str, Any]]:
    """Snapshots at whole hours, at most one for each key and time, some of them without a value."""
    made: dict[tuple[Any, ...], dict[str, Any]] = {}
    for _ in range(400):
        place = {"house": draw.randrange(4), "shop": draw.choice(["x", "it's", ""])}
        row = {key: place[key] for key in keys} | {"event_timestamp": START + draw.randrange(60) * HOUR}
        made[tuple(row.values())] = {**row, feature: draw.choice([None, draw.random()])}
    return list(made.values())


def known(
    rows: list[dict[str, Any]], keys: tuple[str, ...], label: dict[str, Any], feature: str, ttl: timedelta | None
) -> Any:
    """The feature of the latest snapshot that the row may see."""
    if label["at"] is None:
        return None
    mine = [
        row for row in rows if all(row[key] == label[key] for key in keys) and row["event_timestamp"] <= label["at"]
    ]
    latest = max(mine, key=lambda row: row["event_timestamp"], default=None)
    if latest is None or (ttl is not None and label["at"] - latest["event_timestamp"] > ttl):
        return None
    return latest[feature]


def test_each_view_finds_its_own_keys_and_the_labels_stay_as_they_are(tmp_path: Path) -> None:
    draw = random.Random(1)
    ttl = 5 * HOUR
    asked: list[tuple[tuple[str, ...], str, timedelta | None]] = [
        (("house",), "a", ttl), (("shop",), "b", None), (("house", "shop"), "c", ttl), (("shop", "house"), "d", HOUR),
    ]  # fmt: skip
    tables = {feature: snapshots(draw, keys, feature) for keys, feature, _ in asked}
    times = [row["event_timestamp"] for rows in tables.values() for row in rows]
    offsets = [timedelta(0), ttl, ttl + timedelta(microseconds=1), -timedelta(microseconds=1), HOUR, HOUR / 2]
    labels = [
        {
            "y": draw.random(), "house": draw.choice([0, 1, 2, 3, 9, None]), "shop": draw.choice(["x", "it's", "", "z", None]),
            "at": draw.choice([draw.choice(times) + draw.choice(offsets), draw.choice(times) + draw.choice(offsets), None]),
            **{f"wide {index}": index for index in range(30)},
        }
        for _ in range(800)
    ]  # fmt: skip
    labels += draw.sample(labels, 100)  # the same row twice stays twice
    views = []
    for keys, feature, good in asked:
        columns = {key: {"house": "bigint", "shop": "varchar"}[key] for key in keys}
        path = lab.write(
            tmp_path / f"{feature}.parquet",
            {**columns, "event_timestamp": "timestamp", feature: "double"},
            tables[feature],
        )
        views.append(
            ViewSource.model_validate(
                {
                    "view": feature, "keys": [Key(name=key, type=KINDS[key]) for key in keys], "path": str(path),
                    "features": {feature: "float64"}, "ttl_seconds": None if good is None else int(good.total_seconds()),
                }
            )
        )  # fmt: skip
    types = {"y": "double", "house": "integer", "shop": "varchar", "at": "timestamp"}
    table = lab.write(
        tmp_path / "labels.parquet", types | {name: "smallint" for name in labels[0] if name not in types}, labels
    )
    expected = [
        label | {feature: known(tables[feature], keys, label, feature, good) for keys, feature, good in asked}
        for label in labels
    ]
    assert lab.join(table, views, tmp_path / "out.parquet") == expected
    assert all(any(row[feature] is not None for row in expected) for _, feature, _ in asked)
