"""What a comparison of a prediction log with the features recomputed has found."""

from __future__ import annotations

from mlctl.types.jobs.features import KeyValue, Params


class FeatureSkew(Params):
    """One feature of the model over all predictions that were compared."""

    feature: str
    view: str  # of an on-demand feature, the transformation
    compared: int
    stale: int  # equal to an older snapshot, which was still good: the online store was behind
    mismatched: int  # equal to none: training would not have seen this
    null_mismatches: int  # of those, the ones with a value on one side only
    max_relative: float  # over mismatches with values on both sides


class ViewLag(Params):
    """How far the online store was behind the snapshots of a view."""

    view: str
    stale_rows: int
    absent_rows: int  # nothing was served although a snapshot of this step was there already; among the stale ones
    max_lag_seconds: float  # for how long the right value had been known
    max_age_seconds: float  # by how much the served snapshot was older than the right one


class SkewedRow(Params):
    """One value that the model saw and that training would not have seen."""

    request_id: str
    ts: str
    key: dict[str, KeyValue]
    feature: str
    served: float | None
    expected: float | None
    relative: float | None  # None when one side is missing


class LogParity(Params):
    """The verdict: `passed` means that every value was right when it was served, or had been right a moment before."""

    passed: bool
    since: str | None
    until: str
    predictions: int  # in the window, of the model version that is served
    compared: int
    without_keys: int  # the client brought the features itself, or the log has none
    other_versions: int
    unreadable: int
    tolerance: float
    features: list[FeatureSkew]
    lags: list[ViewLag]
    worst: list[SkewedRow]
