"""Feature parity: what training would read at a moment against what serving reads, for every key or a sample of them.

Keys go through in portions, and their offline features lie in a file between the two sides, so that ten million keys
need no more memory than ten thousand.
"""

# ruff: noqa: S608 (names go through quote(), texts through literal())

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from mlctl.runtime.features import windows
from mlctl.runtime.features.join import point_in_time_join
from mlctl.runtime.features.online import Looked, OnlineFeatures
from mlctl.runtime.features.sql import only_row, write_parquet
from mlctl.runtime.features.values import KeyOf, Row, Value, Verdict
from mlctl.runtime.profile.database import database, literal, own_parquet, quote
from mlctl.runtime.report import Report
from mlctl.runtime.stream.served import served_definition
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.features import (
    EVENT_TIMESTAMP,
    KeyValue,
    LabelSource,
    OnlineView,
    Parity,
    ParityParams,
    ViewSource,
)

_AT = "mlctl_at"
_STREAMED = "streamed.parquet"
_PORTION = 10_000

Portion = list[tuple[dict[str, KeyValue], dict[str, Value]]]  # keys, and their offline features


def compare(params: ParityParams, report: Report) -> Parity:
    """Read the keys both ways and compare them value by value. Raises MlctlError when either side cannot be read."""
    moment = _moment(params, report.folder)
    source = _as_of(params.source, moment)
    streamed = _streamed(source, moment, report)
    if streamed is not None:
        source, moment = streamed
    report.progress("reading the offline features")
    joined, total = _write_offline(source, params, moment, report.folder)
    report.progress("reading the online features", 0, total, "keys")
    lookup = OnlineFeatures(params.store, [_online(source)], now=lambda: moment)
    verdict = Verdict(tuple(source.features), params.tolerance)
    done = 0
    for portion in _portions(source, joined, report.folder):
        verdict.add(_rows(source.view, portion, lookup.look([keys for keys, _ in portion]), moment, verdict))
        done += len(portion)
        report.progress("comparing", done, total, "keys")
    lookup.close()
    for path in (joined, report.folder / _STREAMED):
        path.unlink(missing_ok=True)
    return verdict.result(source.view, moment.isoformat())


def _rows(view: str, portion: Portion, found: Sequence[Looked], moment: datetime, verdict: Verdict) -> Iterator[Row]:
    """Both sides of each key. One that is served by something newer than the moment is counted, and left out.

    A stream or a push wrote it, and no snapshot of it is there yet; the store keeps no older one.
    """
    for (keys, wanted), looked in zip(portion, found, strict=True):
        served = looked.event_times[view]
        if served is not None and served > moment:
            verdict.ahead += 1
            continue
        yield _key(keys), wanted, looked.values


def _moment(params: ParityParams, folder: Path) -> datetime:
    """When both sides are read: as asked, or the newest snapshot that is known by now."""
    if params.at is not None:
        return datetime.fromisoformat(params.at)
    source = params.source
    if not Path(source.path).is_file():
        raise _gone(source)
    now = datetime.now(UTC)
    with database(folder) as connection:
        at = f"CAST({literal(now.replace(tzinfo=None).isoformat())} AS TIMESTAMP)"
        (last,) = only_row(
            connection,
            f"SELECT max({EVENT_TIMESTAMP}) FROM {own_parquet(source.path)} WHERE {EVENT_TIMESTAMP} <= {at}",
        )
    known = [] if last is None else [last.replace(tzinfo=UTC)]
    until = None if source.until is None or not source.sparse else datetime.fromisoformat(source.until)
    if until is not None and until <= now:
        known.append(until)  # a sparse view leaves out snapshots that would repeat the one before
    return max(known, default=now)


def _as_of(source: ViewSource, moment: datetime) -> ViewSource:
    """The view with snapshots counted up to the moment: a description from an older materialization may end before it."""
    if not source.sparse or (source.until is not None and datetime.fromisoformat(source.until) >= moment):
        return source
    return source.model_copy(update={"until": moment.isoformat()})


def _streamed(source: ViewSource, moment: datetime, report: Report) -> tuple[ViewSource, datetime] | None:
    """The offline side of a view that a stream has brought further than its snapshots; None for any other.

    The windows are computed over the dataset and the events that the stream knew, as the next materialization would.
    """
    found = served_definition(source)
    if found is None or (until := found[1].until.replace(tzinfo=UTC)) <= moment:
        return None
    report.progress("computing the windows over the events of the stream")
    made = report.folder / _STREAMED
    with database(report.folder) as connection:
        windows.compute(connection, found[0], made)
    return source.model_copy(update={"path": str(made), "until": until.isoformat()}), until


def _gone(source: ViewSource) -> MlctlError:
    return MlctlError.of(
        "features.snapshot-gone",
        f"the snapshots of {source.view} are gone",
        f"there is no file {source.path}",
        "run `mlctl apply`: the plan finds it missing and makes it again",
    )


def _write_offline(source: ViewSource, params: ParityParams, moment: datetime, folder: Path) -> tuple[Path, int]:
    """Every key that ever had a snapshot, or a sample of them, with its features at the moment, through the join that training uses."""
    if not Path(source.path).is_file():
        raise _gone(source)
    keys, joined = folder / "keys.parquet", folder / "offline.parquet"
    names = ", ".join(quote(key.name) for key in source.keys)
    at = f"CAST({literal(moment.replace(tzinfo=None).isoformat())} AS TIMESTAMP)"
    every = f"SELECT DISTINCT {names} FROM {own_parquet(source.path)}"
    with database(folder) as connection:
        write_parquet(connection, f"SELECT {names}, {at} AS {_AT} FROM ({every}) {_chosen(params)}", keys)
        (total,) = only_row(connection, f"SELECT count(*) FROM {own_parquet(str(keys))}")
    point_in_time_join(LabelSource(files=[str(keys)], format="parquet", timestamp=_AT), [source], joined)
    keys.unlink(missing_ok=True)
    return joined, total


def _chosen(params: ParityParams) -> str:
    """A sample takes the keys with the smallest digests, so that it is the same for a seed whatever the order of rows."""
    if params.sample is None:
        return ""
    texts = ", ".join(
        f"length(CAST({quote(key.name)} AS VARCHAR)), ':', {quote(key.name)}" for key in params.source.keys
    )
    names = ", ".join(quote(key.name) for key in params.source.keys)
    return f"ORDER BY md5_number(concat({params.seed}, '|', {texts})), {names} LIMIT {params.sample}"


def _portions(source: ViewSource, joined: Path, folder: Path) -> Iterator[Portion]:
    keys, features = [key.name for key in source.keys], list(source.features)
    names = ", ".join(map(quote, [*keys, *features]))
    with database(folder) as connection:
        result = connection.execute(f"SELECT {names} FROM {own_parquet(str(joined))}")
        while rows := result.fetchmany(_PORTION):
            yield [
                (
                    dict(zip(keys, row[: len(keys)], strict=True)),
                    dict(zip(features, row[len(keys) :], strict=True)),
                )
                for row in rows
            ]


def _online(source: ViewSource) -> OnlineView:
    return OnlineView(
        view=source.view, keys=source.keys, features=list(source.features), ttl_seconds=source.ttl_seconds
    )


def _key(keys: dict[str, KeyValue]) -> KeyOf:
    values = list(keys.values())
    return values[0] if len(values) == 1 else values
