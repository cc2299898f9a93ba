"""The `monitor_reference` program: learn from rows of the reference what tests of all features need, and keep no more of them.

Half of the rows teach, the others tell how well such rows are reconstructed. The domain classifier learns anew in each run,
from rows of both sides: for it alone, some rows are kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlctl.files import atomic
from mlctl.runtime.monitor.encoding import encoding_of, plain, standardised
from mlctl.runtime.monitor.reconstruction import ERRORS, FITS
from mlctl.runtime.monitor.together import REFERENCE
from mlctl.runtime.report import Report
from mlctl.stats.sketch import sketch
from mlctl.types.diagnostic import MlctlError
from mlctl.types.job import JobResult, JobStatus
from mlctl.types.jobs.reference import ENCODING_FILE, TENSORS_FILE, FreezeJob

_MOST_ROWS = 10_000
_KEPT_ROWS = 5000
_SEED = 20_261_122
_TABLE, _FEATURES, _MANIFEST = "table", "features.npy", "manifest.json"  # what a training keeps beside its profile


def main(params: dict[str, Any], report: Report) -> JobResult:
    """Write both files into the job's folder. Raises MlctlError when there are no rows to learn from."""
    job = FreezeJob.model_validate(params)
    report.progress("reading rows of the reference")
    columns = _rows(job)
    rows = len(next(iter(columns.values()), ()))
    if rows < 2 * job.min_rows:
        raise MlctlError.of(
            "monitor.idle-method",
            f"{', '.join(f'`{name}`' for name in job.methods)} would test nothing",
            f"the reference has {rows} rows and {2 * job.min_rows} are needed, one half to learn from and one to compare with",
            "remove it from `data.methods`, or lower `data.min_rows`",
        )
    made = encoding_of(columns, job.columns)
    matrix = plain(made, columns)
    tensors: dict[str, Any] = {}
    errors = {}
    if "domain_classifier" in job.methods:
        tensors[REFERENCE] = np.ascontiguousarray(matrix[:_KEPT_ROWS])
    asked = [name for name in job.methods if name in FITS]
    numbers = standardised(made, matrix) if asked else matrix
    for name in asked:
        report.progress(f"learning how features go together: {name}")
        tensors |= FITS[name](numbers[::2])
        errors[name] = sketch(ERRORS[name](tensors, numbers[1::2]))
    from safetensors.numpy import save

    atomic.write_bytes(
        report.folder / TENSORS_FILE, save({name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)})
    )
    kept = made.model_copy(update={"errors": errors})
    atomic.write_bytes(report.folder / ENCODING_FILE, json.dumps(kept.model_dump(mode="json"), sort_keys=True).encode())
    return JobResult(JobStatus.DONE, {"rows": rows})


def _rows(job: FreezeJob) -> dict[str, Sequence[Any]]:
    """Columns of up to ten thousand rows, drawn at random in a random order, the same each time."""
    if job.rows is not None:
        return _from_file(job, job.rows)
    table = Path(job.profile).parent / _TABLE
    try:
        manifest: Mapping[str, Any] = json.loads((table / _MANIFEST).read_bytes())
        features = np.load(table / _FEATURES, mmap_mode="r")
    except (OSError, ValueError):
        raise MlctlError.of(
            "monitor.no-reference-rows",
            f"there are no rows beside `{job.profile}`",
            f"{', '.join(f'`{name}`' for name in job.methods)} learn how features go together, which a profile does not tell",
            "give the profile of a training of this project, or `data.rows`, a Parquet or CSV file of such rows",
        ) from None
    names = [name for name in manifest["columns"] if name in job.columns]
    chosen = _drawn(manifest["train"])
    drawn = features[np.sort(chosen)][np.argsort(np.argsort(chosen))]
    return {name: drawn[:, manifest["columns"].index(name)] for name in names}


def _from_file(job: FreezeJob, path: str) -> dict[str, Sequence[Any]]:
    import duckdb

    reader = "read_parquet" if path.endswith(".parquet") else "read_csv"
    try:
        table = duckdb.sql(f"SELECT * FROM {reader}($1)", params=[path]).fetchnumpy()  # noqa: S608
    except duckdb.Error as error:
        raise MlctlError.of(
            "monitor.bad-rows",
            f"`{path}` cannot be read",
            str(error).splitlines()[0],
            "give a Parquet or CSV file whose columns are features",
        ) from None
    missing = sorted(job.columns.keys() - table.keys())
    if missing:
        raise MlctlError.of(
            "monitor.bad-rows",
            f"`{path}` has no column {', '.join(f'`{name}`' for name in missing)}",
            "each row of the reference has all features of its profile",
            "add it to the file",
        )
    chosen = _drawn(len(table[next(iter(job.columns))]))
    return {name: _values(table[name][chosen]) for name in job.columns}


def _values(column: Any) -> Sequence[Any]:
    """Plain values, None where there are none."""
    if np.ma.isMaskedArray(column):
        return [
            None if masked else value
            for value, masked in zip(column.data.tolist(), np.ma.getmaskarray(column), strict=True)
        ]
    return list(column.tolist())


def _drawn(rows: int) -> Any:
    return np.random.default_rng(_SEED).permutation(rows)[:_MOST_ROWS]
