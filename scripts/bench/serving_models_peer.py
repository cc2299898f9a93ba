"""What the sides of serving_models.py have in common: `python serving_models_peer.py FOLDER` writes the network, a request
and its answer. All peers read the same body, named features, and answer with two scores for each row.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

COLUMNS = [f"feature_{number:02d}" for number in range(32)]
BATCH = 32


def network() -> torch.nn.Sequential:
    """The same in every process."""
    torch.manual_seed(0)
    nn = torch.nn
    layers = [nn.Linear(32, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(1024, 2)).eval()


def load(folder: str) -> torch.nn.Module:
    torch.set_num_threads(1)
    made = network()
    made.load_state_dict(torch.load(Path(folder) / "weights.pt", weights_only=True))
    return made


def rows_of(body: dict[str, Any]) -> list[list[float]]:
    """The rows of a request."""
    return [[float(row[name]) for name in COLUMNS] for row in body["instances"]]


def answered(rows: Any) -> dict[str, Any]:
    return {"predictions": [{"score": row} for row in rows]}


def scores(model: torch.nn.Module, rows: Any) -> list[list[float]]:
    with torch.inference_mode():
        found: list[list[float]] = model(torch.tensor(rows, dtype=torch.float32)).tolist()
    return found


def prepare(folder: str) -> None:
    """The network as MLflow keeps it, with a signature, and as a state for the others."""
    import mlflow.pytorch
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    model = network()
    torch.save(model.state_dict(), Path(folder) / "weights.pt")
    signature = ModelSignature(
        Schema([ColSpec("double", name) for name in COLUMNS]), Schema([ColSpec("double", "a"), ColSpec("double", "b")])
    )
    mlflow.pytorch.save_model(
        model, str(Path(folder) / "model"), signature=signature, pip_requirements=[], serialization_format="pickle"
    )
    row = [round(number / 16 - 1, 4) for number in range(32)]
    (Path(folder) / "body.json").write_text(json.dumps({"instances": [dict(zip(COLUMNS, row, strict=True))]}))
    (Path(folder) / "answer.json").write_text(json.dumps(scores(model, [row])[0]))


if __name__ == "__main__":
    prepare(sys.argv[1])
