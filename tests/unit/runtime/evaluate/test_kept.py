"""What was measured before is found again by its key, no more of it is kept than is said, and damage costs only time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlctl.runtime.evaluate import kept
from mlctl.runtime.evaluate.kept import FOLDER, Kept


def test_what_was_kept_is_found_until_newer_measurements_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "_MOST", 2)
    here = Kept(tmp_path / "objects" / "evaluations.gate" / "1")
    for number, key in enumerate("abc"):
        here.keep(key, {"loss": float(number)})
        os.utime(tmp_path / FOLDER / f"{key}.json", (number, number))
    here.keep("d", {"loss": 3.0})
    other = Kept(tmp_path / "objects" / "evaluations.other" / "2")
    assert [other.find(key) for key in "abcd"] == [None, None, {"loss": 2.0}, {"loss": 3.0}]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"metrics": {"loss": "low"}}', '{"metrics": 1}'])
def test_a_damaged_file_is_measured_again(tmp_path: Path, text: str) -> None:
    here = Kept(tmp_path / "objects" / "evaluations.gate" / "1")
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "a.json").write_text(text)
    assert here.find("a") is None
