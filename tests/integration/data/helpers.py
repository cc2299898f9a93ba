"""Small projects of real files. DuckDB runs in a process of its own, as it does everywhere outside of worker programs."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlctl.provider import Context
from mlctl.providers.great_expectations.data_check import DataCheck
from mlctl.providers.local.dataset import Dataset
from mlctl.testing.harness import apply_once
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.state import Record


def run_python(code: str, *arguments: str) -> str:
    """What a program printed that may import what this process must not."""
    code = (
        '__file__ = "-c"\n' + code
    )  # pyspark, which Great Expectations imports where it is, ends a program without a file
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def write_sql(folder: Path, queries: Mapping[str, str]) -> None:
    """Write the result of each query to a Parquet file, by name."""
    folder.mkdir(parents=True, exist_ok=True)
    code = "import duckdb, json, sys\nfor name, query in json.loads(sys.argv[1]).items(): duckdb.connect().execute(f\"COPY ({query}) TO '{name}' (FORMAT parquet)\")"
    run_python(code, json.dumps({str(folder / name): query for name, query in queries.items()}))


def dataset(ctx: Context, name: str, **values: Any) -> Record:
    return apply_once(Dataset(), f"datasets.{name}", values, ctx)


def check(ctx: Context, rules: Sequence[Mapping[str, Any]], on: Record, *others: Record) -> Record:
    inputs = {str(item.key.address): item for item in (on, *others)}
    return apply_once(DataCheck(), "data_checks.c", {"dataset": on.key.address.name, "rules": list(rules)}, ctx, inputs)


def refused(ctx: Context, **values: Any) -> Diagnostic:
    """The one diagnostic with which a dataset is refused."""
    try:
        made = dataset(ctx, "d", **values)
    except MlctlError as error:
        [problem] = error.diagnostics
        return problem
    raise AssertionError(f"it was not refused: {made.outputs}")
