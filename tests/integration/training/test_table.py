"""Tables that nobody can learn from: what is said of them is what is wrong with them."""

import json
from pathlib import Path

import pytest

from tests.integration.data.helpers import run_python

pytestmark = pytest.mark.tools

_LOAD = """
import json, os, sys
from pathlib import Path
from mlctl.runtime.trainer.tabular.table import load_rows
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.train import TableInput
os.chdir(sys.argv[1])
labels = TableInput(name="labels", files=["x.csv"], format="csv", digest="0", columns=json.loads(sys.argv[2]), key=["id"])
try:
    print(load_rows(labels, (), "y", None, Path("made")).count)
except MlctlError as error:
    [found] = error.diagnostics
    print(found.code, found.fix)
"""


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("id,x,y\n", "varchar", "0"),
        ("id,x,y\n1,a,b\n", "varchar", "training.not-numeric take them out, or turn them into numbers first"),
    ],
)
def test_a_table_without_rows_is_not_said_to_hold_text(tmp_path: Path, text: str, kind: str, said: str) -> None:
    """In a file without rows every column looks like text; whoever loads it says that there are none."""
    (tmp_path / "x.csv").write_text(text)
    columns = {"id": "bigint", "x": kind, "y": kind}
    assert run_python(_LOAD, str(tmp_path), json.dumps(columns)).strip() == said


_FEATURES = """
import os, sys
from pathlib import Path
from mlctl.runtime.trainer.tabular.table import load_rows
from mlctl.types.jobs.features import ViewSource
from mlctl.types.jobs.train import TableInput
os.chdir(sys.argv[1])
import duckdb
duckdb.connect().execute(
    "COPY (SELECT 1::BIGINT AS id, TIMESTAMP '2026-03-01' AS event_timestamp, 5.0::DOUBLE AS x) TO 'v.parquet' (FORMAT parquet)"
)
types = {"id": "bigint", "at": "timestamp", "y": "bigint", "X": "double", "__index_level_0__": "bigint"}
labels = TableInput(name="labels", files=["x.csv"], format="csv", digest="0", columns=types, key=["id"], timestamp="at")
print(load_rows(labels, (), "y", None, Path("own")).columns)
print(load_rows(labels, (), "y", ["__index_level_0__"], Path("named")).columns)
view = ViewSource(
    view="v", keys=[{"name": "id", "type": "int64"}], path="v.parquet", features={"x": "float64"}, ttl_seconds=None
)
joined = load_rows(labels, [view], "y", None, Path("joined"))
print(joined.columns, joined.column("x"), joined.keys)
"""


def test_the_index_of_a_data_frame_is_no_feature_and_labels_only_give_key_time_and_target(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("id,at,y,X,__index_level_0__\n1,2026-03-02 00:00:00,0,9,0\n")
    own, named, joined = run_python(_FEATURES, str(tmp_path)).strip().splitlines()
    assert own == "['X']"
    assert named == "['__index_level_0__']"
    assert joined == "['x'] [5.] ['id']"
