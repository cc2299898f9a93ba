"""What we write is what Feast reads, and what Feast writes is what we read: keys of several columns, nulls and all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.integration.features import driver
from tests.integration.features.stores import online_store

pytestmark = pytest.mark.tools


@pytest.mark.parametrize("kind", ["sqlite", "redis", "dynamodb"])
def test_feast_reads_our_rows_and_we_read_those_of_feast(kind: str, tmp_path: Path) -> None:
    """The steps run in one process: declared by us, written by us, read by Feast, then pushed by Feast, read by us."""
    with online_store(kind, tmp_path) as online:
        store = {
            "project": "shop__default",
            "registry": "features/registry.db",
            "online": online,
            "offline": {"type": "duckdb"},
        }
        names = ("write", "feast_reads", "feast_pushes", "we_read", "late_push")
        steps = [{"do": "layout", "store": store, "step": name} for name in names]
        ours, by_feast, pushed, by_us, late = driver.run(tmp_path, steps)
    assert ours == 3
    assert by_feast == EXPECTED_BY_FEAST
    assert pushed is None
    assert by_us[0] == {"amount": 9.5, "visits": 9, "share": 0.5}
    assert by_us[1:] == [
        {"amount": None, "visits": -7, "share": None},
        {"amount": 0.0, "visits": 0, "share": 0.25},
        {"amount": None, "visits": None, "share": None},
    ]
    assert late == 0


EXPECTED_BY_FEAST: dict[str, Any] = {
    "amount": [1.5, None, 0.0, None],
    "visits": [2, -7, 0, None],
    "share": [0.125, None, 0.25, None],
    "times": [1_700_000_000] * 3 + [0],
}
