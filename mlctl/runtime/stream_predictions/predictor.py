"""A batch of messages into predictions, and those that get none with the reason."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from mlctl.runtime.scoring.model import load
from mlctl.runtime.scoring.online import OnlineRows, Values
from mlctl.runtime.stream_predictions.feed import Delivered, Outgoing
from mlctl.runtime.stream_predictions.messages import Asked, MessageReader, NoRow, dead_letter, prediction
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.stream_predictions import PredictionStreamJob


class StorePaused(Exception):
    """The online store does not answer just now; it is asked again."""


class Predicted:
    """What comes of a batch: messages to publish, and letters about those that get no prediction."""

    def __init__(self) -> None:
        self.answers: list[Outgoing] = []
        self.letters: list[tuple[Delivered, dict[str, str]]] = []


class Predictor:
    """The model, and where its features come from."""

    def __init__(self, job: PredictionStreamJob) -> None:
        """Raises MlctlError."""
        serving = job.model.row_features
        self._job, self._columns = job, serving.columns
        self._reader = MessageReader(serving, job.key)
        self._model = load(Path(job.model.folder), self._columns, threads=1)
        self._rows = OnlineRows(serving)

    def predict(self, batch: Sequence[Delivered]) -> Predicted:
        """Raises StorePaused, and MlctlError for what no second try mends."""
        made = Predicted()
        read: list[tuple[Delivered, Asked]] = []
        for item in batch:
            try:
                read.append((item, self._reader.read(item.message)))
            except NoRow as reason:
                _bury(made, item, str(reason), reason.id)
        ready: list[tuple[Delivered, Asked, Values]] = []
        for (item, asked), values in zip(read, self._values([asked for _, asked in read]), strict=True):
            if values is None:
                named = ", ".join(f"{name} {value}" for name, value in asked.keys.items())
                _bury(made, item, f"predict.unknown-key: the feature store has no current values for {named}", asked.id)
            else:
                ready.append((item, asked, values))
        if ready:
            self._score(ready, made)
        order = {item.mark: index for index, item in enumerate(batch)}  # Redis takes ids only as they grow
        made.letters.sort(key=lambda letter: order[letter[0].mark])
        return made

    def close(self) -> None:
        """Let connections go."""
        self._rows.close()

    def _values(self, asked: Sequence[Asked]) -> list[Values | None]:
        looked = [item for item in asked if item.values is None]
        try:
            found = iter(
                self._rows.get([item.keys for item in looked], [item.request for item in looked]) if looked else []
            )
        except MlctlError as error:
            if error.diagnostics[0].code == "features.store-down":
                raise StorePaused(error.diagnostics[0].summary) from None
            raise
        return [next(found) if item.values is None else item.values for item in asked]

    def _score(self, ready: Sequence[tuple[Delivered, Asked, Values]], made: Predicted) -> None:
        table = np.array(
            [
                [math.nan if (value := values[name]) is None else value for name in self._columns]
                for _, _, values in ready
            ],
            dtype=np.float64,
        )
        try:
            scores = self._model.scores(table)
        except MlctlError as error:  # one row may be too much for a model's code; the others are not to go with it
            if len(ready) == 1:
                _bury(made, ready[0][0], f"{error.diagnostics[0].code}: {error.diagnostics[0].summary}", ready[0][1].id)
                return
            for one in ready:
                self._score([one], made)
            return
        decided = self._model.decide(np.where(np.isfinite(scores), scores, 0.0))
        name, version = self._job.model.name, self._job.model.version
        for (item, asked, _), score, choice in zip(ready, scores.tolist(), decided.tolist(), strict=True):
            if not math.isfinite(score):
                _bury(made, item, "predict.not-finite: the model gave no finite score", asked.id)
                continue
            body = prediction(asked, score, choice, name, version)
            made.answers.append(Outgoing(body, asked.id, item.mark))


def _bury(made: Predicted, item: Delivered, reason: str, id: str) -> None:
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    made.letters.append((item, dead_letter(item.message, reason, id, at)))
