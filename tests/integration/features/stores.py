"""Online stores for tests: an SQLite file, a real Redis server, and DynamoDB as moto serves it."""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from mlctl.runtime.features.stores.backend import Backend, Row, Table
from mlctl.runtime.features.stores.codec import KeyCodec, encode_value
from mlctl.runtime.features.stores.opening import open_backend
from mlctl.types.jobs.features import DuckdbOffline, Key, OnlineStore, Store
from tests.integration.servers import redis

KEYS = (Key(name="product_id", type="int64"), Key(name="household", type="string"))
TABLE = Table("shopping", KEYS, ("amount", "visits"))


@contextmanager
def online_store(kind: str, folder: Path) -> Iterator[dict[str, object]]:
    """The block `online` of a running store of a kind."""
    if kind == "sqlite":
        yield {"type": "sqlite", "path": str(folder / "online.db")}
    elif kind == "redis":
        with redis() as server:
            yield {"type": "redis", "url": server.url}
    else:
        with dynamodb() as url:
            yield {"type": "dynamodb", "region": "eu-west-1", "endpoint_url": url}


@contextmanager
def dynamodb() -> Iterator[str]:
    """The address of a DynamoDB, with credentials for it in the environment."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        try:
            host, port = server.get_host_and_port()
            url = f"http://{host}:{port}"
            urlopen(
                Request(f"{url}/moto-api/reset", method="POST")
            ).close()  # servers of one process share their tables
            yield url
        finally:
            server.stop()


def store_of(online: dict[str, object], project: str = "shop") -> Store:
    from pydantic import TypeAdapter

    parsed: OnlineStore = TypeAdapter(OnlineStore).validate_python(online)
    return Store(project=project, registry="registry.db", online=parsed, offline=DuckdbOffline())


def backend_of(online: dict[str, object], project: str = "shop") -> Backend:
    return open_backend(store_of(online, project))


def row(product: int, moment: int, amount: float | None, visits: int | None = 1, household: str = "h") -> Row:
    key = KeyCodec(KEYS).encode({"product_id": product, "household": household})
    return Row(key, moment, (encode_value(amount, "float64"), encode_value(visits, "int64")))


def key(product: int, household: str = "h") -> bytes:
    return KeyCodec(KEYS).encode({"product_id": product, "household": household})


def amount(data: bytes) -> float | None:
    return struct.unpack("<d", data[1:])[0] if data else None
