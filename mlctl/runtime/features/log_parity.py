"""What a deployed model saw, by its prediction log, against the features recomputed as of the moment of each prediction.

The offline side is the point-in-time join that training uses. A value that is not the newest one may be right all the
same: the online store is filled after a step has ended, and until then serves the step before. Such a value is stale; one
that equals no snapshot that was still good is a mismatch. A row of the online store is one snapshot, so that a row is
explained by the snapshot that most of its values are from.
"""

# ruff: noqa: S608 (names go through quote(), texts through literal())

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlctl.runtime.features.join import point_in_time_join
from mlctl.runtime.features.log_rows import FEATURES, REQUEST_ID, ROW, Found, read_rows
from mlctl.runtime.features.sql import key_names
from mlctl.runtime.features.values import SMALLEST
from mlctl.runtime.profile.database import database, own_parquet, quote
from mlctl.runtime.report import Report
from mlctl.types.jobs.features import EVENT_TIMESTAMP, LabelSource, LogParityParams, ViewSource
from mlctl.types.jobs.parity import FeatureSkew, LogParity, SkewedRow, ViewLag

_WORST = 10


def compare(params: LogParityParams, report: Report) -> LogParity:
    """Read the log, join, and judge view by view. Raises MlctlError when either side cannot be read."""
    served, joined = report.folder / "served.parquet", report.folder / "expected.parquet"
    report.progress("reading the prediction log")
    with database(report.folder) as connection:
        found = read_rows(connection, params, served)
    skews: list[FeatureSkew] = []
    lags: list[ViewLag] = []
    worst: list[SkewedRow] = []
    if found.compared and params.sources:
        report.progress(f"recomputing the features of {found.compared:,} predictions", 0, found.compared, "rows")
        point_in_time_join(
            LabelSource(files=[str(served)], format="parquet", timestamp="mlctl_at"), params.sources, joined
        )
        with database(report.folder) as connection:
            for index, view in enumerate(params.sources):
                judged = _View(connection, index, view, params)
                if not judged.features:
                    continue
                judged.judge(joined)
                skews += judged.skews()
                lags.append(judged.lag())
                worst += judged.worst()
            if params.transformations:
                from mlctl.runtime.features.log_transforms import compare_transformed

                more, rows = compare_transformed(connection, params, joined, _WORST)
                skews, worst = skews + more, worst + rows
    for path in (served, joined):
        path.unlink(missing_ok=True)
    return _verdict(params, found, skews, lags, worst)


def _verdict(
    params: LogParityParams, found: Found, skews: list[FeatureSkew], lags: list[ViewLag], worst: list[SkewedRow]
) -> LogParity:
    ranked = sorted(worst, key=lambda row: (row.relative is not None, -(row.relative or 0.0), row.ts, row.feature))
    return LogParity(
        passed=not any(item.mismatched for item in skews),
        since=params.since,
        until=params.until,
        predictions=found.predictions,
        compared=found.compared,
        without_keys=found.predictions - found.whole,
        other_versions=found.other_versions,
        unreadable=found.unreadable,
        tolerance=params.tolerance,
        features=skews,
        lags=lags,
        worst=ranked[:_WORST],
    )


