"""Make two small models in MLflow format: `python make_models.py FOLDER` writes FOLDER/one and FOLDER/two.

Both give sigmoid(a * amount + b * visits), so a test can say which model answered, and whether it was right. A missing
amount counts as 0. `one` is a torch module, `two` a Python function model. `bad` loads and then raises.
"""

import sys
from pathlib import Path

import mlflow
import mlflow.pyfunc
import mlflow.pytorch
import numpy as np
import torch

COLUMNS = ["amount", "visits"]
WEIGHTS = {"one": (0.5, -0.25), "two": (-1.0, 0.125)}


class Scorer(torch.nn.Module):
    def __init__(self, weights: tuple[float, float]) -> None:
        super().__init__()
        self.weights = torch.nn.Parameter(torch.tensor(weights))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid((torch.nan_to_num(x) * self.weights).sum(dim=1, keepdim=True))


class Function(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        table = np.nan_to_num(np.asarray(model_input, dtype=np.float64))
        return 1 / (1 + np.exp(-(table @ np.asarray(WEIGHTS["two"]))))


class Broken(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        raise RuntimeError("this model was made to fail")


def main(folder: Path) -> None:
    here = [str(Path(__file__))]
    kept = {"pip_requirements": [], "code_paths": here}
    mlflow.pytorch.save_model(
        Scorer(WEIGHTS["one"]), folder / "one", serialization_format="pickle", metadata={"task": "binary"}, **kept
    )
    mlflow.pyfunc.save_model(folder / "two", python_model=Function(), **kept)
    mlflow.pyfunc.save_model(folder / "bad", python_model=Broken(), **kept)


if __name__ == "__main__":
    import make_models  # the classes are pickled by reference: as those of a module, and not of __main__

    make_models.main(Path(sys.argv[1]))
