"""BigQuery and Snowflake to Parquet: the rows as Arrow, streamed. Their version is asked before and after."""

from __future__ import annotations

from pathlib import Path

from mlctl.databases import look, sql, versions
from mlctl.databases.warehouses import warehouse
from mlctl.runtime.profile.copy import parquet
from mlctl.runtime.profile.copy.changed import changed
from mlctl.runtime.report import Report
from mlctl.types.jobs.copy import DatabaseCopy


def copy(source: DatabaseCopy, target: Path, report: Report) -> int:
    """Copy the rows that the plan saw. Raises MlctlError, also when they are not there as they were."""
    database = look.server(source)
    with look.extra(database), warehouse(database, source.connection) as opened:  # noqa: S610 (not Django's)
        columns = opened.columns(sql.rows(database, source.relation, ()))
        look.refuse_order(source, columns)
        upto = look.condition(source, columns)
        query = sql.rows(database, source.relation, source.order, upto)
        rows = parquet.write(opened.batches(query), columns, target, report, versions.count(source.version or ""))
        # neither has one snapshot for several statements of a session, so that the rows are compared once they are here
        now = look.version(source, database, opened.one, upto)
        if now != source.version:
            target.unlink(missing_ok=True)
            raise changed(source, now)
        return rows
