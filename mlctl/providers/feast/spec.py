"""What may stand in the blocks of features: entities, feature views, on-demand views and feature services."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from mlctl.provider import Block, Reference, Spec
from mlctl.types.change import FieldClass
from mlctl.types.jobs.features import Aggregate, FeatureType, Key, KeyType
from mlctl.types.units import Duration, format_duration

DAY_SECONDS = 86_400
COUNTS = frozenset({"count", "count_distinct"})

# No leading and no doubled underscore: Feast writes `view__feature` and `feature__ts`, which must stay unambiguous.
FeatureName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*$", max_length=128)]
ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Expression = Annotated[str, StringConstraints(min_length=1, max_length=4000, strip_whitespace=True)]


def _entrypoint(text: str) -> str:
    path, colon, function = text.rpartition(":")
    if not colon or not path.endswith(".py") or not function.isidentifier():
        raise ValueError(f"{text!r} names no function; write the file and the function, `src/features.py:ratios`")
    return text


class EntitySpec(Spec):
    """What features are about: a household, a user, a product in a shop. Its key is one column, or several together."""

    key: Annotated[
        str | None, Field(min_length=1, description="The column that holds the entity's key, in sources and in labels")
    ] = None
    dtype: Annotated[KeyType, Field(description="The type of the key")] = "int64"
    keys: Annotated[
        dict[ColumnName, KeyType] | None,
        Field(min_length=1, description="Instead of `key`: the columns of a composite key with their types"),
    ] = None

    @property
    def columns(self) -> list[Key]:
        """The columns of the key, in the order of the block."""
        if self.keys is not None:
            return [Key(name=name, type=kind) for name, kind in self.keys.items()]
        return [] if self.key is None else [Key(name=self.key, type=self.dtype)]


class Feature(Block):
    """One number for each entity and moment: an aggregate over the events of a window that ends at that moment.

    Without `aggregate` it is a column of a source that holds features already: each of its rows is known from its own time on.
    """

    aggregate: Annotated[
        Aggregate | None,
        Field(description="How the events of the window become one number; left out for a computed table"),
    ] = None
    column: Annotated[
        str | None,
        Field(
            min_length=1, description="A column of the source, or one of `columns`; a count without one counts events"
        ),
    ] = None
    over: Annotated[
        str | None,
        Field(
            min_length=1,
            description="Of a ratio: the column that is summed below the line; without it, events are counted",
        ),
    ] = None
    where: Annotated[
        Expression | None,
        Field(description="Only these events count, in DuckDB's SQL; of a ratio, above the line"),
    ] = None
    window: Annotated[Duration | None, Field(description="How far back the window reaches, for example `7d`")] = None
    windows: Annotated[
        list[Duration] | None,
        Field(min_length=1, description="Several windows: `[7d, 30d]` gives `NAME_7d` and `NAME_30d`"),
    ] = None
    dtype: Annotated[
        FeatureType | None, Field(description="int64 for counts and float64 for the rest, unless given")
    ] = None
    description: Annotated[str, Field(description="What the number means; a change of it runs nothing")] = ""

    @property
    def type(self) -> FeatureType:
        """The type the feature is stored as."""
        return self.dtype or ("int64" if self.aggregate in COUNTS else "float64")


@dataclass(frozen=True, slots=True)
class Computed:
    """One column of a view: a feature with one of its windows. `block` is its name in the file."""

    name: str
    block: str
    feature: Feature
    window: float | None


class FeatureViewSpec(Spec):
    """Features of one entity that are computed from one source."""

    entity: Annotated[str, Reference("entities")]
    source: Annotated[str, Reference("datasets")]
    where: Annotated[
        Expression | None, Field(description="Only these rows of the source are events, in DuckDB's SQL")
    ] = None
    columns: Annotated[
        dict[FeatureName, Expression],
        Field(
            default_factory=dict,
            description="More columns, each an expression over one row of the source, in DuckDB's SQL",
        ),
    ]
    ttl: Annotated[
        Duration | None, Field(description="How long a value is good for; without it values do not expire")
    ] = None
    online: Annotated[bool, FieldClass.SERVING, Field(description="Whether the latest values are served")] = False
    grid: Annotated[
        Duration, Field(description="How often a snapshot is taken: a part of a day, such as `1d` or `1h`")
    ] = float(DAY_SECONDS)
    snapshots: Annotated[
        Literal["dense", "sparse"],
        Field(
            description="`sparse` keeps only snapshots in which a value may change: the same features from fewer rows, "
            "for grids down to `1s`"
        ),
    ] = "dense"
    features: Annotated[dict[FeatureName, Feature], Field(min_length=1)]

    @property
    def precomputed(self) -> bool:
        """Whether the source holds features already. All features of a view are of one sort; see `rules`."""
        return all(feature.aggregate is None for feature in self.features.values())

    def computed(self) -> Iterator[Computed]:
        """The columns of the view, a feature with several windows once for each. A repeated window comes up again."""
        for name, feature in self.features.items():
            if feature.windows is None:
                yield Computed(name, name, feature, feature.window)
            else:
                for window in feature.windows:
                    yield Computed(f"{name}_{format_duration(window)}", name, feature, window)


class OnDemandViewSpec(Spec):
    """Features that a function of the project computes when they are asked for: from a request, and from other features."""

    function: Annotated[
        str,
        AfterValidator(_entrypoint),
        Field(description="File and function, `src/features.py:ratios`; its parameters name what it reads"),
    ]
    request: Annotated[
        dict[FeatureName, FeatureType],
        Field(
            default_factory=dict,
            description="What a request brings, with types; in training these are columns of the labels",
        ),
    ]
    views: Annotated[
        list[Annotated[str, Reference("feature_views")]],
        Field(default_factory=list, description="The feature views whose features the function reads"),
    ]
    features: Annotated[
        dict[FeatureName, FeatureType], Field(min_length=1, description="What the function returns, with types")
    ]

    @property
    def file(self) -> str:
        """The file of the function."""
        return self.function.rpartition(":")[0]

    @property
    def name(self) -> str:
        """The name of the function."""
        return self.function.rpartition(":")[2]


class FeatureServiceSpec(Spec):
    """The features of a model, by one name: what its training joins, and what its deployment looks up and computes."""

    views: Annotated[list[Annotated[str, Reference("feature_views")]], Field(default_factory=list)]
    on_demand: Annotated[list[Annotated[str, Reference("on_demand_views")]], Field(default_factory=list)]
    features: Annotated[
        list[str] | None,
        Field(min_length=1, description="Which of their features, in which order; all of them unless given"),
    ] = None
