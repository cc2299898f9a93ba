"""Make what the ranks read: the table, the split, the means, the code, the plan. Done once; a resumed training finds it."""

# ruff: noqa: S608 (names go through quote(), texts through literal())

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from mlctl.files import atomic
from mlctl.files.digests import FileDigests
from mlctl.runtime import secrets
from mlctl.runtime.features.sql import write_parquet
from mlctl.runtime.profile.database import database, own_parquet, quote
from mlctl.runtime.trainer.plan import FEATURES_FILE, PLAN_FILE, TARGET_FILE, PreparedTable, RankPlan, sealed
from mlctl.runtime.trainer.tabular import remarks, table
from mlctl.runtime.trainer.tabular.model import CODE_FOLDER
from mlctl.runtime.trainer.tabular.profile import numeric_profile
from mlctl.runtime.trainer.tabular.table import Rows
from mlctl.runtime.trainer.tabular.transformations import CODE_FOLDER as TRANSFORMATIONS
from mlctl.runtime.trainer.tabular.transformations import keep_code
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs import learnable
from mlctl.types.jobs.recipe import PythonModel, Recipe
from mlctl.types.jobs.train import TableData, TrainJob

TABLE_FOLDER = "table"
KEYS_FILE = "keys.parquet"
PROFILE_FILE = "training_profile.json"
_MANIFEST = "manifest.json"


def prepare(job: TrainJob, data: TableData, folder: Path) -> RankPlan:
    """The plan of the ranks, with everything it names in place. Raises MlctlError."""
    place = folder / TABLE_FOLDER
    if not (place / _MANIFEST).exists():
        _make_table(job.recipe, data, folder, place)
    stored = json.loads((place / _MANIFEST).read_bytes())
    recipe = job.recipe
    model = secrets.known().masked(recipe.model.model_dump(mode="json", exclude={"closure", "code_digest"}))
    if isinstance(recipe.model, PythonModel):
        copy_code(recipe.model, folder / CODE_FOLDER)
    config = {"columns": stored["columns"], "task": stored["task"], **model}
    plan = RankPlan(data=PreparedTable(folder=str(place.resolve()), **stored), model=config, recipe=sealed(recipe))
    atomic.write_bytes(folder / PLAN_FILE, plan.model_dump_json().encode())
    return plan


def _make_table(recipe: Recipe, data: TableData, folder: Path, place: Path) -> None:
    made = keep_code(data.transformations, folder / TRANSFORMATIONS)
    rows = table.load_rows(data.labels, data.views, data.target, data.columns, place, transformations=made)
    if not rows.count:
        raise MlctlError([learnable.no_rows(data.labels.name)])
    target = table.target_values(rows, data.labels.name)
    task = table.infer_task(target, data.task, data.target)
    train, validation = _split(data, recipe.seed, rows)
    _check_split(data, recipe.layout.processes, target, train, validation, task)
    remarks.keep(place, remarks.of_rows(data, rows, task, target, train, validation))
    order = np.concatenate([train, validation])
    features = np.lib.format.open_memmap(
        place / FEATURES_FILE, mode="w+", dtype=np.float32, shape=(rows.count, len(rows.columns))
    )
    means, stds, profiles = [], [], {}
    for index, name in enumerate(rows.columns):
        with np.errstate(over="ignore"):
            values = rows.column(name)[order].astype(np.float32)
        values[~np.isfinite(values)] = np.nan
        features[:, index] = values
        learnt = values[: len(train)].astype(np.float64)
        known = learnt[np.isfinite(learnt)]
        spread = float(known.std()) if len(known) else 0.0
        means.append(float(known.mean()) if len(known) else 0.0)
        stds.append(spread if spread > 0 else 1.0)
        profiles[name] = numeric_profile(learnt)
    features.flush()
    learnt = target[train]
    profile = {"rows": len(train), "columns": profiles, "target": numeric_profile(learnt)}
    atomic.write_json(folder / PROFILE_FILE, profile)
    _save_array(place / TARGET_FILE, target[order].astype(np.float32))
    _save_keys(rows, folder / KEYS_FILE)
    regression = task == "regression"
    scale = float(learnt.std()) if regression else 1.0
    atomic.write_json(
        place / _MANIFEST,
        {
            "columns": rows.columns, "task": task, "train": len(train), "validation": len(validation), "mean": means, "std": stds,
            "offset": float(learnt.mean()) if regression else 0.0, "scale": scale if scale > 0 else 1.0,
        },
    )  # fmt: skip


def _split(data: TableData, seed: int, rows: Rows) -> tuple[Any, Any]:
    """Which rows to learn from and which to validate on, each in the order of the table."""
    if data.split_by == "time":
        first = table.boundary(rows, data.test_share)
        return np.arange(first), np.arange(first, rows.count)
    drawn = np.random.default_rng(seed).permutation(rows.count)
    held = max(1, round(rows.count * data.test_share))
    return np.sort(drawn[held:]), np.sort(drawn[:held])


def _check_split(data: TableData, processes: int, target: Any, train: Any, validation: Any, task: str) -> None:
    if not len(train) or not len(validation):
        why = "all rows have the same time" if data.split_by == "time" else f"{len(target)} rows cannot be split"
        raise MlctlError.of(
            "training.empty-split",
            f"the split leaves {len(train)} rows to learn from and {len(validation)} to validate on",
            why,
            "change `data.split`, or bring more data",
        )
    if len(train) < 2 * processes:
        raise MlctlError.of(
            "training.no-rows",
            f"{len(train)} rows are too few for {processes} processes",
            "each needs two at least",
            "use fewer processes, or bring more data",
        )
    if task == "binary" and len(np.unique(target[train])) < 2:
        raise MlctlError([learnable.one_class(data.target, target[train][0], len(train), "training rows")])


def _save_array(path: Path, values: Any) -> None:
    with open(path, "wb") as stream:
        np.save(stream, values)
        stream.flush()
        os.fsync(stream.fileno())


def _save_keys(rows: Rows, path: Path) -> None:
    """The keys, times and digests of all rows that were used, to hold against those of an evaluation."""
    names = [*(quote(name) for name in rows.keys), *([table.TIME] if rows.timed else []), table.ROW_DIGEST]
    with database(rows.path.parent) as connection:
        write_parquet(connection, f"SELECT {', '.join(names)} FROM {own_parquet(str(rows.path))}", path)


def copy_code(model: PythonModel, place: Path) -> None:
    """Keep the project's code as it was asked for: a training that is resumed, and the model, go on with it."""
    if place.exists():
        return
    root = Path.cwd()
    if FileDigests().tree([root / name for name in model.closure], root) != model.code_digest:
        raise MlctlError.of(
            "training.code-changed",
            f"the code of `{model.file}` changed while it was being applied",
            "the plan was made for another text",
            "run `mlctl apply` again",
        )
    beside = place.with_name(f"{place.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    for name in model.closure:
        (beside / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, beside / name)
    os.replace(beside, place)
