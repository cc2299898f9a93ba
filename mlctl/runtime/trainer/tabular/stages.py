"""A training on rows of features, before and after its ranks."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlctl.runtime.report import Report
from mlctl.runtime.trainer.early import kept_epoch
from mlctl.runtime.trainer.plan import PreparedTable, RankPlan
from mlctl.runtime.trainer.stages import Finished
from mlctl.runtime.trainer.tabular.prepare import KEYS_FILE, PROFILE_FILE
from mlctl.runtime.trainer.tabular.prepare import prepare as prepare_table
from mlctl.types.jobs.train import TableData, TrainJob


def prepare(job: TrainJob, folder: Path, report: Report) -> RankPlan:
    """Join, split and standardise the rows. Raises MlctlError."""
    report.progress("joining features and splitting rows")
    plan = prepare_table(job, _asked(job), folder)
    if _asked(job).task is None and isinstance(plan.data, PreparedTable) and plan.data.task == "regression":
        report.progress("task: regression (inferred)")
    return plan


def finish(job: TrainJob, plan: RankPlan, folder: Path, ended: Mapping[str, Any], report: Report) -> Finished:
    """Make the model folder, and judge the model on the validation rows. Raises MlctlError."""
    from mlctl.runtime.trainer.tabular.finish import MODEL_FOLDER, judge, save_model
    from mlctl.runtime.trainer.tabular.transformations import CODE_FOLDER, applied_from, digest_with

    report.progress("saving the model")
    asked, data = _asked(job), plan.data
    if not isinstance(data, PreparedTable):
        raise TypeError(f"a table was prepared as {data.type}")
    weights = save_model(plan, data, folder)
    shipped = applied_from(asked.transformations, folder / MODEL_FOLDER / CODE_FOLDER)
    judged = judge(plan, data, folder, asked.target)
    kept = kept_epoch(ended["history"], plan.recipe.early_stopping)
    place = Path(os.path.relpath(folder))
    outputs = {
        "digest": digest_with(weights, asked.transformations),
        "model": str(place / MODEL_FOLDER),
        "training_profile": str(place / PROFILE_FILE),
        "keys": str(place / KEYS_FILE),
        "metrics": {**judged.metrics, "train_loss": kept["train_loss"], "val_loss": kept["val_loss"]},
        "rows": data.train + data.validation,
        "target": asked.target,
        "task": data.task,
        **({} if judged.base_rate is None else {"base_rate": round(judged.base_rate, 6)}),
        **({"warnings": judged.remarks} if judged.remarks else {}),
        "serving": asked.serving(data.columns, shipped),
        "views": [view.model_dump(mode="json") for view in asked.views],
        "transformations": [item.model_dump(mode="json") for item in shipped],
    }
    profile = json.loads((folder / PROFILE_FILE).read_bytes())
    statistics = {
        "labels": asked.labels.statistics,
        "train_rows": data.train,
        "validation_rows": data.validation,
        "features": {name: _brief(column) for name, column in profile["columns"].items()},
    }
    return Finished(outputs, statistics, artifacts=[folder / PROFILE_FILE])


def _asked(job: TrainJob) -> TableData:
    if not isinstance(job.data, TableData):
        raise TypeError(f"not a table: {job.data.type}")
    return job.data


def _brief(column: Mapping[str, Any]) -> dict[str, Any]:
    return {name: column[name] for name in ("count", "nulls", "mean", "std", "min", "max")}
