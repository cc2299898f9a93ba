"""Make two small models in MLflow format: `python make_models.py FOLDER` writes FOLDER/one and FOLDER/two.

Both give sigmoid(a * amount + b * visits), so a test can say which model answered, and whether it was right. A missing
amount counts as 0. `one` is a torch module, `two` a Python function model. `bad` loads and then raises.

`tricky` hangs for as many seconds as a visit of 1000 and more has above that, and gives no number for one of -1. `greedy`
wants 16 GiB when it is loaded. `tree` is of scikit-learn, with columns of every type.
"""

import sys
import time
from pathlib import Path

import mlflow
import mlflow.pyfunc
import mlflow.pytorch
import mlflow.sklearn
import numpy as np
import pandas as pd
import torch
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

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


class Tricky(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        visits = np.asarray(model_input, dtype=np.float64)[:, 1]
        time.sleep(max(0.0, float(np.nanmax(visits)) - 1000))
        return np.where(visits == -1, np.nan, 0.5)


class Greedy(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.everything = np.ones(2**31)

    def predict(self, context, model_input, params=None):
        return np.zeros(len(model_input))


def make_tree(folder: Path) -> None:
    """Says `yes` when the visits are at least 2 and the shop is `a`."""
    rows = [
        {"visits": visits, "amount": 0.5, "new": new, "shop": shop}
        for visits in range(5)
        for new in (True, False)
        for shop in "ab"
    ]
    table = pd.DataFrame(rows).astype({"visits": "int64", "amount": "float64", "new": "bool"})
    labels = np.where((table.visits >= 2) & (table["shop"] == "a"), "yes", "no")
    columns = ColumnTransformer([("shop", OneHotEncoder(), ["shop"])], remainder="passthrough")
    tree = make_pipeline(columns, DecisionTreeClassifier(random_state=0)).fit(table, labels)
    types = {"visits": "long", "amount": "double", "new": "boolean", "shop": "string"}
    signature = ModelSignature(
        Schema([ColSpec(kind, name) for name, kind in types.items()]), Schema([ColSpec("string")])
    )
    mlflow.sklearn.save_model(
        tree, folder, signature=signature, pip_requirements=[], serialization_format="cloudpickle"
    )


def main(folder: Path) -> None:
    here = [str(Path(__file__))]
    kept = {"pip_requirements": [], "code_paths": here}
    mlflow.pytorch.save_model(
        Scorer(WEIGHTS["one"]), folder / "one", serialization_format="pickle", metadata={"task": "binary"}, **kept
    )
    mlflow.pyfunc.save_model(folder / "two", python_model=Function(), **kept)
    for name, model in (("bad", Broken()), ("tricky", Tricky()), ("greedy", Greedy())):
        mlflow.pyfunc.save_model(folder / name, python_model=model, **kept)
    make_tree(folder / "tree")


if __name__ == "__main__":
    import make_models  # the classes are pickled by reference: as those of a module, and not of __main__

    make_models.main(Path(sys.argv[1]))
