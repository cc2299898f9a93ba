"""Each rule of kinds is a test of its own, and runs with the real tool."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from mlctl.provider import Context
from mlctl.testing.suite import REMOVED, Case, Edit, KindConformance, Then
from mlctl.types.address import ObjectKey
from mlctl.types.state import Record

from @@module import _client
from @@module.entry import @@{title}Entry
from @@module.render import Entry


def table(name: str, rows: int) -> dict[str, Record]:
    """A dataset as mlctl would have recorded it."""
    outputs = {"rows": rows, "digest": str(rows)}
    return {f"datasets.{name}": Record(ObjectKey.parse(f"datasets.{name}#1"), "1", outputs=outputs)}


def count(path: Path) -> int:
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute("SELECT count(*) FROM entries").fetchone()[0])


class TestRules(KindConformance):
    kind = @@{title}Entry

    def case(self, ctx: Context) -> Case:
        path = ctx.root / "@@settings.db"

        def by_hand() -> str:
            _client.put(path, Entry("trips", "Trips", "https://example.org", ("public",), 300))
            return "trips"

        block = {"entry": "trips", "title": "Trips", "link": "https://example.org", "labels": ["public"]}
        return Case(
            "@@section.trips",
            {**block, "dataset": "trips"},
            [
                Edit("entry", "other", Then.ANOTHER_OBJECT),
                Edit("title", "Trips of 2026", Then.UPDATE),
                Edit("dataset", "orders", Then.UPDATE, inputs=table("orders", 20)),
                Edit("link", REMOVED, Then.UPDATE),
                Edit("labels", ["public", "daily"], Then.UPDATE),
            ],
            table("trips", 300),
            count=lambda: count(path),
            found=by_hand,
        )
