"""A training that goes by time needs a dataset that has one, and a plan says so at the line; so it does of what cannot fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.workspace import Workspace

PROJECT = """\
project: shop
datasets:
  labels: {path: labels.csv, key: [user_id]}
  visits: {path: labels.csv, timestamp: day, key: [user_id]}
entities: {user: {key: user_id, dtype: int64}}
feature_views:
  visiting: {entity: user, source: visits, features: {visits_7d: {aggregate: count, window: 7d}}}
training:
  churn:
    data: {labels: labels, columns: [visits], target: churned, split: {by: random, test: 20%}}
    model: {type: mlp, hidden: [4]}
    epochs: 1
    optimizer: {lr: 1e-3}
"""


def problems(root: Path, text: str) -> list[Diagnostic]:
    (root / "mlctl.yaml").write_text(text)
    (root / "labels.csv").write_text("user_id,day,visits,churned\n1,2026-01-01,2,0\n")
    try:
        _ = Workspace(root).project
    except MlctlError as error:
        return list(error.diagnostics)
    return []


def test_a_random_split_needs_no_time(tmp_path: Path) -> None:
    assert problems(tmp_path, PROJECT) == []


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("by: random", "by: time", "split"),
        ("columns: [visits]", "features: [visiting]", "features"),
    ],
)
def test_what_goes_by_time_is_refused_at_its_line(tmp_path: Path, old: str, new: str, line: str) -> None:
    (found,) = problems(tmp_path, PROJECT.replace(old, new))
    assert found.code == "training.no-timestamp"
    assert found.where is not None
    assert line in found.where.text
    timed = PROJECT.replace(old, new).replace(
        "labels: {path: labels.csv, key", "labels: {path: labels.csv, timestamp: day, key"
    )
    assert problems(tmp_path, timed) == []


def test_what_cannot_fit_is_told_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlctl.engine import planner
    from mlctl.engine.ledger import Ledger
    from mlctl.types.state import State

    monkeypatch.setenv("MLCTL_DEVICE", "cpu:2:200MiB")
    assert problems(tmp_path, PROJECT.replace("hidden: [4]", "hidden: [20000, 20000]")) == []
    workspace = Workspace(tmp_path)
    empty = Ledger(State(""))
    with pytest.raises(MlctlError) as caught:
        planner.plan(workspace.project, empty, workspace.context(empty))
    (found,) = caught.value.diagnostics
    assert found.code == "training.does-not-fit"
    assert found.where is not None
    assert found.where.line == 9
