"""What may stand in an `entities` and in a `feature_views` block."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from mlctl.provider import Block, Reference, Spec
from mlctl.types.change import FieldClass
from mlctl.types.jobs.features import Aggregate, FeatureType, KeyType
from mlctl.types.units import Duration

DAY_SECONDS = 86_400

# No leading and no doubled underscore: Feast writes `view__feature` and `feature__ts`, which must stay unambiguous.
FeatureName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*$", max_length=128)]


class EntitySpec(Spec):
    """What features are about: a household, a user, a machine."""

    key: Annotated[
        str, Field(min_length=1, description="The column that holds the entity's key, in sources and in labels")
    ]
    dtype: Annotated[KeyType, Field(description="The type of the key")] = "int64"


class Feature(Block):
    """One number for each entity and moment: an aggregate over the events of a window that ends at that moment."""

    aggregate: Annotated[Aggregate, Field(description="How the events of the window become one number")]
    column: Annotated[str | None, Field(description="The column of the source; a count without one counts events")] = (
        None
    )
    window: Annotated[Duration, Field(description="How far back the window reaches, for example `7d`")]
    dtype: Annotated[
        FeatureType | None, Field(description="int64 for counts and float64 for the rest, unless given")
    ] = None

    @property
    def type(self) -> FeatureType:
        """The type the feature is stored as."""
        return self.dtype or ("int64" if self.aggregate in ("count", "count_distinct") else "float64")


class FeatureViewSpec(Spec):
    """Features of one entity that are computed from one source."""

    entity: Annotated[str, Reference("entities")]
    source: Annotated[str, Reference("datasets")]
    ttl: Annotated[
        Duration | None, Field(description="How long a value is good for; without it values do not expire")
    ] = None
    online: Annotated[bool, FieldClass.SERVING, Field(description="Whether the latest values are served")] = False
    grid: Annotated[
        Duration, Field(description="How often a snapshot is taken: a part of a day, such as `1d` or `1h`")
    ] = float(DAY_SECONDS)
    features: Annotated[dict[FeatureName, Feature], Field(min_length=1)]
