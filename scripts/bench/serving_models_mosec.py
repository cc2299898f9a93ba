"""The mosec side of serving_models.py: `python serving_models_mosec.py --port PORT --address HOST`."""

from __future__ import annotations

import os
from typing import Any

from mosec import Server, Worker
from serving_models_peer import BATCH, answered, load, rows_of, scores


class Scorer(Worker):
    """A batch of requests at once."""

    def __init__(self) -> None:
        self.model = load(os.environ["MLCTL_BENCH_FOLDER"])

    def forward(self, data: list[Any]) -> list[Any]:
        """The rows of several requests."""
        found = scores(self.model, [row for body in data for row in rows_of(body)])
        end, made = 0, []
        for body in data:
            end += len(body["instances"])
            made.append(answered(found[end - len(body["instances"]) : end]))
        return made


if __name__ == "__main__":
    server = Server()
    server.append_worker(Scorer, num=1, max_batch_size=BATCH, max_wait_time=1)
    server.run()
