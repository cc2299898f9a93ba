"""What the `stream_predictions` program is told, and what it says of itself while it runs."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from mlctl.types.jobs.stream import EventSource
from mlctl.types.jobs.used_model import UsedModel

STATUS_FILE = "predictions.json"  # PredictionStatus, written by the program beside its job file about once a second
DEAD_LETTERS = "dead-letters.jsonl"  # in the folder above, where no topic takes them: {"id", "place", "at", "reason", "body"} a line
ID_HEADER = "mlctl-id"  # of each message that is published: the same for the same input, however often it is published


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class PredictionStreamJob(_Part):
    """Everything that makes one worker what it is: two equal jobs are the same worker."""

    name: str
    model: UsedModel
    broker: EventSource
    topic: str
    group: str  # of consumers, with the position of this worker in the topic
    output: str  # a topic
    key: str | None  # the field of a message that names it; None: its place in the topic does
    max_records: int
    max_wait_seconds: float
    on_bad: Literal["dead_letter", "stop"]
    dead_letters: str | None  # a topic; None: a file


class PredictionStatus(_Part):
    """What a worker has done since it was started, and where it is. Times are ISO 8601 in UTC."""

    predicted: int = 0
    bad: int = 0
    lag: int | None = None  # messages that wait; None when the broker cannot tell
    rate: float = 0.0  # predictions in a second, of late
    waiting: str = ""  # what it waits for, when something that it needs does not answer
    last: str | None = None  # when it published last
    at: str = ""
