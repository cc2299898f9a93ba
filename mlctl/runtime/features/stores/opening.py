"""Which online store a project has."""

from __future__ import annotations

from mlctl.runtime.features.stores.backend import Backend
from mlctl.types.jobs.features import Store


def open_backend(store: Store) -> Backend:
    """The online store of a project. Its client library is imported here; nothing is asked of a server yet."""
    online = store.online
    if online.type == "redis":
        from mlctl.runtime.features.stores.redis import RedisBackend

        return RedisBackend(store.project, online)
    if online.type == "dynamodb":
        from mlctl.runtime.features.stores.dynamodb import DynamoBackend

        return DynamoBackend(store.project, online)
    from mlctl.runtime.features.stores.sqlite import SqliteBackend

    return SqliteBackend(store.project, online)
