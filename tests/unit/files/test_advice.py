"""Advice is given, read and taken back, and what cannot be read is none."""

from __future__ import annotations

import os
from pathlib import Path

from mlctl.files.advice import Advice, give, take, withdraw

ADVICE = Advice("deployments.api", "experiments.mail", "ship it", {"rollout": {"ab": {}}})


def test_advice_is_read_as_it_was_given_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    give(tmp_path, ADVICE)
    assert take(tmp_path, "deployments.api") == ADVICE
    assert take(tmp_path, "deployments.other") is None
    (path,) = (tmp_path / "advice").iterdir()
    assert os.stat(path).st_mode & 0o077 == 0


def test_only_who_gave_it_takes_it_back(tmp_path: Path) -> None:
    withdraw(tmp_path, "deployments.api", "experiments.mail")
    give(tmp_path, ADVICE)
    withdraw(tmp_path, "deployments.api", "experiments.other")
    assert take(tmp_path, "deployments.api") == ADVICE
    withdraw(tmp_path, "deployments.api", "experiments.mail")
    assert take(tmp_path, "deployments.api") is None


def test_what_cannot_be_read_is_no_advice(tmp_path: Path) -> None:
    give(tmp_path, ADVICE)
    for text in ("", "[]", '{"address": "x"}'):
        (tmp_path / "advice/deployments.api.json").write_text(text)
        assert take(tmp_path, "deployments.api") is None
