"""What the model server is told: the parameters of the `server` program, and the files it shares with whoever started it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from mlctl.types.jobs.features import Key, OnlineView, Store, Transformation

READY_FILE = (
    "ready.json"  # written by the server once it takes requests: {"deployment", "release", "model", "version", "url"}
)
CONTROL_SOCKET = "control"  # where a server that takes requests hands its listening socket on to its successor


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class ServedModel(_Part):
    """The model: a folder in MLflow format, relative to the project."""

    name: str
    version: str
    folder: str


class ServedFeatures(_Part):
    """How a request becomes a row: the model's input columns in order, where those of a key are looked up, what is computed."""

    columns: list[str]
    keys: list[Key] = []  # of all views together, each once
    views: list[OnlineView] = []
    store: Store | None = None
    transformations: list[Transformation] = []


class Batching(_Part):
    """Up to `max_size` rows go through the model at once; a batch that is not full waits at most `max_wait_seconds`."""

    max_size: int
    max_wait_seconds: float


class PredictionLog(_Part):
    """Where predictions are logged (a folder relative to the project), and whether with their features."""

    folder: str
    features: bool


class ServerJob(_Part):
    """Everything that makes one server process what it is: two equal jobs are the same release."""

    deployment: str
    host: str
    port: int
    model: ServedModel
    serving: ServedFeatures
    batching: Batching
    timeout_seconds: float
    log: PredictionLog | None


def server_url(host: str, port: int) -> str:
    """The address clients use; an IPv6 host stands in brackets."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
