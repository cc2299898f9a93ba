"""The `data_diff` program: two versions of a dataset, or two datasets, held against each other."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from mlctl.types.jobs.contract import Bins
from mlctl.types.jobs.profile import Source


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class KeysParams(_Part):
    """Both sides as files, and the columns that name a row in both."""

    a: Source
    b: Source
    key: list[str]


class DiffParams(_Part):
    """`frozen` are the bins of one side by column. Those of the other are `counts`, or are counted from the rows of `counted`."""

    frozen: dict[str, Bins]
    counts: dict[str, Bins] = {}
    counted: Source | None = None
    keys: KeysParams | None = None


class ColumnDistance(_Part):
    """How far a column moved. None where one side has no rows."""

    psi: float | None = None
    psi_p_value: float | None = None
    jensen_shannon: float | None = None


class KeyCounts(_Part):
    """How many keys are only in B, only in A, in both with other rows, and in both with the same. `duplicated` are in a side more than once."""

    key: list[str]
    added: int
    removed: int
    changed: int
    same: int
    duplicated: int


class DiffResult(_Part):
    """What the program found: how far each column moved, and the counts in the frozen bins that say so."""

    distances: dict[str, ColumnDistance]
    counts: dict[str, Bins]
    keys: KeyCounts | None = None
