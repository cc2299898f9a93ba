"""The LitServe side of serving_models.py: `python serving_models_litserve.py PORT`."""

from __future__ import annotations

import os
import sys
from typing import Any

import litserve
from serving_models_peer import BATCH, answered, load, rows_of, scores


class Scorer(litserve.LitAPI):
    """Requests of one row each, put together by LitServe."""

    def setup(self, device: str) -> None:
        self.model = load(os.environ["MLCTL_BENCH_FOLDER"])

    def decode_request(self, request):  # without types: LitServe would take them for those of query parameters
        return rows_of(request)[0]

    def batch(self, inputs: list[Any]) -> Any:
        return inputs

    def predict(self, x: Any) -> Any:
        return scores(self.model, x)

    def unbatch(self, output: Any) -> Any:
        return output

    def encode_response(self, output: Any) -> Any:
        return answered([output])


if __name__ == "__main__":
    api = Scorer(max_batch_size=BATCH, batch_timeout=0.001)
    litserve.LitServer(api, accelerator="cpu", workers_per_device=1).run(
        port=int(sys.argv[1]), host="127.0.0.1", generate_client_file=False, log_level="warning"
    )
