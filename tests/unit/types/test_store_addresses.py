"""URLs of feature stores: which are refused, and that nothing people read has a password in it."""

from __future__ import annotations

import pytest

from mlctl.types.jobs import stores


@pytest.mark.parametrize(
    ("url", "address", "connection"),
    [
        ("redis://localhost", "localhost:6379/0", "localhost:6379,db=0"),
        ("redis://:pw@h:1/2", "h:1/2", 'h:1,db=2,password="pw"'),
        ("rediss://me:12345@h", "h:6379/0", 'h:6379,db=0,ssl=true,username="me",password="12345"'),
        ("redis://:p%40ss@h", "h:6379/0", 'h:6379,db=0,password="p@ss"'),
    ],
)
def test_a_redis_url_is_told_without_its_password_and_handed_to_feast_with_it(
    url: str, address: str, connection: str
) -> None:
    assert stores.redis_problem(url) is None
    assert stores.redis_address(url) == address
    assert stores.redis_connection(url) == connection


@pytest.mark.parametrize(
    "url",
    [
        "http://h",
        "redis://",
        "redis://h:port",
        "redis://h/x",
        "redis://h/0?timeout=1",
        "redis://:a#b@h",
        "h:6379",
        "redis://h/-1",
    ],
)
def test_what_is_no_redis_url_is_refused(url: str) -> None:
    assert stores.redis_problem(url) is not None


@pytest.mark.parametrize(
    ("url", "address", "path"),
    [
        ("postgresql://me:pw@h:5433/db", "postgresql at h:5433/db", "postgresql+psycopg://me:pw@h:5433/db"),
        ("postgresql+psycopg://h/db", "postgresql at h/db", "postgresql+psycopg://h/db"),
        ("sqlite:///a/registry.db", "sqlite:///a/registry.db", "sqlite:///a/registry.db"),
    ],
)
def test_a_registry_is_told_without_its_password(url: str, address: str, path: str) -> None:
    assert stores.sql_problem(url) is None
    assert stores.sql_address(url) == address
    assert stores.sql_path(url) == path


@pytest.mark.parametrize(
    "url",
    [
        "mysql://h/db",
        "postgresql://h",
        "postgresql+psycopg2://h/db",
        "sqlite://",
        "sqlite:///",
        "sqlite:///a.db?mode=ro",
        "postgresql://h:x/db",
    ],
)
def test_what_is_no_registry_is_refused(url: str) -> None:
    assert stores.sql_problem(url) is not None
