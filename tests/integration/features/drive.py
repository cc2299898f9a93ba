"""Runs steps against the feature programs in a process of its own: `python drive.py STEPS.json RESULTS.json`.

DuckDB and Feast stay out of the pytest process, and many steps pay for one import. Used through `driver.run`.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from mlctl.runtime.features import program, windows
from mlctl.runtime.features.feast_opening import open_store
from mlctl.runtime.features.feast_store import retag
from mlctl.runtime.features.join import point_in_time_join
from mlctl.runtime.features.online import OnlineFeatures
from mlctl.runtime.profile.database import database
from mlctl.runtime.report import Report
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.features import LabelSource, MaterializeParams, OnlineView, Store, ViewSource


def execute(step: dict[str, Any]) -> Any:
    """Run SQL statements; the rows of the last one come back."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for statement in step["sql"]:
        rows = connection.execute(statement).fetchall()
    return rows


def sqlite(step: dict[str, Any]) -> Any:
    with closing(sqlite3.connect(step["path"])) as connection, connection:
        for statement in step["sql"]:
            rows = connection.execute(statement).fetchall()
    return rows


def compute(step: dict[str, Any]) -> Any:
    output = Path(step["output"])
    with database(output.parent) as connection:
        if "threads" in step:
            connection.execute(f"SET threads = {step['threads']}")
        return asdict(windows.compute(connection, MaterializeParams.model_validate(step["params"]), output))


def join(step: dict[str, Any]) -> Any:
    views = [ViewSource.model_validate(view) for view in step["views"]]
    return asdict(point_in_time_join(LabelSource.model_validate(step["labels"]), views, Path(step["output"])))


def history(step: dict[str, Any]) -> Any:
    """Feast's own join, over labels in a parquet file, written as parquet."""
    import pandas as pd

    feast_store = open_store(Store.model_validate(step["store"]))
    found = feast_store.get_historical_features(
        entity_df=pd.read_parquet(step["labels"]), features=step["features"]
    ).to_df()
    found.to_parquet(step["output"], coerce_timestamps="us", allow_truncated_timestamps=True)
    return len(found)


def online(step: dict[str, Any]) -> Any:
    views = [OnlineView.model_validate(view) for view in step["views"]]
    now = datetime.fromisoformat(step["now"])
    return OnlineFeatures(Store.model_validate(step["store"]), views, lambda: now).get(step["keys"])


def worker(step: dict[str, Any]) -> Any:
    folder = Path(step["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    return program.main(step["params"], Report(folder)).outputs


def foreign(step: dict[str, Any]) -> Any:
    """Declare a view by hand, as somebody without mlctl would."""
    from feast import Entity, FeatureView, Field, FileSource, ValueType
    from feast.types import Float64, Int64

    feast_store = open_store(Store.model_validate(step["store"]))
    entity = Entity(name="theirs", join_keys=["k"], value_type=ValueType.INT64)
    source = FileSource(name="their_source", path=step["path"], timestamp_field="event_timestamp")
    schema = [Field(name="k", dtype=Int64), Field(name="x", dtype=Float64)]
    feast_store.apply([entity, source, FeatureView(name=step["view"], entities=[entity], schema=schema, source=source)])


def disown(step: dict[str, Any]) -> Any:
    """Put other tags on everything, as if somebody without mlctl had declared it."""
    feast_store = open_store(Store.model_validate(step["store"]))
    items = [*feast_store.list_entities(), *feast_store.list_data_sources(), *feast_store.list_feature_views()]
    retag(feast_store, items, lambda tags: dict(step["tags"]))


def registry(step: dict[str, Any]) -> Any:
    feast_store = open_store(Store.model_validate(step["store"]))
    return {
        "views": {
            view.name: {"ttl": view.ttl.total_seconds(), "tags": view.tags, "entities": view.entities}
            for view in feast_store.list_feature_views()
        },
        "entities": {item.name: item.join_key for item in feast_store.list_entities()},
        "entity_tags": {item.name: item.tags for item in feast_store.list_entities()},
        "sources": sorted(source.name for source in feast_store.list_data_sources()),
        "source_tags": {source.name: source.tags for source in feast_store.list_data_sources()},
    }


def layout(step: dict[str, Any]) -> Any:
    """One view by two keys, written and read by us and by Feast in turn."""
    from tests.integration.features import layouts

    return layouts.run(step["step"], Store.model_validate(step["store"]))


def warehouse(step: dict[str, Any]) -> Any:
    """What Feast makes of an offline store in a warehouse."""
    from tests.integration.features import warehouses

    return {"rendered": warehouses.rendered, "pulled": warehouses.pulled}[step["step"]](step["params"])


STEPS: dict[str, Callable[[dict[str, Any]], Any]] = {
    step.__name__: step
    for step in (execute, sqlite, compute, join, history, online, worker, foreign, disown, registry, layout, warehouse)
}


def main() -> None:
    results = []
    for step in json.loads(Path(sys.argv[1]).read_text()):
        try:
            results.append(STEPS[step.pop("do")](step))
        except MlctlError as error:
            results.append({"error": error.diagnostics[0].code, "summary": error.diagnostics[0].summary})
    Path(sys.argv[2]).write_text(json.dumps(results, default=str))


if __name__ == "__main__":
    main()
