"""Precomputed features in a warehouse: how Feast knows their table, and their rows, brought here through Feast's offline store.

What comes after is the same for every source: rows become snapshots, and those are joined, compared and served. So a
training on a warehouse's table sees what it would see of the same rows in a file.
"""

# ruff: noqa: S608 (names go through _quote(), the relation is the project's own)

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mlctl.runtime.features.feast_opening import import_feast, open_store
from mlctl.runtime.profile.database import database
from mlctl.runtime.profile.source import detect
from mlctl.runtime.report import Report
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.features import EVENT_TIMESTAMP, MaterializeParams
from mlctl.types.jobs.profile import Source

_QUOTES = {"bigquery": "`", "snowflake": '"'}
_AHEAD = timedelta(days=1)


def table_query(params: MaterializeParams) -> str:
    """The rows of the view in the warehouse's own SQL, with the columns called as the view calls them."""
    remote = params.remote
    if remote is None:
        raise ValueError("the rows of this view are in files")
    columns = [(key.name, key.name) for key in params.keys]
    columns += [
        (params.timestamp, EVENT_TIMESTAMP),
        *((item.column or item.name, item.name) for item in params.features),
    ]
    picked = ", ".join(f"{_quote(column, remote.type)} AS {_quote(name, remote.type)}" for column, name in columns)
    return f"SELECT {picked} FROM {remote.relation}"


def source_of(params: MaterializeParams, tags: dict[str, str]) -> Any:
    """The table as Feast's registry names it: of a warehouse its query, else the file of snapshots."""
    import_feast()
    if params.remote is None:
        from feast import FileSource

        return FileSource(name=params.view, path=params.snapshot, timestamp_field=EVENT_TIMESTAMP, tags=tags)
    query = table_query(params)
    if params.remote.type == "bigquery":
        from feast import BigQuerySource

        return BigQuerySource(name=params.view, query=query, timestamp_field=EVENT_TIMESTAMP, tags=tags)
    from feast import SnowflakeSource

    return SnowflakeSource(name=params.view, query=query, timestamp_field=EVENT_TIMESTAMP, tags=tags)


def brought(params: MaterializeParams, report: Report) -> MaterializeParams:
    """The same view over a file with the warehouse's rows, in the job's folder. Raises MlctlError."""
    report.progress(f"reading the rows of {params.view} through Feast")
    file = report.folder / "warehouse.parquet"
    pull(params, source_of(params, {}), file)
    with database(report.folder) as connection:
        columns = detect(connection, [str(file)], "parquet")
    features = [item.model_copy(update={"column": item.name}) for item in params.features]
    source = Source(files=[str(file)], format="parquet", columns=columns, timestamp=EVENT_TIMESTAMP)
    return params.model_copy(update={"source": source, "timestamp": EVENT_TIMESTAMP, "features": features})


def pull(params: MaterializeParams, source: Any, file: Path) -> None:
    """Write every row of a source of Feast as parquet, through the offline store of the settings. Raises MlctlError."""
    import pyarrow.parquet as parquet

    registry = file.with_name("warehouse-registry.db")  # nothing is declared by looking
    try:
        store = open_store(params.store.model_copy(update={"registry": str(registry)}))
        job = store._get_provider().offline_store.pull_all_from_table_or_query(
            config=store.config,
            data_source=source,
            join_key_columns=[key.name for key in params.keys],
            feature_name_columns=[item.name for item in params.features],
            timestamp_field=EVENT_TIMESTAMP,
            created_timestamp_column=None,
            start_date=datetime(1900, 1, 1, tzinfo=UTC),
            end_date=datetime.now(UTC) + _AHEAD,
        )
        parquet.write_table(job.to_arrow(), file, coerce_timestamps="us", allow_truncated_timestamps=True)
    except MlctlError:
        raise
    except Exception as error:  # a client of a warehouse raises what it likes
        raise MlctlError.of(
            "features.warehouse",
            f"the rows of {params.view} cannot be read from {params.store.offline.type}",
            f"{type(error).__name__}: {error}"[:500],
            "see that `feature_store.offline` names it right, and that its credentials are in the environment",
        ) from error
    finally:
        registry.unlink(missing_ok=True)


def _quote(name: str, warehouse: str) -> str:
    mark = _QUOTES[warehouse]
    return mark + name.replace(mark, f"\\{mark}" if warehouse == "bigquery" else mark * 2) + mark
