"""The trained module and how it is loaded to serve. A copy of this file travels inside each model folder.

It knows only torch, numpy and the standard library, so that a model loads where mlctl is not installed, and an old
model by the code it was made with.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mlctl.runtime.project_code import project_code

CONFIG_FILE = "model.json"
WEIGHTS_FILE = "weights.pt"
CODE_FOLDER = "code"


class RawFeatures(nn.Module):  # type: ignore[misc]  # torch is not typed here
    """A network behind its own preprocessing: raw features in, NaN where one is missing; logits or values out, shape (rows,).

    A missing value becomes the mean of the training rows. Regression values come out in units of the target.
    """

    mean: torch.Tensor
    std: torch.Tensor
    offset: torch.Tensor
    scale: torch.Tensor

    def __init__(self, network: nn.Module, features: int) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))
        self.register_buffer("offset", torch.zeros(()))
        self.register_buffer("scale", torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Standardise, run the network, and put its output on the target's scale."""
        standard = torch.nan_to_num((x - self.mean) / self.std, nan=0.0)
        out: torch.Tensor = self.network(standard).float()
        if out.shape not in ((len(x),), (len(x), 1)):
            raise ValueError(
                f"the model gave an output of shape {tuple(out.shape)} for {len(x)} rows; it must be (rows,) or (rows, 1)"
            )
        return out.reshape(-1) * self.scale + self.offset


def build(config: dict[str, Any], code: Path) -> RawFeatures:
    """The untrained module that a configuration describes; `code` holds the project files of a `python` model."""
    columns: list[str] = config["columns"]
    if config["type"] == "mlp":
        network = _mlp(len(columns), config["hidden"], config["dropout"])
    else:
        with project_code(code, config["file"]) as module:
            network = getattr(module, config["function"])(list(columns), **_opened(config["params"]))
        if not isinstance(network, nn.Module):
            raise TypeError(
                f"{config['file']}:{config['function']} returned {type(network).__name__}, not a torch.nn.Module"
            )
    return RawFeatures(network, len(columns))


def _opened(params: dict[str, Any]) -> dict[str, Any]:
    """The parameters with their secrets, which the file does not hold: mlctl hands them to its processes by this variable."""
    values: dict[str, str] = json.loads(os.environ.get("MLCTL_SECRETS", "{}"))
    text = json.dumps(params)
    for name, value in values.items():
        text = text.replace(f"${{secret:{name}}}", json.dumps(value)[1:-1])
    opened: dict[str, Any] = json.loads(text)
    return opened


def _mlp(width: int, hidden: list[int], dropout: float) -> nn.Module:
    layers: list[nn.Module] = []
    for size in hidden:
        layers += [nn.Linear(width, size), nn.ReLU()]
        if dropout:
            layers.append(nn.Dropout(dropout))
        width = size
    return nn.Sequential(*layers, nn.Linear(width, 1))


def weights_digest(state: dict[str, torch.Tensor]) -> str:
    """A digest of names, types, shapes and bytes of all tensors; the same weights give the same 32 hex digits."""
    total = hashlib.blake2b(digest_size=16)
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        total.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


class Served:
    """A trained model as `mlflow.pyfunc` serves it: one number a row, a probability for a binary task."""

    def __init__(self, folder: Path) -> None:
        self.config: dict[str, Any] = json.loads((folder / CONFIG_FILE).read_bytes())
        self.columns: list[str] = self.config["columns"]
        self.module = build(self.config, folder / CODE_FOLDER)
        self.module.load_state_dict(torch.load(folder / WEIGHTS_FILE, map_location="cpu", weights_only=True))
        self.module.eval()

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """Scores of a data frame with the model's columns, or of rows of numbers in their order. Missing values are NaN or None."""
        if hasattr(model_input, "columns"):
            model_input = model_input[self.columns].to_numpy(dtype=np.float64, na_value=np.nan)
        with np.errstate(over="ignore"):
            raw = np.asarray(model_input, dtype=np.float64).astype(np.float32).reshape(-1, len(self.columns))
        rows = torch.from_numpy(np.where(np.isfinite(raw), raw, np.float32(np.nan)))
        with torch.inference_mode():
            out = self.module(rows)
            return (torch.sigmoid(out) if self.config["task"] == "binary" else out).numpy().astype(np.float64)


def _load_pyfunc(path: str) -> Served:
    """What mlflow.pyfunc calls with the model's data folder."""
    return Served(Path(path))
