"""A data contract: what a dataset looked like when somebody said that it was good, in a file of the project that is kept in git.

`mlctl data contract record` writes it from a profile; checks compare later data with it (schema drift, distributions, row
counts). Its bins are frozen: a comparison needs no raw reference data, and never moves by itself.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

FORMAT: Literal[1] = 1


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, allow_inf_nan=False)


class NumericBins(_Part):
    """How numbers (or times, as epoch seconds) were distributed: `counts[i]` values lie in `[edges[i-1], edges[i])`.

    There is one count more than edges: the first bin is open to the left, the last to the right. NaN counts as null.
    """

    kind: Literal["numeric"] = "numeric"
    edges: list[float]
    counts: list[int]
    nulls: int


class CategoricalBins(_Part):
    """How often each of the most frequent values was seen, as text; `other` counts all further values."""

    kind: Literal["categorical"] = "categorical"
    values: list[str]
    counts: list[int]
    other: int
    nulls: int


Bins = Annotated[NumericBins | CategoricalBins, Field(discriminator="kind")]


class ContractColumn(_Part):
    """A column: its name, its DuckDB type in lower case, and its bins where it has a distribution to compare."""

    name: str
    type: str
    bins: Bins | None = None


class DataContract(_Part):
    """The file, as JSON. `columns` are in the order of the data; `digest` is that of the dataset it was recorded from."""

    format: Literal[1] = FORMAT
    dataset: str
    digest: str
    recorded_at: str
    rows: int
    columns: list[ContractColumn]

    def column(self, name: str) -> ContractColumn | None:
        """A column by name."""
        return next((item for item in self.columns if item.name == name), None)


def default_path(dataset: str) -> str:
    """Where the contract of a dataset stands when nothing else is said: `trips["eu"]` is in `contracts/trips@eu.json`."""
    plain = dataset.replace('["', "@").replace('"]', "")
    return f"contracts/{plain}.json"
