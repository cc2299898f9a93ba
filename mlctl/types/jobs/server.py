"""What the model server is told: the parameters of the `server` program, and the files it shares with whoever started it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from mlctl.types.jobs.features import Key, OnlineView, Store, Transformation
from mlctl.types.jobs.observe import UNOBSERVED, Observation

READY_FILE = (
    # written by the server once it takes requests: {"deployment", "release", "model", "version", "url", "host", "port"}
    "ready.json"
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
    """Where predictions are logged (a folder relative to the project), whether with their features, and for how many days they are
    kept. What is kept for ever is left out of what a server is told, so that it makes no other release."""

    folder: str
    features: bool
    keep_days: int | None = None

    @model_serializer(mode="wrap")
    def _without_default(self, given: SerializerFunctionWrapHandler) -> dict[str, Any]:
        stored: dict[str, Any] = given(self)
        if self.keep_days is None:
            stored.pop("keep_days", None)
        return stored


class Concurrency(_Part):
    """How many predictions a process works on at once, and how many may wait for that; more are told to come again."""

    max_running: int
    max_waiting: int
    retry_after_seconds: float


class AnswerCache(_Part):
    """How long an answer is given again to an equal request; in the memory of each process, or in Redis."""

    ttl_seconds: float
    max_entries: int
    url: str | None = None


class Admission(_Part):
    """What a request has to pass before a model sees it, whatever server the model has."""

    max_body_bytes: int = 1024 * 1024
    read_seconds: float = 10.0  # within which a request has to arrive
    concurrency: Concurrency | None = None
    cache: AnswerCache | None = None
    token: str | None = None  # a secret: who has it may ask; without one, everybody may


class Observed(_Part):
    """A server that can be observed; one that is not is told nothing of it, and stays the release that it was."""

    observe: Observation = UNOBSERVED
    behind_gateway: bool = False  # whether all requests come through a gateway of ours, whose headers can be believed

    @model_serializer(mode="wrap")
    def _without_default(self, given: SerializerFunctionWrapHandler) -> dict[str, Any]:
        stored: dict[str, Any] = given(self)
        if self.observe == UNOBSERVED:
            stored.pop("observe", None)
        if not self.behind_gateway:
            stored.pop("behind_gateway", None)
        return stored


class ServerJob(Observed):
    """Everything that makes one server what it is: two equal jobs are the same release."""

    deployment: str
    host: str
    port: int  # 0 for any that is free; ready.json says which
    model: ServedModel
    serving: ServedFeatures
    batching: Batching
    timeout_seconds: float
    log: PredictionLog | None
    workers: int = 1
    admission: Admission = Admission()
    # of a key that the feature store has no values for, or cannot be asked about; without them such a request is refused
    defaults: dict[str, float | None] | None = None


def server_url(host: str, port: int) -> str:
    """The address clients use; an IPv6 host stands in brackets."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
