"""Models of rows: the ONNX file, and how far its scores are from those of the source on the same rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mlctl.runtime.batch.rows import Rows, discard, inputs, prepare
from mlctl.runtime.evaluate.metrics import score_metrics
from mlctl.runtime.export.figures import compare, judge, latency
from mlctl.runtime.export.onnx_file import OnnxModel, write_int8, write_onnx
from mlctl.runtime.report import Report
from mlctl.runtime.scoring.model import load
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.batch import BatchJob, LocalBatch
from mlctl.types.jobs.export import ExportJob
from mlctl.types.state import Gate


def export_table(job: ExportJob, report: Report) -> tuple[dict[str, Any], Gate]:
    """Make the file, compare, and judge. Raises MlctlError."""
    folder, serving = report.folder, job.model.row_features
    report.progress("writing ONNX")
    plain = folder / "model.onnx"
    write_onnx(Path(job.model.folder), len(serving.columns), plain)
    if job.format == "onnx_int8":
        write_int8(plain, folder / job.file)
    report.progress("comparing", 0, job.dataset.rows, "rows")
    table, truth = _rows(job, folder)
    source, export = load(Path(job.model.folder), serving.columns, threads=1), OnnxModel(folder / job.file)
    before, after = (model.scores(table) if len(table) else np.empty(0) for model in (source, export))
    found = compare(before, after, source.task == "binary", source.decide)
    metrics = _metrics(job, source.task or "regression", truth, before, after)
    one = table[:1] if len(table) else np.zeros((1, len(serving.columns)))
    if job.file != plain.name:
        plain.unlink()
    facts = {
        "rows": len(table), "parity": found, "metrics": metrics,
        "latency": {"source": latency(lambda: source.scores(one)), "export": latency(lambda: export.scores(one))},
    }  # fmt: skip
    return facts, judge(job.require, len(table), found, metrics)


def _rows(job: ExportJob, folder: Path) -> tuple[Any, Any]:
    """Rows as the model reads them, evenly spread over the dataset, and their truth if it is asked for. Raises MlctlError."""
    serving = job.model.row_features
    wanted = BatchJob(
        model=job.model, dataset=job.dataset, where=None, columns=[] if job.target is None else [job.target], rows_per_part=1,
        generation=None, executor=LocalBatch(),
    )  # fmt: skip
    count = prepare(wanted, folder)
    step = max(1, -(-count // job.rows))
    tables, truths, place = [], [], 0
    for table in Rows(folder).between(0, count):
        chosen = (np.arange(table.num_rows) + place) % step == 0
        place += table.num_rows
        tables.append(inputs(table, len(serving.columns))[chosen])
        if job.target is not None:
            truths.append(_numbers(table.column(job.target), job)[chosen])
    discard(folder)
    if not tables:
        return np.empty((0, len(serving.columns))), np.empty(0)
    return np.concatenate(tables), np.concatenate(truths) if truths else np.empty(0)


def _numbers(column: Any, job: ExportJob) -> Any:
    try:
        found = np.array(column.cast("double", safe=False).to_pylist(), dtype=np.float64)
    except (ValueError, TypeError, NotImplementedError):  # as pyarrow raises them
        found = np.array([np.nan])
    if np.isnan(found).any():
        raise MlctlError.of(
            "export.bad-target",
            f"`{job.target}` of `{job.dataset.name}` is not a number in every row",
            "metrics compare scores with it",
            "name the column that the model was trained on, and leave rows without it out",
        )
    return found


def _metrics(job: ExportJob, task: str, truth: Any, before: Any, after: Any) -> dict[str, dict[str, float]]:
    """The metrics of both; none where a score is no number, since nothing can be said of those rows."""
    if job.target is None or not len(truth) or not (np.isfinite(before).all() and np.isfinite(after).all()):
        return {}
    return {"source": score_metrics(task, truth, before), "export": score_metrics(task, truth, after)}
