"""What the `stream` program is told, where it keeps the events of a view, and what it says of itself while it runs."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from mlctl.types.jobs.features import MaterializeParams

STATUS_FILE = "stream.json"  # StreamStatus, written by the program beside its job file about once a second
DEAD_LETTERS = (
    "dead-letters.jsonl"  # in the folder of the event log: {"at", "reason", "body"} for each message that is no event
)
SEQUENCE = "mlctl_sequence"  # the column of the event log that counts its events from 1, in the order they came in


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class KafkaSource(_Part):
    """A Kafka topic. Passwords are sealed in job files and outputs."""

    type: Literal["kafka"]
    servers: list[str]  # `host:port`
    ssl: bool = False
    ca_file: str | None = None  # relative to the project folder
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    username: str | None = None
    password: str | None = None


class RedisSource(_Part):
    """A Redis stream. The URL may hold a password, sealed in job files and outputs."""

    type: Literal["redis"]
    url: str


EventSource = Annotated[KafkaSource | RedisSource, Field(discriminator="type")]


class StreamJob(_Part):
    """Everything that makes one stream worker what it is: two equal jobs are the same worker."""

    stream: str
    broker: EventSource
    topic: str
    group: str  # of consumers, with the position of this worker in the topic
    lateness_seconds: float
    log: str  # the folder of the event log, relative to the project folder
    view: MaterializeParams  # how the windows are computed, and where they are served from
    served_until: str  # ISO time of the last snapshot that was online when the view was made


class StreamStatus(_Part):
    """What a worker has done since it began to count, and where it is. Times are ISO 8601 in UTC."""

    events: int = 0  # in the log
    duplicates: int = 0  # dropped, since their key was there already; those among the last events loaded
    late: int = 0  # came after their step was closed: they count from the next step or materialization on
    bad: int = 0  # in the file of dead letters
    lag: int | None = None  # messages that wait in the topic; None when the broker cannot tell
    last_event: str | None = None  # the latest event time
    last_step: str | None = None  # the last step whose windows are online
    published: int = 0  # keys written for it
    freshness_seconds: float | None = None  # from the end of that step to its values being online, lateness included
    at: str = ""


def log_folder(snapshot: str, view: str) -> str:
    """Where the events of a view's stream are kept: beside the snapshots of the view, whichever stream brings them."""
    return (PurePosixPath(snapshot).parent.parent / "streams" / view).as_posix()
