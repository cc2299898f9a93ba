"""Run the checks program on one engine, in a process of its own: tables in, verdicts out, as JSON.

    echo '{"engine": {...}, "folder": ..., "cases": [{"tables": {name: query}, "rules": [...], ...}]}' | python engine_driver.py

Where a case has `remotes` its datasets are in a database; else each query becomes a Parquet file.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import duckdb

from mlctl.runtime.checks import program
from mlctl.runtime.report import Report


def main(asked: dict[str, Any]) -> list[Any]:
    os.chdir(asked["folder"])
    return [run(asked["engine"], case, Path(f"case{number}")) for number, case in enumerate(asked["cases"])]


def run(engine: dict[str, Any], case: dict[str, Any], folder: Path) -> Any:
    (folder / "job").mkdir(parents=True)
    sources = case.get("remotes") or {name: parquet(folder, name, query) for name, query in case["tables"].items()}
    for name, key in case["keys"].items():
        sources[name]["key"] = key
    checked = next(iter(sources))
    sources[checked]["timestamp"] = case.get("timestamp")
    contract = None
    if case.get("contract"):
        contract = str(folder / "contract.json")
        Path(contract).write_text(json.dumps(case["contract"]))
    params = {
        "dataset": checked, "source": sources.pop(checked), "source_digest": "d", "references": sources, "rules": case["rules"],
        "engine": engine, "contract": contract, "quarantine": {"path": str(folder / "q.parquet"), "max_rows": 1000},
        "report": str(folder / "report.json"),
    }  # fmt: skip
    result = program.main(params, Report(folder / "job"))
    rules: Any = result.outputs["rules"]
    quarantined = (
        duckdb.sql(f"SELECT * FROM '{folder}/q.parquet' ORDER BY 1").fetchall()
        if (folder / "q.parquet").exists()
        else []
    )
    return {
        "rules": [
            [item["passed"], item.get("checked_rows"), item.get("failing_rows"), item["sample"], item.get("reason", "")] for item in rules
        ],
        "quarantine": [[str(row[0]), row[-1]] for row in quarantined],
        "docs": result.outputs.get("data_docs"),
    }  # fmt: skip


def parquet(folder: Path, name: str, query: str) -> dict[str, Any]:
    file = str(folder / f"{name}.parquet")
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"COPY ({query}) TO '{file}' (FORMAT parquet)")
        columns = {row[0]: row[1].lower() for row in connection.execute(f"DESCRIBE SELECT * FROM '{file}'").fetchall()}
    return {"files": [file], "format": "parquet", "columns": columns}


if __name__ == "__main__":
    print(json.dumps(main(json.load(sys.stdin))))
