"""From the trained weights to what others use: a folder that holds them with the code and the configuration."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import torch

from mlctl.files import atomic
from mlctl.runtime import project_code
from mlctl.runtime.trainer.custom import model
from mlctl.runtime.trainer.custom.datasets import load_dataset
from mlctl.runtime.trainer.plan import PreparedCustom, RankPlan
from mlctl.runtime.trainer.project import own_metrics
from mlctl.runtime.trainer.tabular.model import weights_digest
from mlctl.runtime.trainer.torch_engine.custom_task import moved
from mlctl.runtime.trainer.weights import trained_weights, write_weights
from mlctl.types.jobs.recipe import PythonModel
from mlctl.types.value import digest_bytes

MODEL_FOLDER = "model"
DATA_FOLDER = "network"  # MLflow keeps it as `model/data/network`
_CODE = "mlctl_project_code.py"


def save_model(plan: RankPlan, folder: Path) -> str:
    """Write the model folder, an MLflow model that loads through our own small loader; gives the digest of the weights."""
    state = trained_weights(folder)
    place = folder / MODEL_FOLDER
    if not place.exists():
        stage = folder / f".{MODEL_FOLDER}.new"
        shutil.rmtree(stage, ignore_errors=True)
        network = stage / DATA_FOLDER
        write_weights(network, state)
        atomic.write_json(network / model.CONFIG_FILE, plan.model, mode=0o644)
        shutil.copytree(folder / model.CODE_FOLDER, network / model.CODE_FOLDER)
        shutil.copyfile(model.__file__, network / "load.py")
        shutil.copyfile(project_code.__file__, network / _CODE)
        _write_mlflow_format(stage, network)
        os.replace(stage / MODEL_FOLDER, place)
        shutil.rmtree(stage)
    return weights_digest(state)


def judge(asked: PythonModel, plan: RankPlan, folder: Path) -> dict[str, float]:
    """The project's own metrics of the saved model on the validation rows."""
    if asked.metrics is None or not isinstance(plan.data, PreparedCustom):
        return {}
    from torch.utils.data import default_collate

    module = model.load(folder / MODEL_FOLDER / "data" / DATA_FOLDER)
    dataset = load_dataset(folder / model.CODE_FOLDER, asked, plan.model["params"], plan.data.files, "validation")
    outputs, targets, size = [], [], plan.recipe.micro_batch_size or plan.recipe.batch_size
    with torch.inference_mode():
        for start in range(0, len(dataset), size):
            pairs = [dataset[row] for row in range(start, min(start + size, len(dataset)))]
            inputs, wanted = moved(default_collate(pairs), torch.device("cpu"))
            outputs.append(module(inputs))
            targets.append(wanted)
    return own_metrics(folder / model.CODE_FOLDER, asked.metrics, _joined(outputs), _joined(targets))


def _joined(batches: list[Any]) -> Any:
    """Batches of tensors, or of lists or mappings of tensors, as one."""
    first = batches[0]
    if isinstance(first, torch.Tensor):
        return torch.cat(batches)
    if isinstance(first, dict):
        return {name: _joined([batch[name] for batch in batches]) for name in first}
    if isinstance(first, list | tuple):
        return [_joined([batch[place] for batch in batches]) for place in range(len(first))]
    raise TypeError(f"outputs and targets must be tensors, or lists and dicts of them, and not {type(first).__name__}")


def _write_mlflow_format(stage: Path, data: Path) -> None:
    import mlflow.pyfunc

    source = Path(model.__file__).read_bytes()
    loader = f"mlctl_custom_{digest_bytes(source)[:8]}"  # models made by other versions of the loader load beside it
    code = stage / f"{loader}.py"
    code.write_bytes(source)
    shutil.copyfile(project_code.__file__, stage / _CODE)
    versions = (("mlflow", mlflow.__version__), ("torch", torch.__version__))
    requirements = [f"{name}=={version.split('+')[0]}" for name, version in versions] + ["safetensors"]
    mlflow.pyfunc.save_model(
        str(stage / MODEL_FOLDER),
        loader_module=loader,
        data_path=str(data),
        code_paths=[str(code), str(stage / _CODE)],
        pip_requirements=requirements,
    )