class _View:
    """The comparison of one view's features, as tables of a connection."""

    def __init__(self, connection: Any, index: int, view: ViewSource, params: LogParityParams) -> None:
        self.features = [name for name in view.features if name in set(params.features)]
        self._run = connection.execute
        self._view = view
        self._params = params
        self._table = f"judged_{index}"
        self._keys = key_names(view.keys)

    def judge(self, joined: Path) -> None:
        """Make a table with one row for each prediction: the snapshot that explains it, and for each feature what became of it.

        Only predictions that differ from the newest snapshot are held against older ones.
        """
        features = range(len(self.features))
        served = ", ".join(f"{number(name)} AS s_{index}" for index, name in enumerate(self.features))
        newest = ", ".join(f"{finite(quote(name))} AS e_{index}" for index, name in enumerate(self.features))
        same = " AND ".join(self._same(f"s_{index}", f"e_{index}") for index in features)
        keys = ", ".join(self._keys)
        self._run(
            f"CREATE TEMP TABLE all_{self._table} AS SELECT {ROW}, {REQUEST_ID}, mlctl_at, {keys}, {served}, {newest} "
            f"FROM {own_parquet(str(joined))}"
        )
        self._run(f"CREATE TEMP TABLE odd_{self._table} AS SELECT * FROM all_{self._table} WHERE NOT ({same})")
        explained = self._explained()
        outcome = ", ".join(f"{self._outcome(index)} AS o_{index}" for index in features)
        self._run(
            f"CREATE TEMP TABLE {self._table} AS SELECT odd.*, taken, next, newest_at, first_at, {self._absent()} AS absent, "
            f"{outcome} FROM odd_{self._table} AS odd LEFT JOIN ({explained}) AS best USING ({ROW})"
        )

    def skews(self) -> list[FeatureSkew]:
        """The counts of each feature."""
        (compared,) = self._run(f"SELECT count(*) FROM all_{self._table}").fetchone()
        found = []
        for index, name in enumerate(self.features):
            relative = relative_to(f"s_{index}", f"e_{index}")
            stale, wrong, nulls, largest = self._run(
                f"SELECT count(*) FILTER (o_{index} = 'stale'), count(*) FILTER (o_{index} = 'wrong'), "
                f"count(*) FILTER (o_{index} = 'wrong' AND {relative} IS NULL), "
                f"max({relative}) FILTER (o_{index} = 'wrong') FROM {self._table}"
            ).fetchone()
            found.append(
                FeatureSkew(
                    feature=name,
                    view=self._view.view,
                    compared=compared,
                    stale=stale,
                    mismatched=wrong,
                    null_mismatches=nulls,
                    max_relative=largest or 0.0,
                )
            )
        return found

    def lag(self) -> ViewLag:
        """How far the store was behind, over the predictions with a stale value."""
        stale = " OR ".join(f"o_{index} = 'stale'" for index in range(len(self.features)))
        lag = "epoch(mlctl_at) - epoch(CASE WHEN absent THEN first_at ELSE next END)"
        age = "epoch(newest_at) - epoch(taken)"
        rows, absent, longest, oldest = self._run(
            f"SELECT count(*), count(*) FILTER (absent), max({lag}), max({age}) FILTER (NOT absent) "
            f"FROM {self._table} WHERE {stale}"
        ).fetchone()
        return ViewLag(
            view=self._view.view,
            stale_rows=rows,
            absent_rows=absent,
            max_lag_seconds=longest or 0.0,
            max_age_seconds=oldest or 0.0,
        )

    def worst(self) -> list[SkewedRow]:
        """The mismatches of each feature that are farthest off."""
        keys = ", ".join(self._keys)
        found = []
        for index, name in enumerate(self.features):
            relative = relative_to(f"s_{index}", f"e_{index}")
            rows = self._run(
                f"SELECT {REQUEST_ID}, mlctl_at, s_{index}, e_{index}, {relative}, {keys} FROM {self._table} "
                f"WHERE o_{index} = 'wrong' ORDER BY {relative} DESC NULLS FIRST, mlctl_at LIMIT {_WORST}"
            ).fetchall()
            found += [skewed(name, row[:5], self._view.keys, row[5:]) for row in rows]
        return found

    def _explained(self) -> str:
        """For each odd prediction the snapshot, among those that were still good, that most of its values are from."""
        view = self._view
        features = ", ".join(f"{finite(quote(name))} AS c_{index}" for index, name in enumerate(self.features))
        keys = ", ".join(self._keys)
        score = " + ".join(
            f"CAST({self._same(f's_{index}', f'c_{index}')} AS INTEGER)" for index in range(len(self.features))
        )
        snapshots = (
            f"SELECT {keys}, {EVENT_TIMESTAMP} AS taken, lead({EVENT_TIMESTAMP}) OVER (PARTITION BY {keys} ORDER BY {EVENT_TIMESTAMP}) AS next, "
            f"{features} FROM (SELECT * FROM {own_parquet(view.path)} SEMI JOIN odd_{self._table} USING ({keys}))"
        )
        good = "true"
        if view.ttl_seconds is not None:
            # a sparse snapshot stands for all steps up to the next one
            until = "coalesce(next, mlctl_at)" if view.sparse else "taken"
            good = f"{until} >= mlctl_at - to_seconds({view.ttl_seconds})"
        columns = ["taken", "next", *(f"c_{index}" for index in range(len(self.features)))]
        fields = ", ".join(f"'{name}': {name}" for name in columns)
        best = f"max({{'score': {score}, {fields}}})"  # the newest of equals
        return (
            f"SELECT {ROW}, unnest({best}), max(taken) AS newest_at, min(taken) AS first_at "
            f"FROM odd_{self._table} JOIN ({snapshots}) USING ({keys}) WHERE taken <= mlctl_at AND {good} GROUP BY {ROW}"
        )

    def _absent(self) -> str:
        """Nothing was served, and that may be: the snapshot before had expired, and the store was not filled yet."""
        nothing = " AND ".join(f"s_{index} IS NULL" for index in range(len(self.features)))
        longest = max(float(self._view.grid_seconds), self._params.max_lag_seconds)
        return f"coalesce({nothing} AND epoch(mlctl_at) - epoch(first_at) <= {longest!r}, false)"

    def _outcome(self, index: int) -> str:
        """What became of one value: it is right, it was right a moment before, or it never was."""
        older = f"taken < newest_at AND {self._same(f's_{index}', f'best.c_{index}')}"
        return (
            f"CASE WHEN {self._same(f's_{index}', f'e_{index}')} THEN 'right' "
            f"WHEN {self._absent()} OR coalesce({older}, false) THEN 'stale' ELSE 'wrong' END"
        )

    def _same(self, served: str, expected: str) -> str:
        return same(served, expected, self._params.tolerance)


def same(served: str, expected: str, tolerance: float) -> str:
    """Whether two values are one: both missing, or within the tolerance. Never null."""
    return (
        f"coalesce(abs({served} - {expected}) <= {tolerance!r} * greatest(abs({expected}), {SMALLEST!r}), "
        f"{served} IS NULL AND {expected} IS NULL)"
    )


def skewed(feature: str, values: Sequence[Any], keys: Sequence[Any], key_values: Sequence[Any]) -> SkewedRow:
    """A row of a query as one of the report: request, time, served, expected, relative; and the key."""
    request_id, moment, served, expected, relative = values
    return SkewedRow(
        request_id=request_id,
        ts=f"{moment.isoformat()}+00:00",
        key=dict(zip([key.name for key in keys], key_values, strict=True)),
        feature=feature,
        served=served,
        expected=expected,
        relative=relative,
    )


def relative_to(served: str, expected: str) -> str:
    """The difference of two values, relative to the second."""
    return f"(abs({served} - {expected}) / greatest(abs({expected}), {SMALLEST!r}))"


def number(feature: str) -> str:
    """A logged feature as a number; null when it was missing."""
    return finite(f"TRY_CAST({FEATURES}[{_text(feature)}] AS DOUBLE)")


def finite(value: str) -> str:
    """A value as a double; null for what counts as missing."""
    return f"(CASE WHEN isfinite(CAST({value} AS DOUBLE)) THEN CAST({value} AS DOUBLE) END)"


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
