"""What a profile finds in dirty text, and in keys."""

import json
from pathlib import Path

import pytest

from tests.integration.data.helpers import run_python

pytestmark = pytest.mark.tools

_LOOK = """
import json, sys
from pathlib import Path
from mlctl.runtime.profile import dirt
from mlctl.runtime.profile.database import database
columns = dict.fromkeys(["amount", "price", "at", "city", "clean"], "varchar")
statistics = {name: {"approx_distinct": 5} for name in columns}
with database(Path(sys.argv[1])) as connection:
    connection.execute("CREATE TABLE t AS SELECT * FROM read_csv('" + sys.argv[1] + "/x.csv', all_varchar=true, header=true)")
    print(json.dumps(dirt.dirty_texts(connection, "t", columns, statistics, 20)))
    print(dirt.repeated_keys(connection, "t", ["id"], 20), dirt.repeated_keys(connection, "t", ["id", "n"], 20))
"""


def test_dirty_text_and_repeated_keys_are_counted(tmp_path: Path) -> None:
    lines = ["id,n,amount,price,at,city,clean"]
    for i in range(20):
        amount = "unknown" if i == 0 else f" {i}.5"
        at = f"2024-01-{i + 1:02d}" if i < 15 else f"{i}.02.2024"
        city = ("Bern", "bern", "Bern ", "Basel")[i % 4]
        lines.append(f'{max(i, 3)},{i},{amount},"1.200,{i}",{at},{city},word')
    (tmp_path / "x.csv").write_text("\n".join(lines) + "\n")
    texts, keys = run_python(_LOOK, str(tmp_path)).strip().splitlines()
    assert json.loads(texts) == {
        "amount": {"rows": 20, "numbers": 19, "odd": {"value": "unknown", "count": 1}},
        "price": {"rows": 20, "commas": 20},
        "at": {"rows": 20, "dates": {"2024-01-31": 15, "31.01.2024": 5}},
        "city": {"rows": 20, "folded": 2},
    }
    assert keys == "3 0"
