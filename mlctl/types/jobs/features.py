"""What the `features` program is asked for, and how its callers name a feature view, its store and a table of labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mlctl.types.jobs.profile import Format, Source
from mlctl.types.jobs.tracking import LINEAGE_TAG, OBJECT_TAG

Aggregate = Literal["sum", "count", "count_distinct", "mean", "min", "max", "std", "last"]
FeatureType = Literal["float64", "float32", "int64"]
KeyType = Literal["int64", "string"]
FileFormat = Format

EVENT_TIMESTAMP = "event_timestamp"  # the column of a snapshot that says from when on a row is known


class Params(BaseModel):
    """Base of all models here: typed, closed, and the same in the provider and in the worker."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class OnlineStore(Params):
    """Where the latest values of every key are served from."""

    type: Literal["sqlite"]
    path: str


class OfflineStore(Params):
    """What reads the history; the files themselves are named by each view."""

    type: Literal["duckdb"]


class Store(Params):
    """A feature store as the outputs of a feature view name it. Paths are relative to the project folder."""

    project: str
    registry: str
    online: OnlineStore
    offline: OfflineStore


class FeatureColumn(Params):
    """One feature: how it is computed over which window. `column` is None only for a plain count of events."""

    name: str
    aggregate: Aggregate
    column: str | None
    window_steps: int  # the window as a number of grid steps
    dtype: FeatureType


class Marks(Params):
    """How Feast objects of ours are told from others': written as tags on everything we declare."""

    lineage: str
    object: str  # the object key, `feature_views.shopping#`

    @property
    def address(self) -> str:
        """The address of the object."""
        return self.object.partition("#")[0]

    def tags(self) -> dict[str, str]:
        """The tags that say whose an object is."""
        return {LINEAGE_TAG: self.lineage, OBJECT_TAG: self.object}


class MaterializeParams(Params):
    """Compute a view's snapshots, declare it, and serve the latest values when asked to."""

    op: Literal["materialize"] = "materialize"
    view: str
    entity: str
    join_key: str
    key_type: KeyType
    source: Source
    timestamp: str
    source_digest: str  # not read by the program: a new source must be a new job
    features: list[FeatureColumn]
    grid_seconds: int
    ttl_seconds: int | None
    online: bool
    snapshot: str  # the parquet file to make, relative to the project folder
    store: Store
    marks: Marks


class AdoptViewParams(Params):
    """Take over a view that is in the registry already, when it is what would be materialized."""

    op: Literal["adopt"] = "adopt"
    wanted: MaterializeParams


class AdoptEntityParams(Params):
    """Take over an entity that is in the registry already."""

    op: Literal["adopt_entity"] = "adopt_entity"
    entity: str
    join_key: str
    key_type: KeyType
    store: Store
    marks: Marks


class DeleteParams(Params):
    """Take a view out of the registry and the online store."""

    op: Literal["delete"] = "delete"
    view: str
    store: Store
    marks: Marks


class ViewSource(Params):
    """A feature view as a join reads it: `ViewSource.from_outputs(record.outputs)`."""

    view: str
    join_key: str
    key_type: KeyType
    path: str  # the parquet file of snapshots, relative to the project folder
    features: dict[str, FeatureType]
    ttl_seconds: int | None

    @classmethod
    def from_outputs(cls, outputs: Mapping[str, Any]) -> ViewSource:
        """Read the outputs of a `feature_views` object. Raises KeyError or pydantic.ValidationError when they are not those."""
        return cls(
            view=outputs["view"],
            join_key=outputs["join_key"],
            key_type=outputs["dtype"],
            path=outputs["offline"],
            features=outputs["features"],
            ttl_seconds=outputs["ttl_seconds"],
        )


class LabelSource(Params):
    """A table whose rows want features: keys, a timestamp, and whatever else it has (the target). Order of rows is kept."""

    files: list[str]
    format: FileFormat
    timestamp: str  # features are looked up as they were known at this time
    columns: dict[str, str] | None = (
        None  # types, as in the outputs of the dataset; found from the files when not given
    )


class OnlineView(Params):
    """Which features of a view are read online, and for how long a value is good. As in the `serving` output of a training."""

    view: str
    features: list[str]
    ttl_seconds: int | None


class ParityParams(Params):
    """Compare what training would read with what serving reads, for all keys."""

    op: Literal["parity"] = "parity"
    source: ViewSource
    store: Store
    at: str  # ISO time of the snapshot that both sides are read at
    tolerance: float


class GetParams(Params):
    """Read online features of some keys."""

    op: Literal["get"] = "get"
    store: Store
    join_key: str
    views: list[OnlineView]
    keys: list[int | str]


FeaturesJob = Annotated[
    MaterializeParams | AdoptViewParams | AdoptEntityParams | DeleteParams | ParityParams | GetParams,
    Field(discriminator="op"),
]


class Difference(Params):
    """One value that online and offline do not agree on. None is a missing value."""

    key: int | str
    feature: str
    offline: float | None
    online: float | None
    relative: float | None  # None when one side is missing


class Parity(Params):
    """The verdict of a parity run: `passed` means no null on one side only, and no difference above the tolerance."""

    passed: bool
    view: str
    at: str
    keys: int
    values: int
    mismatched: int
    null_mismatches: int
    max_relative: float  # over values that are there on both sides
    tolerance: float
    worst: Difference | None  # the largest difference, below the tolerance or above; None when all values are equal


INTEGER_TYPES = frozenset({"tinyint", "smallint", "integer", "bigint", "utinyint", "usmallint", "uinteger"})
_TEXT_TYPES = frozenset({"varchar", "uuid"})


def key_type_of(column_type: str) -> KeyType | None:
    """The entity type that a column of this DuckDB type can be the key of; None when it cannot be one."""
    if column_type in INTEGER_TYPES:
        return "int64"
    return "string" if column_type in _TEXT_TYPES else None
