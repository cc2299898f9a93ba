"""What an evaluation keeps of its rows for monitors."""

from pathlib import Path

import numpy as np
import pytest

from mlctl.runtime.evaluate import held_out
from mlctl.types.jobs.labels import HELD_OUT_ROWS, HeldOut


def test_scores_and_targets_are_kept_in_pairs_in_a_sample_that_is_the_same_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = HELD_OUT_ROWS + 5000
    score = np.arange(rows) / rows
    name = held_out.keep(tmp_path, "binary", (score > 0.3).astype(float), score)
    assert name == "held_out.json"
    kept = HeldOut.model_validate_json((tmp_path / name).read_bytes())
    assert (kept.rows, len(kept.scores)) == (rows, HELD_OUT_ROWS)
    assert all((value > 0.3) == (target == 1) for value, target in zip(kept.scores, kept.targets, strict=True))
    assert kept.scores == sorted(kept.scores)
    assert np.mean(kept.scores) == pytest.approx(0.5, abs=0.01)
    held_out.keep(tmp_path, "binary", (score > 0.3).astype(float), score)
    assert HeldOut.model_validate_json((tmp_path / name).read_bytes()) == kept


def test_few_rows_are_all_kept_to_the_digit_and_none_are_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    held_out.keep(tmp_path, "regression", np.array([1.0, 2.5]), np.array([0.1 + 0.2, 1e-17]))
    kept = HeldOut.model_validate_json((tmp_path / "held_out.json").read_bytes())
    assert (kept.scores, kept.targets) == ([0.30000000000000004, 1e-17], [1.0, 2.5])
    held_out.keep(tmp_path, "regression", np.empty(0), np.empty(0))
    assert HeldOut.model_validate_json((tmp_path / "held_out.json").read_bytes()).rows == 0
    with pytest.raises(ValueError, match="one target for each score"):
        HeldOut(task="binary", rows=1, scores=[0.5], targets=[])
