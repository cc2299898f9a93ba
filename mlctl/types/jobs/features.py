"""What the `features` program is asked for, and how its callers name a feature view, its store and a table of labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mlctl.types.jobs.profile import Format, Remote, Source
from mlctl.types.jobs.tracking import LINEAGE_TAG, OBJECT_TAG

Aggregate = Literal["sum", "count", "count_distinct", "mean", "min", "max", "std", "last", "ratio"]
FeatureType = Literal["float64", "float32", "int64"]
KeyType = Literal["int64", "string"]
KeyValue = int | str
FileFormat = Format

EVENT_TIMESTAMP = "event_timestamp"  # the column of a snapshot that says from when on a row is known


class Params(BaseModel):
    """Base of all models here: typed, closed, and the same in the provider and in the worker."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Key(Params):
    """One column of an entity's key. An entity has one or several; their order is that of the project file."""

    name: str
    type: KeyType


class SqliteOnline(Params):
    """A file beside the registry: the default, for one machine."""

    type: Literal["sqlite"] = "sqlite"
    path: str


class RedisOnline(Params):
    """A Redis server. The URL may hold a password, sealed in job files and outputs."""

    type: Literal["redis"] = "redis"
    url: str  # `redis://user:password@host:port/database`, or `rediss://` for TLS
    key_ttl_seconds: int | None = None


class DynamoOnline(Params):
    """DynamoDB; credentials come from the environment, as for every AWS client."""

    type: Literal["dynamodb"] = "dynamodb"
    region: str
    endpoint_url: str | None = None


OnlineStore = Annotated[SqliteOnline | RedisOnline | DynamoOnline, Field(discriminator="type")]


class DuckdbOffline(Params):
    """Snapshots in parquet files below the environment's folder: the default."""

    type: Literal["duckdb"] = "duckdb"


class BigqueryOffline(Params):
    """Precomputed tables in BigQuery, joined there by Feast."""

    type: Literal["bigquery"]
    project: str
    dataset: str
    location: str | None = None


class SnowflakeOffline(Params):
    """Precomputed tables in Snowflake, joined there by Feast."""

    type: Literal["snowflake"]
    account: str
    user: str
    password: str | None = None
    database: str
    warehouse: str
    role: str | None = None


OfflineStore = Annotated[DuckdbOffline | BigqueryOffline | SnowflakeOffline, Field(discriminator="type")]


class Store(Params):
    """A feature store as the outputs of a feature view name it. Paths are relative to the project folder."""

    project: str
    registry: str  # a file, or the URL of a SQL registry such as `postgresql+psycopg://...`
    online: OnlineStore
    offline: OfflineStore

    @property
    def registry_is_file(self) -> bool:
        """Whether the registry is a file of ours, and not a database."""
        return "://" not in self.registry


class FeatureColumn(Params):
    """One feature: how it is computed over which window.

    `column` is a column of the source or of the view's expressions; None only for a count of events. `where` narrows the
    events that count, for a ratio those of the numerator. `over` is the denominator of a ratio: a column to sum, or None
    for the number of events. `aggregate` None takes the column as it is in a precomputed source; there is no window then.
    """

    name: str
    aggregate: Aggregate | None
    column: str | None
    over: str | None = None
    where: str | None = None
    window_steps: int  # the window as a number of grid steps; 0 for a precomputed column
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


class StreamLog(Params):
    """What a stream has brought for a view: the first `events` of the log in a folder, relative to the project folder."""

    folder: str
    events: int


class MaterializeParams(Params):
    """Compute a view's snapshots, declare it, and serve the latest values when asked to."""

    op: Literal["materialize"] = "materialize"
    view: str
    entity: str
    keys: list[Key]
    source: Source  # without files when `remote` has the rows
    remote: Remote | None = None  # a precomputed table that stays in a warehouse, which Feast reads
    timestamp: str
    source_digest: str  # not read by the program: a new source must be a new job
    log: StreamLog | None = None  # more events of the same columns; one that the source has already counts once
    where: str | None = None  # only these rows of the source are events, in DuckDB's SQL
    expressions: dict[str, str] = {}  # columns computed from a row of the source, in DuckDB's SQL
    features: list[FeatureColumn]
    grid_seconds: int  # 0 for a precomputed source: each of its rows is a snapshot at its own time
    sparse: bool = False  # snapshots only at steps in which a value may change; see ViewSource
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
    keys: list[Key]
    store: Store
    marks: Marks


class DeleteParams(Params):
    """Take a view out of the registry and the online store."""

    op: Literal["delete"] = "delete"
    view: str
    declared: bool = True  # False when only its online rows go: the view is served from another store now
    store: Store
    marks: Marks


