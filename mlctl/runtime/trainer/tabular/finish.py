"""From the trained weights to what others use: the model folder, its metrics, the profile of its scores."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mlctl.files import atomic
from mlctl.runtime.evaluate.metrics import score_metrics
from mlctl.runtime.trainer.plan import FEATURES_FILE, TARGET_FILE, PreparedTable, RankPlan
from mlctl.runtime.trainer.project import own_metrics
from mlctl.runtime.trainer.tabular import model, remarks
from mlctl.runtime.trainer.tabular.prepare import PROFILE_FILE
from mlctl.runtime.trainer.tabular.profile import numeric_profile
from mlctl.runtime.trainer.tabular.transformations import CODE_FOLDER as TRANSFORMATIONS
from mlctl.runtime.trainer.weights import trained_weights
from mlctl.types.jobs.recipe import PythonModel
from mlctl.types.value import digest_bytes

MODEL_FOLDER = "model"
DATA_FOLDER = "network"  # MLflow keeps it as `model/data/network`
_CHUNK_ROWS = 65536


def save_model(plan: RankPlan, data: PreparedTable, folder: Path) -> str:
    """Write the model folder from the trained weights; gives their digest. Raises MlctlError."""
    state = trained_weights(folder)
    digest = model.weights_digest(state)
    place = folder / MODEL_FOLDER
    if not place.exists():
        stage = folder / f".{MODEL_FOLDER}.new"
        shutil.rmtree(stage, ignore_errors=True)
        network = stage / DATA_FOLDER
        network.mkdir(parents=True)
        atomic.write_json(network / model.CONFIG_FILE, plan.model, mode=0o644)
        torch.save(state, network / model.WEIGHTS_FILE)
        if (folder / model.CODE_FOLDER).exists():
            shutil.copytree(folder / model.CODE_FOLDER, network / model.CODE_FOLDER)
        _write_mlflow_format(stage, network, data.columns)
        if (folder / TRANSFORMATIONS).exists():
            shutil.copytree(folder / TRANSFORMATIONS, stage / MODEL_FOLDER / TRANSFORMATIONS)
        os.replace(stage / MODEL_FOLDER, place)
        shutil.rmtree(stage)
    return digest


@dataclass(frozen=True, slots=True)
class Judged:
    """What is said of a saved model: its metrics, what is remarkable, and of two classes the share of the more frequent one."""

    metrics: dict[str, float]
    remarks: list[remarks.Remark]
    base_rate: float | None


def judge(plan: RankPlan, data: PreparedTable, folder: Path, target: str) -> Judged:
    """Judge the saved model on the validation rows, by the project's own metrics too; their scores go into the training profile."""
    served = model.Served(folder / MODEL_FOLDER / "data" / DATA_FOLDER)
    x = np.load(Path(data.folder) / FEATURES_FILE, mmap_mode="r")
    y = np.load(Path(data.folder) / TARGET_FILE, mmap_mode="r")[data.train :]
    chunks = [x[start : start + _CHUNK_ROWS] for start in range(data.train, len(x), _CHUNK_ROWS)]
    score = np.concatenate([served.predict(chunk) for chunk in chunks])
    profile: dict[str, Any] = json.loads((folder / PROFILE_FILE).read_bytes())
    atomic.write_json(folder / PROFILE_FILE, {**profile, "score": numeric_profile(score)})
    metrics = score_metrics(data.task, y, score)
    asked = plan.recipe.model
    if isinstance(asked, PythonModel) and asked.metrics is not None:
        with torch.inference_mode():
            outputs = torch.cat([served.module(torch.from_numpy(np.array(chunk))) for chunk in chunks])
        metrics |= own_metrics(folder / model.CODE_FOLDER, asked.metrics, outputs, torch.from_numpy(np.array(y)))
    found = remarks.leaking(data.columns, x[data.train :], y, data.task, data.mean)
    found += remarks.one_class(target, data.task, score, y)
    rate = remarks.base_rate(y) if data.task == "binary" else None
    return Judged(metrics, [*found, *remarks.kept(Path(data.folder))], rate)


def _write_mlflow_format(stage: Path, data: Path, columns: list[str]) -> None:
    """An MLflow model that loads through our own small loader, shipped with it, from tensors and JSON: nothing is unpickled."""
    import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    source = Path(model.__file__).read_bytes()
    loader = (
        f"mlctl_model_{digest_bytes(source)[:8]}"  # models made by other versions of the loader can be loaded beside it
    )
    code = stage / f"{loader}.py"
    code.write_bytes(source)
    signature = ModelSignature(
        Schema([ColSpec("double", name) for name in columns]), Schema([ColSpec("double", "score")])
    )
    requirements = [
        f"{name}=={version.split('+')[0]}"
        for name, version in (("mlflow", mlflow.__version__), ("torch", torch.__version__), ("numpy", np.__version__))
    ]
    mlflow.pyfunc.save_model(
        str(stage / MODEL_FOLDER),
        loader_module=loader,
        data_path=str(data),
        code_paths=[str(code)],
        signature=signature,
        pip_requirements=requirements,
    )
