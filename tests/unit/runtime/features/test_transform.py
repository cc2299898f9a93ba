"""On-demand transformations: what a function is given, what it may give, and how its failures are told."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlctl.files.digests import FileDigests
from mlctl.runtime.features.transform import Loaded, load
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.features import Transformation


def loaded(root: Path, body: str, **changed: Any) -> Loaded:
    """A function `f(a, b)` with this body; `a` is a feature, `b` comes with the request."""
    folder = root / "code"
    (folder / "src").mkdir(parents=True, exist_ok=True)
    (folder / "src" / "units.py").write_text("SCALE = 100.0\n")
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    (folder / "src" / "f.py").write_text(f"import numpy as np\nfrom src.units import SCALE\n\ndef f(a, b):\n{lines}\n")
    files = ["src/f.py", "src/units.py"]
    fields = {
        "view": "v", "root": str(folder), "file": "src/f.py", "function": "f", "closure": files,
        "code_digest": FileDigests().tree([folder / name for name in files], folder),
        "request": {"b": "float64"}, "inputs": ["a"], "features": {"x": "float64"},
    }  # fmt: skip
    [item] = load([Transformation.model_validate({**fields, **changed})])
    return item


def columns(a: list[float], b: list[float]) -> dict[str, Any]:
    return {"a": np.array(a), "b": np.array(b), "unread": np.zeros(len(a))}


def test_a_function_gets_its_columns_by_name_and_gives_features(tmp_path: Path) -> None:
    item = loaded(tmp_path, 'return {"x": a / b * SCALE}')
    assert item.apply(columns([1.0, 6.0], [4.0, 3.0]))["x"].tolist() == [25.0, 200.0]


def test_what_is_missing_or_infinite_is_nan_on_the_way_in_and_out(tmp_path: Path) -> None:
    item = loaded(tmp_path, 'assert not np.isinf(a).any()\nreturn {"x": a / b}')
    found = item.apply(columns([1.0, math.inf, math.nan, 2.0], [0.0, 1.0, 1.0, 1.0]))["x"]
    assert np.isnan(found).tolist() == [True, True, True, False]


def test_values_are_rounded_to_their_declared_types_and_nothing_else(tmp_path: Path) -> None:
    item = loaded(tmp_path, 'return {"x": a + b}', request={"b": "float32"}, features={"x": "float32"})
    found = item.apply(columns([0.2], [0.1]))["x"]
    assert found.dtype == np.float64
    assert found[0] == float(np.float32(0.2 + float(np.float32(0.1))))
    whole = loaded(tmp_path, 'return {"x": np.floor(a)}', features={"x": "int64"})
    assert whole.apply(columns([2.5, math.nan], [0.0, 0.0]))["x"][0] == 2.0


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ('return {"x": a.sum()}', "features.bad-transformation", "shape ()"),
        ('return {"x": a[:1]}', "features.bad-transformation", "shape (1,)"),
        ('return {"y": a}', "features.bad-transformation", "`x`"),
        ('return {"x": a, "y": b}', "features.bad-transformation", "`y`"),
        ("return a", "features.bad-transformation", "ndarray"),
        ('return {"x": a.astype(str)}', "features.bad-transformation", "not numbers"),
        ('raise ValueError("the shop is closed")', "features.transformation-failed", "line 5"),
        ("a[0] = 1.0\nreturn {'x': a}", "features.transformation-failed", "line 5"),
        ("from src.units import SCALE as late\nreturn {'x': a}", "features.transformation-failed", "line 5"),
    ],
)
def test_what_is_wrong_is_told_with_the_function_and_the_line(tmp_path: Path, body: str, code: str, said: str) -> None:
    with pytest.raises(MlctlError) as caught:
        loaded(tmp_path, body).apply(columns([1.0, 2.0], [1.0, 1.0]))
    [problem] = caught.value.diagnostics
    assert problem.code == code
    assert "src/f.py:f" in problem.summary
    assert said in problem.summary


def test_a_whole_number_is_never_made_of_a_fraction(tmp_path: Path) -> None:
    for changed in ({"features": {"x": "int64"}}, {"request": {"b": "int64"}}):
        item = loaded(tmp_path, 'return {"x": b}', **changed)
        with pytest.raises(MlctlError, match=r"0\.5"):
            item.apply(columns([1.0], [0.5]))


@pytest.mark.parametrize(
    "body",
    [
        'return {"x": a - a.mean()}',
        'return {"x": np.cumsum(b)}',
        'return {"x": np.random.default_rng().random(len(a))}',
    ],
)
def test_a_row_that_depends_on_others_or_on_chance_is_refused(tmp_path: Path, body: str) -> None:
    item, given = loaded(tmp_path, body), columns([1.0, 2.0, 5.0], [1.0, 1.0, 2.0])
    with pytest.raises(MlctlError) as caught:
        item.check_rows(given, item.apply(given))
    assert caught.value.diagnostics[0].code == "features.not-row-wise"


def test_rows_of_their_own_values_pass_whatever_they_hold(tmp_path: Path) -> None:
    item = loaded(tmp_path, 'return {"x": np.log1p(np.abs(a)) / np.sqrt(b)}')
    draw = np.random.default_rng(1)
    given = columns(list(draw.normal(size=999)), list(draw.normal(size=999)))
    item.check_rows(given, item.apply(given))
    item.try_out()


def test_code_that_was_changed_is_not_run(tmp_path: Path) -> None:
    made = loaded(tmp_path, 'return {"x": a}').transformation
    (tmp_path / "code" / "src" / "units.py").write_text("SCALE = 1.0\n")
    for _ in range(2):
        with pytest.raises(MlctlError) as caught:
            load([made])
        assert caught.value.diagnostics[0].code == "features.code-changed"
        (tmp_path / "code" / "src" / "units.py").unlink(missing_ok=True)


def test_two_versions_of_one_file_live_beside_each_other_and_leave_no_trace(tmp_path: Path) -> None:
    before, path = set(sys.modules), list(sys.path)
    one = loaded(tmp_path / "one", 'return {"x": a * SCALE}')
    two = loaded(tmp_path / "two", 'return {"x": a + SCALE}')
    given = columns([2.0], [0.0])
    assert (one.apply(given)["x"][0], two.apply(given)["x"][0]) == (200.0, 102.0)
    assert (set(sys.modules) - before, sys.path) == (set(), path)
    assert not list(tmp_path.rglob("__pycache__"))


def test_a_file_that_cannot_be_imported_is_told(tmp_path: Path) -> None:
    made = loaded(tmp_path, 'return {"x": a}').transformation
    file = tmp_path / "code" / "src" / "units.py"
    file.write_text("raise KeyError('no units')\n")
    digest = FileDigests().tree([tmp_path / "code" / name for name in made.closure], tmp_path / "code")
    with pytest.raises(MlctlError) as caught:
        load([made.model_copy(update={"code_digest": digest})])
    assert "no units" in caught.value.diagnostics[0].why
