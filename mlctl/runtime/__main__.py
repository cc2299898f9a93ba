"""Run one worker program: `python -m mlctl.runtime PROGRAM FOLDER`. The folder holds its job file and takes its result."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
from pathlib import Path

from mlctl.files import atomic
from mlctl.runtime import process, secrets
from mlctl.runtime.report import Report
from mlctl.types import job as contract
from mlctl.types.diagnostic import Diagnostic, MlctlError, said
from mlctl.types.job import JobResult, JobStatus

# Each module has `main(params, report) -> JobResult`.
PROGRAMS = {
    "profile": "mlctl.runtime.profile.program",
    "data_diff": "mlctl.runtime.profile.diff",
    "checks": "mlctl.runtime.checks.program",
    "features": "mlctl.runtime.features.program",
    "feature_server": "mlctl.runtime.features.serve",
    "transform": "mlctl.runtime.features.transform_program",
    "train": "mlctl.runtime.trainer.program",
    "kill_test": "mlctl.runtime.trainer.kill_test",
    "models": "mlctl.runtime.models.program",
    "language_model": "mlctl.runtime.trainer.text.convert",
    "evaluate": "mlctl.runtime.evaluate.program",
    "server": "mlctl.runtime.server.program",
    "llm_server": "mlctl.runtime.llm.program",
    "controller": "mlctl.runtime.controller.program",
    "gateway": "mlctl.runtime.gateway.python.program",
    "bench": "mlctl.runtime.bench.program",
    "experiment": "mlctl.runtime.experiment.program",
    "monitor": "mlctl.runtime.monitor.program",
    "certify": "mlctl.runtime.certify.program",
    "monitor_reference": "mlctl.runtime.monitor.freeze",
    "backtest": "mlctl.runtime.monitor.backtest",
    "label_lookup": "mlctl.runtime.observe.label",
    "stream": "mlctl.runtime.stream.program",
    "stream_predictions": "mlctl.runtime.stream_predictions.program",
    "batch": "mlctl.runtime.batch.program",
    "export": "mlctl.runtime.export.program",
}


def main(program: str, folder: Path) -> int:
    """Run the program and write what it returns, or how it failed, as the result."""
    # the program says its own pid: whoever started it may have been killed before it could
    atomic.write_json(folder / contract.PROCESS_FILE, {"pid": os.getpid(), "started": time.time()})
    params = secrets.known().opened(json.loads((folder / contract.JOB_FILE).read_bytes())["params"])
    try:
        module = importlib.import_module(PROGRAMS[program])
        result: JobResult = module.main(params, Report(folder))
    except MlctlError as error:
        result = JobResult(JobStatus.FAILED, diagnostics=tuple(error.diagnostics))
    except ModuleNotFoundError as error:
        traceback.print_exc()
        result = JobResult(JobStatus.FAILED, diagnostics=(missing_package(program, error),))
    except Exception as error:  # the one place where a worker's bug becomes a diagnostic; the traceback is in its log
        traceback.print_exc()
        last = traceback.extract_tb(error.__traceback__)[-1]
        result = JobResult(
            JobStatus.FAILED,
            diagnostics=(
                Diagnostic(
                    "job.failed",
                    f"{program}: {type(error).__name__}: {said(error)}",
                    f"raised at {last.filename}:{last.lineno}",
                    f"the whole traceback is in {folder / contract.LOG_FILE}",
                ),
            ),
        )
    atomic.write_json(folder / contract.RESULT_FILE, secrets.known().masked(result.to_json()))
    return 0 if result.status is JobStatus.DONE else 1


def missing_package(program: str, error: ModuleNotFoundError) -> Diagnostic:
    """The diagnostic for a package that an extra would have installed."""
    extras = {
        "profile": "data",
        "data_diff": "data",
        "checks": "data",
        "features": "features",
        "feature_server": "features",
        "transform": "features",
        "train": "train",
        "kill_test": "train",
        "models": "train",
        "language_model": "train",
        "evaluate": "train",
        "server": "serve",
        "llm_server": "serve",
        "controller": "serve",
        "gateway": "serve",
        "bench": "serve",
        "experiment": "data",
        "monitor": "data",
        "certify": "stats",
        "monitor_reference": "data,train",
        "label_lookup": "data",
        "backtest": "data",
        "stream": "features,stream",
        "stream_predictions": "serve,stream",
        "batch": "features,train",
        "export": "train,edge",
    }
    extra = "spark" if (error.name or "").partition(".")[0] == "pyspark" else extras[program]
    return Diagnostic(
        "extra.missing",
        f"the {program} program needs the package `{error.name}`, which is not installed",
        "mlctl's core is light; each stage's tools come with an extra",
        f"pip install 'mlctl[{extra}]'",
    )


if __name__ == "__main__":
    process.begin(sys.argv[1])
    process.leave(main(sys.argv[1], Path(sys.argv[2])))
