"""Parameters of the `train` worker program."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from mlctl.types.jobs.features import FileFormat, ViewSource
from mlctl.types.jobs.tracking import TrackingTarget
from mlctl.types.value import Json

# Inside the job's folder: `step-00000450.pt`, and `step-00000450.json` which makes it count: {"step", "total", "epoch", "digest"}.
CHECKPOINTS = "checkpoints"


class TableInput(BaseModel):
    """A dataset as the kind `datasets` puts it out. Paths are relative to the project."""

    name: str
    files: list[str]
    format: FileFormat
    digest: str
    timestamp: str | None = None
    key: list[str] = []
    columns: dict[str, str]
    rows: int | None = None
    statistics: dict[str, Json] = {}

    @classmethod
    def of(cls, name: str, outputs: Any) -> TableInput:
        """From the outputs of `datasets.NAME`."""
        return cls.model_validate(
            {"name": name, **{field: outputs[field] for field in cls.model_fields if outputs.get(field) is not None}}
        )


class MlpModel(BaseModel):
    """A multi-layer perceptron of our own."""

    type: Literal["mlp"] = "mlp"
    hidden: list[int]
    dropout: float = 0.0


class PythonModel(BaseModel):
    """A function of the project that builds a torch module."""

    type: Literal["python"] = "python"
    file: str
    function: str
    params: dict[str, Json] = {}
    closure: list[str]  # every project file that `file` imports, itself included
    code_digest: str


class TrainJob(BaseModel):
    """One training, whole: what goes in, what model, how it is optimised, and where it is tracked."""

    op: Literal["train"] = "train"
    tracking: TrackingTarget
    labels: TableInput
    views: list[ViewSource]
    view_digests: dict[str, str]
    store: dict[str, Json] | None  # the feature store that serves the views online
    columns: list[str] | None  # of the labels, when there are no views; None means all that are not key, time or target
    target: str
    task: Literal["binary", "regression"] | None
    split_by: Literal["time", "random"]
    test_share: float
    model: Annotated[MlpModel | PythonModel, Field(discriminator="type")]
    strategy: Literal["single", "ddp"]
    processes: int
    precision: Literal["fp32", "bf16"]
    epochs: int
    batch_size: int  # rows of all processes together
    optimizer: Literal["adamw", "sgd"]
    lr: float
    weight_decay: float
    checkpoint_every: str  # `50 steps` or `1 epochs`
    checkpoint_keep: int
    seed: int

    def serving(self, columns: list[str]) -> dict[str, Json]:
        """How a request becomes a row of these columns, for servers and evaluations."""
        return {
            "columns": columns,
            "join_key": self.views[0].join_key if self.views else None,
            "views": [
                {"view": view.view, "features": list(view.features), "ttl_seconds": view.ttl_seconds}
                for view in self.views
            ],
            "store": self.store,
        }


class AdoptJob(BaseModel):
    """Take over a model that is in MLflow already, `models:/NAME/VERSION` or `runs:/RUN/PATH`, as what a training would have made."""

    op: Literal["adopt"] = "adopt"
    train: TrainJob
    id: str


class Candidate(BaseModel):
    """A trained model: where it is, what it reads and what it was trained on. Paths are relative to the project.

    It is put out by a training, judged by an evaluation, and kept with each registered version.
    """

    model: str
    digest: str
    run_id: str
    experiment_id: str
    model_uri: str
    keys: str
    training_profile: str
    target: str
    task: Literal["binary", "regression"]
    serving: dict[str, Json]
    views: list[ViewSource]


class ForgetRunJob(BaseModel):
    """Mark the MLflow runs of a training as deleted."""

    op: Literal["forget"] = "forget"
    tracking: TrackingTarget