class ViewSource(Params):
    """A feature view as a join reads it: `ViewSource.from_outputs(record.outputs)`.

    A dense view has a snapshot of each key at every step of its grid. A sparse one leaves out those that would repeat the
    one before: its value at time t is that of the latest snapshot, and counts as taken at the last step before t, though
    not after `until`. Both give the same features for every row.
    """

    view: str
    keys: list[Key]
    path: str  # the parquet file of snapshots, relative to the project folder
    features: dict[str, FeatureType]
    ttl_seconds: int | None
    sparse: bool = False
    grid_seconds: int = 0
    until: str | None = None  # ISO time of the last snapshot of the whole view

    @classmethod
    def from_outputs(cls, outputs: Mapping[str, Any]) -> ViewSource:
        """Read the outputs of a `feature_views` object. Raises KeyError or pydantic.ValidationError when they are not those."""
        return cls(
            view=outputs["view"],
            keys=outputs["keys"],
            path=outputs["offline"],
            features=outputs["features"],
            ttl_seconds=outputs["ttl_seconds"],
            sparse=outputs.get("sparse", False),
            grid_seconds=outputs["grid_seconds"],
            until=outputs["until"],
        )


def keys_of(views: Iterable[ViewSource | OnlineView]) -> list[Key]:
    """The key columns of several views, each once, in the order in which they come up."""
    return list({key.name: key for view in views for key in view.keys}.values())


class LabelSource(Params):
    """A table whose rows want features: keys, a timestamp, and whatever else it has (the target). Order of rows is kept."""

    files: list[str]
    format: FileFormat
    timestamp: str  # features are looked up as they were known at this time
    columns: dict[str, str] | None = (
        None  # types, as in the outputs of the dataset; found from the files when not given
    )
    partitions: dict[str, str] = {}  # those of the columns that stand in the names of folders
    only: list[str] | None = None  # the columns that are read, where not all are


class OnlineView(Params):
    """Which features of a view are read online, by which key, and for how long a value is good. As in the `serving` output of a training."""

    view: str
    keys: list[Key]
    features: list[str]
    ttl_seconds: int | None


class Transformation(Params):
    """An on-demand transformation: features computed from others, and from what the request brings, when they are asked for.

    The function of the project gets every input column by its name as a numpy array of float64 (NaN for a missing number),
    each of one length, and gives a mapping with every feature as one. Training calls it on the joined table and serving on
    each request: one definition. It is applied by `mlctl.runtime.features.transform`.
    """

    view: str
    root: str = "."  # where its code is kept, relative to the project folder; a trained model has a copy of its own
    file: str  # relative to `root`
    function: str
    closure: list[str]  # every file below `root` that `file` imports, itself included
    code_digest: str
    request: dict[str, FeatureType]  # what a request brings, and in training a column of the labels
    inputs: list[str]  # features of other views that it reads
    features: dict[str, FeatureType]


class CheckTransformationParams(Params):
    """Load the function of a transformation and call it once, so that what is wrong with it shows before it is used."""

    op: Literal["check"] = "check"
    transformation: Transformation


class ParityParams(Params):
    """Compare what training would read with what serving reads, for all keys or a sample of them."""

    op: Literal["parity"] = "parity"
    source: ViewSource
    store: Store
    at: str | None  # ISO time that both sides are read at; None for the newest snapshot that is known by now
    tolerance: float
    sample: int | None = None  # so many keys, chosen by the hash of the key and `seed`; None for all
    seed: int = 0


class LogParityParams(Params):
    """Compare what a deployed model saw, by its prediction log, with the features recomputed as of the time of each prediction."""

    op: Literal["log_parity"] = "log_parity"
    predictions: str  # the folder of the prediction log, relative to the project folder
    sources: list[ViewSource]
    transformations: list[Transformation] = []
    features: list[str]  # the columns of the model, which are what the log holds
    version: str  # of the model; predictions of others are left out
    since: str | None
    until: str
    tolerance: float
    max_lag_seconds: float = (
        0.0  # for how long nothing may be served after a value is due; one step of the grid at least
    )
    sample: int | None = None
    seed: int = 0


class GetParams(Params):
    """Read online features of some keys; each row of `keys` has a value for every key of every view."""

    op: Literal["get"] = "get"
    store: Store | None  # None for what is all computed from the request
    views: list[OnlineView]
    keys: list[dict[str, KeyValue]]
    transformations: list[Transformation] = []
    requests: list[dict[str, float | None]] = []  # for each row of `keys` what the transformations want of a request
    columns: list[str] | None = None  # the features to give, in order; None for those of the views


class SummaryParams(Params):
    """Say what is in the snapshots of a view."""

    op: Literal["summary"] = "summary"
    source: ViewSource


class PushParams(Params):
    """Write rows of a table of features to the online store: a later event time wins, whatever the order they come in."""

    op: Literal["push"] = "push"
    source: ViewSource
    store: Store
    file: str  # parquet, csv or jsonl with the keys, `event_timestamp` and the features; project-relative
    format: Format


FeaturesJob = Annotated[
    MaterializeParams
    | AdoptViewParams
    | AdoptEntityParams
    | DeleteParams
    | ParityParams
    | LogParityParams
    | GetParams
    | PushParams
    | SummaryParams,
    Field(discriminator="op"),
]


class Difference(Params):
    """One value that online and offline do not agree on. None is a missing value."""

    key: KeyValue | list[KeyValue]  # a list for a key of several columns
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
    ahead: int = 0  # keys that are served by something newer than `at`, which cannot be compared with it
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
