"""From the last checkpoint to what others use: the model folder, its metrics, the profile of its scores."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mlctl.files import atomic
from mlctl.runtime.evaluate.metrics import score_metrics
from mlctl.runtime.trainer import checkpoint, model
from mlctl.runtime.trainer.plan import ENDED_FILE, FEATURES_FILE, TARGET_FILE, RankPlan
from mlctl.runtime.trainer.prepare import PROFILE_FILE
from mlctl.runtime.trainer.profile import numeric_profile
from mlctl.runtime.trainer.transformations import CODE_FOLDER as TRANSFORMATIONS
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.train import CHECKPOINTS
from mlctl.types.value import digest_bytes

MODEL_FOLDER = "model"
DATA_FOLDER = "network"  # MLflow keeps it as `model/data/network`
_CHUNK_ROWS = 65536


def save_model(plan: RankPlan, folder: Path, total: int) -> str:
    """Write the model folder from the checkpoint after the last of all steps; gives the digest of the weights."""
    newest = checkpoint.newest(folder / CHECKPOINTS)
    stored = checkpoint.load(newest) if newest is not None else {}
    if stored.get("step") != total:
        (folder / ENDED_FILE).unlink(missing_ok=True)  # so that the ranks are run again
        raise MlctlError.of(
            "training.checkpoint-gone",
            "the last checkpoint is gone or damaged",
            "the model is made from it",
            "run `mlctl apply` again: it goes on from the checkpoint before",
        )
    state = stored["model"]
    digest = model.weights_digest(state)
    place = folder / MODEL_FOLDER
    if not place.exists():
        stage = folder / f".{MODEL_FOLDER}.new"
        shutil.rmtree(stage, ignore_errors=True)
        data = stage / DATA_FOLDER
        data.mkdir(parents=True)
        atomic.write_json(data / model.CONFIG_FILE, plan.config, mode=0o644)
        torch.save(state, data / model.WEIGHTS_FILE)
        if (folder / model.CODE_FOLDER).exists():
            shutil.copytree(folder / model.CODE_FOLDER, data / model.CODE_FOLDER)
        _write_mlflow_format(stage, data, plan.config["columns"])
        if (folder / TRANSFORMATIONS).exists():
            shutil.copytree(folder / TRANSFORMATIONS, stage / MODEL_FOLDER / TRANSFORMATIONS)
        os.replace(stage / MODEL_FOLDER, place)
        shutil.rmtree(stage)
    return digest


def judge(plan: RankPlan, folder: Path) -> dict[str, float]:
    """Metrics of the saved model on the validation rows; their scores go into the training profile."""
    served = model.Served(folder / MODEL_FOLDER / "data" / DATA_FOLDER)
    x = np.load(Path(plan.table) / FEATURES_FILE, mmap_mode="r")
    y = np.load(Path(plan.table) / TARGET_FILE, mmap_mode="r")[plan.train :]
    score = np.concatenate(
        [served.predict(x[start : start + _CHUNK_ROWS]) for start in range(plan.train, len(x), _CHUNK_ROWS)]
    )
    profile: dict[str, Any] = json.loads((folder / PROFILE_FILE).read_bytes())
    atomic.write_json(folder / PROFILE_FILE, {**profile, "score": numeric_profile(score)})
    return score_metrics(plan.config["task"], y, score)


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
