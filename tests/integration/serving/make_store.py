"""Make a Feast store with one view: `python make_store.py FOLDER`, run in the project folder; FOLDER is relative to it.

Households 1 and 2 have values; 3 has no amount; the values of 4 are older than any time to live used in the tests.
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.repo_config import RegistryConfig
from feast.types import Float64, Int64

VALUES = {1: (2.0, 4), 2: (-1.0, 0), 3: (None, 2), 4: (9.0, 9)}


def main(folder: Path) -> None:
    folder.mkdir()
    store = FeatureStore(
        config=RepoConfig(
            project="serving",
            provider="local",
            registry=RegistryConfig(registry_type="file", path=str(folder / "registry.db")),
            offline_store={"type": "duckdb"},
            online_store={"type": "sqlite", "path": str(folder / "online.db")},
            entity_key_serialization_version=3,
        )
    )
    now = datetime.now(UTC).replace(tzinfo=None)
    frame = pd.DataFrame(
        {
            "household_id": list(VALUES),
            "event_timestamp": [now, now, now, now - timedelta(days=30)],
            "amount": [amount for amount, _ in VALUES.values()],
            "visits": [visits for _, visits in VALUES.values()],
        }
    )
    frame.to_parquet(folder / "values.parquet", coerce_timestamps="us", allow_truncated_timestamps=True)
    household = Entity(name="household", join_keys=["household_id"], value_type=ValueType.INT64)
    source = FileSource(name="values", path=str(folder / "values.parquet"), timestamp_field="event_timestamp")
    schema = [
        Field(name="household_id", dtype=Int64),
        Field(name="amount", dtype=Float64),
        Field(name="visits", dtype=Int64),
    ]
    view = FeatureView(name="spending", entities=[household], schema=schema, source=source, ttl=timedelta(0))
    store.apply([household, view])
    store.write_to_online_store("spending", frame)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
