"""The point-in-time join: features for rows of labels, as they were known at each row's own time."""

# ruff: noqa: S608 (names go through quote(), texts through literal())

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlctl.runtime.features.sql import columns_of, key_names, key_values, only_row, write_parquet
from mlctl.runtime.profile.database import database, literal, own_parquet, quote
from mlctl.runtime.profile.source import detect, relation
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.types.jobs.features import EVENT_TIMESTAMP, LabelSource, ViewSource, key_type_of, keys_of
from mlctl.types.jobs.profile import Source


@dataclass(frozen=True, slots=True)
class JoinedTable:
    """What a join wrote: the labels' own columns first, then the features in the order of the views.

    `columns` maps each column to its DuckDB type in lower case, `features` lists the feature columns among them, and
    `missing` counts the rows in which a feature is null (no snapshot yet, expired, or null in the snapshot itself).
    """

    path: Path
    rows: int
    columns: dict[str, str]
    features: tuple[str, ...]
    missing: dict[str, int]


def point_in_time_join(labels: LabelSource, views: Sequence[ViewSource], output: Path) -> JoinedTable:
    """Write a parquet file with every row of the labels, in their order, and the features known at that row's time.

    For a row at time t a view gives its latest snapshot of the row's key with `event_timestamp <= t`, and, if the view
    has a ttl, `event_timestamp >= t - ttl` (inclusive at both ends, as Feast's get_historical_features). A row that
    finds none keeps its place with null features. The labels need every key column of every view. Naive times are
    UTC. Relative paths start at the working directory, which for a worker program is the project folder. The file is
    written beside and swapped in. Raises MlctlError: `features.missing-column`, `features.name-collision`,
    `features.key-type`, `features.snapshot-gone`, `data.unreadable`.
    """
    for view in views:
        if not Path(view.path).is_file():
            raise MlctlError.of(
                "features.snapshot-gone",
                f"the snapshots of {view.view} are gone",
                f"there is no file {view.path}",
                "run `mlctl apply`: the plan finds it missing and makes it again",
            )
    output.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".join-", dir=output.parent) as spill, database(Path(spill)) as connection:
        columns = labels.columns or detect(connection, labels.files, labels.format, labels.partitions)
        # A table of its own gives every row an id in the order of the files.
        table = relation(
            Source(files=labels.files, format=labels.format, columns=columns, partitions=labels.partitions)
        )
        read = "*" if labels.only is None else ", ".join(quote(name) for name in labels.only if name in columns)
        connection.execute(f"CREATE TEMP TABLE labels AS SELECT {read} FROM {table}")
        found = columns_of(connection, "labels")
        _check(found, labels, views)
        write_parquet(connection, _join_query(labels, views), output)
        return _describe(connection, views, output)


def _check(found: dict[str, str], labels: LabelSource, views: Sequence[ViewSource]) -> None:
    """Refuse labels that cannot be joined, and names that would stand for two columns. Raises MlctlError."""
    for name in dict.fromkeys([labels.timestamp, *(key.name for key in keys_of(views))]):
        if name not in found:
            raise MlctlError.of(
                "features.missing-column",
                f"the labels have no column `{name}`",
                "a point-in-time join needs the keys of its views and a timestamp",
                did_you_mean(name, found),
            )
    if not found[labels.timestamp].startswith(("timestamp", "date")):
        raise MlctlError.of(
            "features.not-a-timestamp",
            f"the column `{labels.timestamp}` of the labels is {found[labels.timestamp]}, not a timestamp",
            "",
            "write it as a timestamp or a date",
        )
    taken = {name.lower(): "the labels" for name in found}  # DuckDB tells names apart without regard to case
    for view in views:
        for key in view.keys:
            if key_type_of(found[key.name]) != key.type:
                raise MlctlError.of(
                    "features.key-type",
                    f"`{key.name}` is {found[key.name]} in the labels and {key.type} in {view.view}",
                    "keys of two types never match",
                    f"write `{key.name}` as {key.type} in the labels, or change its type in the entity",
                )
        for feature in view.features:
            if feature.lower() in taken:
                raise MlctlError.of(
                    "features.name-collision",
                    f"`{feature}` is in both {taken[feature.lower()]} and {view.view}",
                    "a joined table has each name once",
                    "rename the feature",
                )
            taken[feature.lower()] = view.view


def _join_query(labels: LabelSource, views: Sequence[ViewSource]) -> str:
    moment = f"CAST(labels.{quote(labels.timestamp)} AS TIMESTAMP)"
    fields, joins = ["labels.*"], []
    for index, view in enumerate(views):
        side = f"view_{index}"
        alive = _alive(view, moment, side)
        fields += [f"CASE WHEN {alive} THEN {side}.{quote(name)} END AS {quote(name)}" for name in view.features]
        pairs = zip(key_values(view.keys, "labels"), key_names(view.keys), strict=True)
        same = "".join(f"{wanted} = {side}.{key} AND " for wanted, key in pairs)
        joins.append(f"ASOF LEFT JOIN {own_parquet(view.path)} AS {side} ON {same}{moment} >= {side}.{EVENT_TIMESTAMP}")
    return f"SELECT {', '.join(fields)} FROM labels {' '.join(joins)} ORDER BY labels.rowid"


def _alive(view: ViewSource, moment: str, side: str) -> str:
    """Whether the snapshot found is still good. One of a sparse view counts as taken anew at each step, up to the last of the view."""
    if view.ttl_seconds is None:
        return "true"
    taken = f"{side}.{EVENT_TIMESTAMP}"
    if view.sparse:
        grid = view.grid_seconds * 1_000_000
        taken = f"make_timestamp(epoch_us({moment}) - (epoch_us({moment}) % {grid} + {grid}) % {grid})"
        if view.until is not None:
            until = datetime.fromisoformat(view.until).astimezone(UTC).replace(tzinfo=None)
            taken = f"least({taken}, TIMESTAMP {literal(until.isoformat(sep=' '))})"
    return f"{taken} >= {moment} - to_seconds({view.ttl_seconds})"


def _describe(connection: Any, views: Sequence[ViewSource], output: Path) -> JoinedTable:
    table = own_parquet(str(output))
    features = tuple(name for view in views for name in view.features)
    rows, *filled = only_row(
        connection, f"SELECT {', '.join(['count(*)', *(f'count({quote(name)})' for name in features)])} FROM {table}"
    )
    return JoinedTable(
        output,
        rows,
        columns_of(connection, table),
        features,
        {name: rows - count for name, count in zip(features, filled, strict=True)},
    )
