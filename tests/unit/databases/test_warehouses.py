from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mlctl.databases.warehouses import _BigQuery
from mlctl.types.diagnostic import MlctlError


class Client:
    """Stands for the service, which runs nowhere but with its maker: what it says of a query before it runs one."""

    def __init__(self, statement: str) -> None:
        self.statement, self.ran = statement, list[str]()

    def query(self, query: str, job_config: Any) -> Any:
        assert job_config.dry_run
        return SimpleNamespace(statement_type=self.statement, schema=[])

    def query_and_wait(self, query: str) -> Any:
        self.ran.append(query)
        return [{"n": 3}]


def bigquery(statement: str) -> tuple[_BigQuery, Client]:
    made = _BigQuery.__new__(_BigQuery)
    made._client, made._dry = Client(statement), SimpleNamespace(dry_run=True)
    return made, made._client


def test_a_script_in_place_of_a_query_is_refused_before_it_runs() -> None:
    for statement in ("SCRIPT", "INSERT", "DROP_TABLE", None):
        opened, client = bigquery(statement)  # type: ignore[arg-type]
        for ask in (opened.one, opened.columns, lambda query, opened=opened: list(opened.batches(query))):
            with pytest.raises(MlctlError, match="one SELECT"):
                ask("SELECT 1); DROP TABLE t; SELECT (1")
        assert client.ran == []


def test_a_question_is_asked() -> None:
    opened, client = bigquery("SELECT")
    assert opened.one("SELECT count(*) AS n FROM t") == [3]
    assert client.ran == ["SELECT count(*) AS n FROM t"]
