"""A training on a dataset of the project's own, before and after its ranks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.runtime import secrets
from mlctl.runtime.report import Report
from mlctl.runtime.trainer.custom.probe import ASKED_FILE, FOUND_FILE
from mlctl.runtime.trainer.early import kept_epoch
from mlctl.runtime.trainer.executors.lifeline import PARENT_VARIABLE
from mlctl.runtime.trainer.plan import PLAN_FILE, PreparedCustom, RankPlan, sealed
from mlctl.runtime.trainer.stages import Finished
from mlctl.types import job as contract
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.recipe import PythonModel
from mlctl.types.jobs.train import CustomData, TrainJob

CODE_FOLDER = "code"


def prepare(job: TrainJob, folder: Path, report: Report) -> RankPlan:
    """Keep the project's code, and count the rows of its dataset. Raises MlctlError."""
    from mlctl.runtime.trainer.tabular.prepare import copy_code

    model, data = _asked(job)
    report.progress("looking at the dataset")
    copy_code(model, folder / CODE_FOLDER)
    files = [str(Path(file).resolve()) for file in data.dataset.files]
    config = secrets.known().masked(model.model_dump(mode="json", exclude={"closure", "code_digest"}))
    asked = {
        "model": sealed(job.recipe).model.model_dump(mode="json"),
        "params": config["params"],
        "files": files,
        "seed": job.recipe.seed,
    }
    rows = _probed(folder, asked, model)
    if rows["train"] < 2 * job.recipe.layout.data:
        raise MlctlError.of(
            "training.no-rows",
            f"{rows['train']} rows are too few for {job.recipe.layout.data} processes",
            "each needs two at least",
            "use fewer processes, or bring more data",
        )
    prepared = PreparedCustom(files=files, train=rows["train"], validation=rows["validation"])
    plan = RankPlan(data=prepared, model=config, recipe=sealed(job.recipe))
    atomic.write_bytes(folder / PLAN_FILE, plan.model_dump_json().encode())
    return plan


def finish(job: TrainJob, plan: RankPlan, folder: Path, ended: Mapping[str, Any], report: Report) -> Finished:
    """Make the model folder, and apply the project's own metrics to the validation rows. Raises MlctlError."""
    from mlctl.runtime.trainer.custom.finish import MODEL_FOLDER, judge, save_model

    report.progress("saving the model")
    model, data = _asked(job)
    digest = save_model(plan, folder)
    kept = kept_epoch(ended["history"], plan.recipe.early_stopping)
    rows = plan.data.train + plan.data.validation
    outputs = {
        "digest": digest,
        "model": str(Path(os.path.relpath(folder)) / MODEL_FOLDER),
        "metrics": {
            **judge(model, plan, folder),
            "train_loss": kept["train_loss"],
            "val_loss": kept["val_loss"],
        },
        "rows": rows,
        "task": "custom",
    }
    statistics = {
        "dataset": data.dataset.statistics,
        "train_rows": plan.data.train,
        "validation_rows": plan.data.validation,
    }
    return Finished(outputs, statistics)


def _asked(job: TrainJob) -> tuple[PythonModel, CustomData]:
    model, data = job.recipe.model, job.data
    if not isinstance(model, PythonModel) or not isinstance(data, CustomData):
        raise TypeError(f"not a dataset of the project's own: {data.type}")
    return model, data


def _probed(folder: Path, asked: Mapping[str, Any], model: PythonModel) -> dict[str, int]:
    """The rows of each split, counted in a process of its own: the project's code may end it, and must not end this one."""
    asked_file, found_file = folder / ASKED_FILE, folder / FOUND_FILE
    name = f"{model.dataset.file}:{model.dataset.function}" if model.dataset is not None else ""
    found = _stored(asked_file, found_file, asked)
    if found is None:
        found_file.unlink(missing_ok=True)
        atomic.write_json(asked_file, dict(asked))
        command = [sys.executable, "-m", "mlctl.runtime.trainer.custom.probe", str(folder)]
        environment = {**os.environ, PARENT_VARIABLE: str(os.getpid())}
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=False)
        if not found_file.exists():
            raise MlctlError.of(
                "training.dataset-left",
                f"`{name}` ended its process (exit code {done.returncode}) instead of giving a dataset",
                "code that a training runs must come back",
                f"take out what ends the process; its log is in {folder / contract.LOG_FILE}",
            )
        found = json.loads(found_file.read_bytes())
    if "error" in found:
        raise MlctlError.of(
            "training.dataset-failed",
            f"the dataset of `{name}` cannot be learnt from: {found['error']}",
            f"raised at {found['at']}",
            "correct the function; it is called as `dataset(files, split, **params)` for `train` and `validation`",
        )
    return {split: int(found[split]) for split in ("train", "validation")}


def _stored(asked_file: Path, found_file: Path, asked: Mapping[str, Any]) -> dict[str, Any] | None:
    """What an earlier try found, where it asked for the same and there was nothing wrong."""
    try:
        if json.loads(asked_file.read_bytes()) != asked:
            return None
        found: dict[str, Any] = json.loads(found_file.read_bytes())
    except (OSError, ValueError):
        return None
    return None if "error" in found else found
