"""Write a model in another format, compare it with its source, and say whether it may be used."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.runtime.report import Report
from mlctl.types.job import JobResult, JobStatus
from mlctl.types.jobs.export import PAGE_FILE, REPORT_FILE, ExportJob


def main(params: dict[str, Any], report: Report) -> JobResult:
    """Make the file and the report. Raises MlctlError."""
    job = ExportJob.model_validate(params)
    if job.asking is not None:
        from mlctl.runtime.export.text import export_text

        facts, gate = export_text(job, job.asking, report)
    else:
        from mlctl.runtime.export.table import export_table

        facts, gate = export_table(job, report)
    file = report.folder / job.file
    from mlctl.runtime.export.page import page

    found = {
        "format": job.format, "precision": None if job.asking is None else job.asking.precision, "dataset": job.dataset.name,
        "model": {"name": job.model.name, "version": job.model.version, "digest": job.model.digest},
        "bytes": file.stat().st_size, "source_bytes": _weights(Path(job.model.folder)), "digest": _digest(file), **facts,
        "gate": {"passed": gate.passed, "summary": gate.summary, "details": list(gate.details)},
    }  # fmt: skip
    atomic.write_json(report.folder / REPORT_FILE, found)
    atomic.write_bytes(report.folder / PAGE_FILE, page(job.address, found).encode())
    place = Path(os.path.relpath(report.folder))
    outputs = {
        "file": (place / job.file).as_posix(), "report": (place / PAGE_FILE).as_posix(), "model": job.model.name, "version": job.model.version,
        **{name: found[name] for name in ("format", "bytes", "source_bytes", "digest", "rows", "parity", "latency")},
    }  # fmt: skip
    return JobResult(JobStatus.DONE, outputs, gate)


def _weights(folder: Path) -> int:
    """What the model's own files take."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _digest(file: Path) -> str:
    total = hashlib.blake2b(digest_size=16)
    with open(file, "rb") as stream:
        while block := stream.read(1 << 20):
            total.update(block)
    return total.hexdigest()
