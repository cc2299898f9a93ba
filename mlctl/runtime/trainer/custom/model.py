"""A model of the project's own, and how it is loaded again. A copy of this file travels inside each model folder.

It knows only torch, safetensors and the standard library, so that a model loads where mlctl is not installed:
`from load import load; module = load()`.
"""

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model
from torch import nn

try:
    from mlctl.runtime.project_code import project_code
except ImportError:  # where mlctl is not installed, a copy of that file lies beside this one
    from mlctl_project_code import project_code  # type: ignore[import-not-found, no-redef]

CONFIG_FILE = "model.json"
WEIGHTS_FILE = "model.safetensors"
CODE_FOLDER = "code"


def build(config: dict[str, Any], code: Path) -> nn.Module:
    """The untrained module that a configuration describes; `code` holds the project's files."""
    name = config["function"]
    with project_code(code, config["file"]) as module:
        network = getattr(module, name)(**opened(config["params"]))
    if not isinstance(network, nn.Module):
        raise TypeError(f"{config['file']}:{name} returned {type(network).__name__}, not a torch.nn.Module")
    return network


def opened(params: dict[str, Any]) -> dict[str, Any]:
    """The parameters with their secrets, which no file holds: mlctl hands them to its processes by this variable."""
    values: dict[str, str] = json.loads(os.environ.get("MLCTL_SECRETS", "{}"))
    text = json.dumps(params)
    for name, value in values.items():
        text = text.replace(f"${{secret:{name}}}", json.dumps(value)[1:-1])
    found: dict[str, Any] = json.loads(text)
    return found


def load(folder: Path | None = None) -> nn.Module:
    """The trained module, ready to compute."""
    place = Path(__file__).parent if folder is None else folder
    module = build(json.loads((place / CONFIG_FILE).read_bytes()), place / CODE_FOLDER)
    load_model(module, place / WEIGHTS_FILE)
    return module.eval()


class Served:
    """A trained model as `mlflow.pyfunc` loads it: arrays in, arrays out."""

    def __init__(self, folder: Path) -> None:
        self.module = load(folder)

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """The outputs for a batch of inputs."""
        with torch.inference_mode():
            return self.module(torch.as_tensor(model_input)).numpy()


def _load_pyfunc(path: str) -> Served:
    """What mlflow.pyfunc calls with the model's data folder."""
    return Served(Path(path))
