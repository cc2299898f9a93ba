"""Who may use a dataset whose rows stay in their database (`copy: false`): only what works inside of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from mlctl.provider import Context
from mlctl.providers.local.spec_dataset import DatasetSpec
from mlctl.types.address import Address
from mlctl.types.diagnostic import Diagnostic

_WAREHOUSES = ("bigquery", "snowflake")  # in which an offline feature store can be


def remote_problems(
    specs: Mapping[Address, Any], uses: Mapping[Address, Collection[Address]], ctx: Context
) -> Iterator[tuple[Address, Diagnostic]]:
    """Each user of such a dataset that reads files, with what is wrong."""
    stays = {address: spec for address, spec in specs.items() if isinstance(spec, DatasetSpec) and not spec.copy_}
    for user, spec in specs.items():
        for address in sorted(stays.keys() & set(uses.get(user, ()))):
            database = stays[address].database
            if database is not None and not _works_there(user, spec, database.type, ctx):
                yield (
                    user,
                    Diagnostic(
                        "data.not-copied",
                        f"{user} cannot read {address}, whose rows stay in {database.type}",
                        "with `copy: false` only data checks with `engine: pushdown` read it, and precomputed feature views"
                        " of an offline store of the same type",
                        f"leave `copy: false` out of {address}: its rows are then copied when they change",
                    ),
                )


def _works_there(user: Address, spec: Any, database: str, ctx: Context) -> bool:
    if user.section == "data_checks":
        return _type(getattr(spec, "engine", None)) == "pushdown"
    if user.section == "feature_views":
        store = ctx.settings.get("feature_store", {})
        same = database in _WAREHOUSES and _type(store.get("offline")) == database
        return same and bool(getattr(spec, "precomputed", False))
    return False


def _type(given: Any) -> str | None:
    """The type of an engine or a store: its name alone, or a mapping with `type`."""
    if given is None or isinstance(given, str):
        return given
    found = given.get("type") if isinstance(given, Mapping) else getattr(given, "type", None)
    return None if found is None else str(found)
