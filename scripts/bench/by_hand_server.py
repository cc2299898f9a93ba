"""The model server of by_hand.py: `uvicorn by_hand_server:app`, with the folder of the run in BY_HAND_WORK."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow
import mlflow.pytorch
import torch
from fastapi import FastAPI, HTTPException
from feast import FeatureStore, RepoConfig
from pydantic import BaseModel

WORK = Path(os.environ["BY_HAND_WORK"])
SETTINGS = json.loads((WORK / "server.json").read_text())
mlflow.set_tracking_uri(SETTINGS["uri"])
torch.set_num_threads(1)
store = FeatureStore(config=RepoConfig(**SETTINGS["store"]))
model = mlflow.pytorch.load_model("models:/shops@champion")
log = open(WORK / "predictions.jsonl", "a", buffering=1)  # noqa: SIM115  # open for as long as the server lives
app = FastAPI()


class Asked(BaseModel):
    """Whom to predict for."""

    household_id: int


@app.post("/predict")
def predict(asked: Asked) -> dict[str, Any]:
    """The features as of now from the online store, the model's score, and a line in the log."""
    began = time.perf_counter()
    found = store.get_online_features(
        [f"shopping:{name}" for name in SETTINGS["features"]], [asked.model_dump()]
    ).to_dict()
    features = {name: found[name][0] for name in SETTINGS["features"]}
    if all(value is None for value in features.values()):
        raise HTTPException(404, "unknown household")
    row = torch.tensor([[float("nan") if value is None else float(value) for value in features.values()]])
    with torch.inference_mode():
        score = float(torch.sigmoid(model(row))[0])
    answer = {**asked.model_dump(), "score": score, "prediction": int(score >= 0.5)}
    line = {
        "ts": datetime.now(UTC).isoformat(),
        "features": features,
        **answer,
        "latency_seconds": time.perf_counter() - began,
    }
    log.write(json.dumps(line) + "\n")
    return answer
