"""The BentoML side of serving_models.py."""

from __future__ import annotations

import os
from typing import Any

import bentoml
from serving_models_peer import BATCH, answered, load, rows_of, scores


@bentoml.service(workers=1)
class Scorer:
    """One batchable method behind one that takes the body as it is."""

    def __init__(self) -> None:
        self.model = load(os.environ["MLCTL_BENCH_FOLDER"])

    @bentoml.api(route="/predict", batchable=True, max_batch_size=BATCH, max_latency_ms=1000)
    def predict(self, instances: list[dict[str, float]]) -> list[dict[str, Any]]:
        """The rows of several requests."""
        return answered(scores(self.model, rows_of({"instances": instances})))["predictions"]
