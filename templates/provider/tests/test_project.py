"""The real command line on a project that uses the section."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from @@module import _client
from @@module.render import Entry

Cli = Callable[..., subprocess.CompletedProcess[str]]
PROJECT = """\
project: shop
@@settings: {path: data/@@settings.db}
@@section:
  trips: {entry: trips, title: Trips, labels: [public]}
"""


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    (tmp_path / "mlctl.yaml").write_text(PROJECT)
    return tmp_path / "data" / "@@settings.db"


def test_an_entry_lives_from_apply_to_destroy(mlctl_cli: Cli, catalogue: Path, tmp_path: Path) -> None:
    assert "@@section.trips" in mlctl_cli("plan").stdout
    mlctl_cli("apply", "--auto-approve")
    found = _client.find(catalogue, "trips")
    assert found is not None
    assert (found.title, found.labels) == ("Trips", ("public",))
    mlctl_cli("plan", "--detailed-exitcode")
    (tmp_path / "mlctl.yaml").write_text(PROJECT.replace("title: Trips", "title: All trips"))
    mlctl_cli("plan", "--detailed-exitcode", code=2)
    mlctl_cli("apply", "--auto-approve")
    changed = _client.find(catalogue, "trips")
    assert changed is not None
    assert changed.title == "All trips"
    mlctl_cli("destroy", "--auto-approve")
    assert _client.find(catalogue, "trips") is None


def test_what_somebody_else_made_is_left_alone(mlctl_cli: Cli, catalogue: Path) -> None:
    theirs = Entry("trips", "Not yours", "", (), None, "somebody")
    _client.put(catalogue, theirs)
    assert "was not made by @@section.trips" in mlctl_cli("apply", "--auto-approve", code=1).stdout
    mlctl_cli("destroy", "--auto-approve")
    assert _client.find(catalogue, "trips") == theirs


def test_a_link_that_is_none_is_refused_with_its_place(mlctl_cli: Cli, catalogue: Path, tmp_path: Path) -> None:
    (tmp_path / "mlctl.yaml").write_text(PROJECT.replace("labels: [public]", "link: example.org"))
    said = mlctl_cli("validate", code=1).stderr
    assert "@@settings.bad-link" in said
    assert "mlctl.yaml:4" in said
