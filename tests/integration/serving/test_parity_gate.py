"""A release whose features differ between training and serving is held back; what runs goes on, until somebody lets it pass."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mlctl.provider import Approvable, Condition
from mlctl.providers.serving.client import predict
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Approval, Record
from tests.integration.serving.project import COLUMNS, KEYS, Project, ended, run_script

pytestmark = pytest.mark.tools
REQUIRE: dict[str, Any] = {"feature_parity": {"tolerance": 1e-5, "sample": 100}}
SOURCE = {
    "view": "spending",
    "keys": KEYS,
    "path": "store/values.parquet",
    "features": {"amount": "float64", "visits": "int64"},
    "ttl_seconds": 7 * 86400,
}


class Gated(Project):
    """A project whose evaluation names the snapshots that its model was trained on."""

    def evaluation(self, version: str | None, model: str, store: bool = False) -> Record:
        found = super().evaluation(version, model, store)
        return dataclasses.replace(found, outputs={**found.outputs, "views": [SOURCE]})

    def approve(self) -> Record:
        """As the engine does after `mlctl approve`."""
        assert self.record is not None
        assert self.record.gate is not None
        gate = dataclasses.replace(self.record.gate, approval=Approval("me", "known", "2026-01-01T00:00:00Z"))
        approved = dataclasses.replace(self.record, gate=gate)
        outcome = self.kind.approved(approved, self.ctx)
        self.record = dataclasses.replace(approved, id=outcome.id, outputs=dict(outcome.outputs))
        return self.record

    def set_online(self, feature: str, value: str) -> None:
        """Put the stored value of one household's feature in the place of another's: `visits` of 2 for that of 1, say."""
        with closing(sqlite3.connect(self.root / "store" / "online.db")) as connection, connection:
            connection.execute(
                "UPDATE serving_spending SET value = (SELECT value FROM serving_spending WHERE feature_name = ? "
                "ORDER BY entity_key LIMIT 1 OFFSET ?) WHERE rowid = (SELECT rowid FROM serving_spending "
                "WHERE feature_name = ? ORDER BY entity_key LIMIT 1)",
                (feature, int(value), feature),
            )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    run_script("make_store.py", folder, "store")
    return folder / "store"


@pytest.fixture
def gated(tmp_path: Path, models: Path, store: Path) -> Iterator[Gated]:
    import shutil

    shutil.copytree(store, tmp_path / "store")
    yield from ended(Gated(tmp_path, models))  # type: ignore[arg-type, misc]


def test_a_release_is_held_back_while_features_differ_and_what_runs_stays(gated: Gated) -> None:
    assert isinstance(gated.kind, Approvable)
    first = gated.apply("1", "one", store=True, require=REQUIRE)
    assert first.gate is not None
    assert first.gate.passed
    assert first.outputs["feature_parity"]["views"][0]["keys"] == 4
    release = json.loads((gated.folder / "releases" / "1" / "release.json").read_text())
    assert release["feature_parity"]["passed"]

    gated.set_online("visits", "1")
    held = gated.apply("2", "two", store=True, require=REQUIRE)
    assert held.gate is not None
    assert not held.gate.passed
    assert held.gate.summary == "offline and online features differ: spending"
    assert "the worst is `visits` of 1: 4.0 offline, 0.0 online" in held.gate.details[0]
    assert (held.id, held.outputs["version"]) == (first.id, "1")
    assert predict(held, {"household_id": 2})["version"] == "1"
    assert len(gated.servers()) == 1
    seen = gated.read()
    assert seen is not None
    assert seen.condition is Condition.BROKEN  # so that the next apply compares again
    assert "held back" in seen.detail
    again = gated.apply("2", "two", store=True, require=REQUIRE)
    assert again.gate == held.gate  # the same verdict, for which an approval would stand

    approved = gated.approve()
    assert approved.outputs["version"] == "2"
    assert predict(approved, {"household_id": 2})["version"] == "2"
    assert gated.approve().id == approved.id  # once more starts nothing
    assert len(gated.servers()) == 1
    release = json.loads((gated.folder / "releases" / str(approved.id) / "release.json").read_text())
    assert release["approved"]["why"] == "known"
    assert gated.read() is not None
    assert gated.read().condition is Condition.READY  # type: ignore[union-attr]


def test_a_first_release_that_is_held_back_starts_nothing_and_leaves_nothing(gated: Gated) -> None:
    gated.set_online("amount", "1")
    held = gated.apply("1", "one", store=True, require=REQUIRE)
    assert held.gate is not None
    assert not held.gate.passed
    assert held.id is None
    assert gated.servers() == []
    with pytest.raises(MlctlError):
        predict(held, {"household_id": 1})
    gated.kind.delete(held, gated.ctx)
    assert not gated.folder.exists()


def test_a_tolerance_and_a_sample_are_those_of_the_block(gated: Gated) -> None:
    gated.set_online("visits", "1")
    passed = gated.apply("1", "one", store=True, require={"feature_parity": {"tolerance": 1}})
    assert passed.gate is not None
    assert passed.gate.passed
    sampled = gated.apply("1", "one", store=True, require={"feature_parity": {"tolerance": 1, "sample": 2}})
    assert sampled.outputs["feature_parity"]["views"][0]["keys"] == 2
    assert sampled.id == passed.id


assert list(SOURCE["features"]) == COLUMNS  # the store of make_store.py
