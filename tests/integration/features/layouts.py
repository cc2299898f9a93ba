"""Steps of `test_stores_layout.py`, run in the process of `drive.py`, which may import Feast."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from mlctl.runtime.features.feast_opening import open_store
from mlctl.runtime.features.feast_store import changing, declare
from mlctl.runtime.features.online import OnlineFeatures
from mlctl.runtime.features.stores.backend import Stamp, Table
from mlctl.runtime.features.stores.opening import open_backend
from mlctl.runtime.features.stores.writer import OnlineWriter
from mlctl.types.jobs.features import (
    FeatureColumn,
    Key,
    Marks,
    MaterializeParams,
    OnlineView,
    Store,
    ViewSource,
)
from mlctl.types.jobs.profile import Source

T = datetime.fromtimestamp(1_700_000_000, UTC)
KEYS = [Key(name="user", type="int64"), Key(name="item", type="string")]
FEATURES = {"amount": "float64", "visits": "int64", "share": "float32"}
ROWS = [
    ({"user": 1, "item": "a"}, {"amount": 1.5, "visits": 2, "share": 0.125}),
    ({"user": -5, "item": "ünïcode"}, {"amount": None, "visits": -7, "share": None}),
    ({"user": 2**62, "item": ""}, {"amount": 0.0, "visits": 0, "share": 0.25}),
]
ASKED = [*(keys for keys, _ in ROWS), {"user": 1, "item": "nobody"}]
SOURCE = ViewSource(view="pairs", keys=KEYS, path="pairs.parquet", features=FEATURES, ttl_seconds=None)  # type: ignore[arg-type]
VIEW = OnlineView(view="pairs", keys=KEYS, features=list(FEATURES), ttl_seconds=None)


def run(step: str, store: Store) -> Any:
    steps: dict[str, Callable[[Store], Any]] = {
        "write": write, "feast_reads": feast_reads, "feast_pushes": feast_pushes, "we_read": we_read, "late_push": late_push,
    }  # fmt: skip
    return steps[step](store)


def write(store: Store) -> int:
    """Declare the view as a materialization does, and write its rows."""
    import pandas as pd

    empty = {"user": [1], "item": ["a"], "event_timestamp": [T], "amount": [0.0], "visits": [0], "share": [0.0]}
    pd.DataFrame(empty).to_parquet("pairs.parquet", coerce_timestamps="us", allow_truncated_timestamps=True)
    params = MaterializeParams(
        view="pairs",
        entity="pair",
        keys=KEYS,
        source=Source(files=["pairs.parquet"], format="parquet", columns={}),
        timestamp="event_timestamp",
        source_digest="",
        features=[FeatureColumn(name=name, aggregate=None, column=name, window_steps=0, dtype=kind) for name, kind in FEATURES.items()],  # type: ignore[arg-type]
        grid_seconds=0,
        ttl_seconds=None,
        online=True,
        snapshot="pairs.parquet",
        store=store,
        marks=Marks(lineage="me", object="feature_views.pairs#"),
    )  # fmt: skip
    with changing(store) as feast_store:
        declare(feast_store, params)
    backend, table = open_backend(store), Table("pairs", tuple(KEYS), tuple(FEATURES))
    backend.make(table)
    backend.put_stamp(
        "pairs", Stamp("me", "feature_views.pairs#", [key.model_dump() for key in KEYS], list(FEATURES), served=True)
    )
    return OnlineWriter(store, SOURCE).write([(keys, T, values) for keys, values in ROWS]).written


def feast_reads(store: Store) -> dict[str, Any]:
    references = [f"pairs:{name}" for name in FEATURES]
    found = open_store(store).get_online_features(references, ASKED).to_dict(include_event_timestamps=True)
    return {**{name: found[name] for name in FEATURES}, "times": [int(seconds) for seconds in found["amount__ts"]]}


def feast_pushes(store: Store) -> None:
    """Feast's own writer, with a later time for one key."""
    import pandas as pd

    later = {"user": [1], "item": ["a"], "event_timestamp": [T + timedelta(hours=1)], "amount": [9.5], "visits": [9], "share": [0.5]}  # fmt: skip
    frame = pd.DataFrame(later).astype({"share": "float32"})
    open_store(store).write_to_online_store("pairs", frame)


def we_read(store: Store) -> list[dict[str, Any]]:
    return OnlineFeatures(store, [VIEW]).get(ASKED)  # type: ignore[arg-type]


def late_push(store: Store) -> int:
    """What is older than what Feast wrote is not written."""
    keys, values = ROWS[0]
    return OnlineWriter(store, SOURCE).write([(keys, T + timedelta(minutes=1), values)]).written
