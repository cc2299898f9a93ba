"""What a monitor compares with: how each column was distributed, frozen so that no row of the reference is needed any more."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

FORMAT: Literal[2] = 2


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True, allow_inf_nan=False)


class Sketch(_Frozen):
    """Numbers by their ranks: at each of some thousand `values`, ascending, how many lie `below` it and how many `upto` it."""

    values: Annotated[list[float], Field(min_length=1)]
    below: list[int]
    upto: list[int]
    mean: float
    std: float

    @property
    def rows(self) -> int:
        """How many numbers there were."""
        return self.upto[-1]

    @model_validator(mode="after")
    def _of_one_length(self) -> Sketch:
        if not len(self.below) == len(self.upto) == len(self.values):
            raise ValueError("`values`, `below` and `upto` do not belong together")
        return self


class NumericColumn(_Frozen):
    """Numbers: the sketch for tests that need an order, and frozen classes for those that count. `nulls` are missing ones."""

    kind: Literal["numeric"] = "numeric"
    nulls: float
    sketch: Sketch
    borders: list[float]  # class i holds [borders[i - 1], borders[i]); the first and the last are open
    counts: list[float]

    @property
    def rows(self) -> float:
        """Rows that have a value."""
        return self.sketch.rows


class CategoricalColumn(_Frozen):
    """Rows by category, those that were not listed as `other`, and those without a value."""

    kind: Literal["categorical"] = "categorical"
    nulls: float
    counts: dict[str, float]
    other: float

    @property
    def rows(self) -> float:
        """Rows that have a value."""
        return sum(self.counts.values()) + self.other


FrozenColumn = Annotated[NumericColumn | CategoricalColumn, Field(discriminator="kind")]


class FrozenReference(_Frozen):
    """The frozen reference of the part `data`."""

    format: Literal[2] = FORMAT
    columns: dict[str, FrozenColumn]
    score: FrozenColumn | None = None


class NumberCode(_Frozen):
    """How a number is put into the matrix that tests of all features read: standardised, with a column that says it was missing."""

    kind: Literal["numeric"] = "numeric"
    name: str
    mean: float
    std: float


class CategoryCode(_Frozen):
    """How a category is: a column for each of the frozen ones, one for all others, one for missing."""

    kind: Literal["categorical"] = "categorical"
    name: str
    categories: list[str]


Code = Annotated[NumberCode | CategoryCode, Field(discriminator="kind")]


class Encoding(_Frozen):
    """All features as one matrix, and the reconstruction errors of the reference's held-out rows by method."""

    codes: list[Code]
    errors: dict[str, Sketch] = {}


class FreezeJob(BaseModel):
    """Freeze what tests of all features need. `profile` is that of a training, beside its table, unless `rows` names a file."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    profile: str
    rows: str | None
    columns: dict[str, Literal["numeric", "categorical"]]
    methods: list[str]
    min_rows: int


ENCODING_FILE = "together.json"
TENSORS_FILE = "together.safetensors"
