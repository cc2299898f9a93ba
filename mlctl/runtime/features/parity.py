"""Feature parity: what training would read at a moment against what serving reads, for every key."""

# ruff: noqa: S608 (names go through quote(), texts through literal())

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from mlctl.runtime.features.join import point_in_time_join
from mlctl.runtime.features.online import OnlineFeatures
from mlctl.runtime.features.sql import write_parquet
from mlctl.runtime.features.values import Value, judge
from mlctl.runtime.profile.database import database, literal, own_parquet, quote
from mlctl.runtime.report import Report
from mlctl.types.jobs.features import LabelSource, OnlineView, Parity, ParityParams

_AT = "mlctl_at"


def compare(params: ParityParams, report: Report) -> Parity:
    """Read all keys both ways and compare them value by value. Raises MlctlError when either side cannot be read."""
    moment = datetime.fromisoformat(params.at)
    report.progress("reading the offline features")
    offline = _read_offline(params, moment, report.folder)
    report.progress("reading the online features")
    view = OnlineView(
        view=params.source.view, features=list(params.source.features), ttl_seconds=params.source.ttl_seconds
    )
    lookup = OnlineFeatures(params.store, [view], params.source.join_key, now=lambda: moment)
    online = lookup.get([key for key, _ in offline])
    return judge(params, [(key, wanted, got) for (key, wanted), got in zip(offline, online, strict=True)])


def _read_offline(params: ParityParams, moment: datetime, folder: Path) -> list[tuple[int | str, dict[str, Value]]]:
    """Every key that ever had a snapshot, with its features at the moment, through the join that training uses."""
    source = params.source
    keys, joined = folder / "keys.parquet", folder / "offline.parquet"
    with database(folder) as connection:
        at = f"CAST({literal(moment.replace(tzinfo=None).isoformat())} AS TIMESTAMP)"
        write_parquet(
            connection,
            f"SELECT DISTINCT {quote(source.join_key)}, {at} AS {_AT} FROM {own_parquet(source.path)} ORDER BY 1",
            keys,
        )
    point_in_time_join(LabelSource(files=[str(keys)], format="parquet", timestamp=_AT), [source], joined)
    with database(folder) as connection:
        names = ", ".join(quote(name) for name in source.features)
        rows = connection.execute(
            f"SELECT {quote(source.join_key)}, {names} FROM {own_parquet(str(joined))}"
        ).fetchall()
    return [(row[0], dict(zip(source.features, row[1:], strict=True))) for row in rows]
