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
