from __future__ import annotations

import pytest

from tests.integration.training.project import Project

# What somebody without mlctl does: fit two models and log them, the second in the registry, all in an experiment of their own.
FOREIGN = """
import mlflow, numpy as np, pandas as pd
from mlflow.models import infer_signature

class Logistic(mlflow.pyfunc.PythonModel):
    def __init__(self, columns): self.columns = columns
    def predict(self, context, model_input, params=None):
        score = model_input["amount"].fillna(1.0) - 1
        return 1 / (1 + np.exp(-2.5 * score.to_numpy()))

def log(columns, signed=True, **params):
    rows = pd.DataFrame([[0.5] * len(columns)], columns=columns)
    with mlflow.start_run(experiment_id=experiment) as run:
        mlflow.log_params(params)
        signature = infer_signature(rows, np.array([0.5])) if signed else None
        mlflow.pyfunc.log_model(artifact_path="model", python_model=Logistic(columns), signature=signature)
    return run.info.run_id

mlflow.set_tracking_uri("sqlite:///.mlctl/mlflow.db")
experiment = mlflow.create_experiment("theirs", artifact_location=__import__("pathlib").Path("theirs").resolve().as_uri())
result = {
    "good": log(["items", "amount"], target="shops"),
    "columns": log(["amount", "other"]),
    "target": log(["amount", "items"], target="age"),
    "unsigned": log(["amount", "items"], signed=False),
}
client.create_registered_model("churn", tags={"team": "theirs"})
for name in ("columns", "good"):
    client.create_model_version("churn", f"runs:/{result[name]}/model", run_id=result[name])
client.set_registered_model_alias("churn", "champion", "2")
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A folder whose MLflow database holds runs and a registered model of somebody else."""
    made = Project(tmp_path_factory.mktemp("imports"))
    made.train("training.ours")
    made.foreign = made.mlflow(FOREIGN)
    return made
