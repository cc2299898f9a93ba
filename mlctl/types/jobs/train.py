"""Parameters of the `train` worker program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from mlctl.types.jobs.features import FileFormat, OnlineView, Transformation, ViewSource, keys_of
from mlctl.types.jobs.profile import Source
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
    partitions: dict[str, str] = {}
    rows: int | None = None
    statistics: dict[str, Json] = {}

    @classmethod
    def of(cls, name: str, outputs: Any) -> TableInput:
        """From the outputs of `datasets.NAME`."""
        return cls.model_validate(
            {"name": name, **{field: outputs[field] for field in cls.model_fields if outputs.get(field) is not None}}
        )

    @property
    def source(self) -> Source:
        """The rows, as programs read them."""
        return Source(files=self.files, format=self.format, columns=self.columns, partitions=self.partitions)


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
    transformations: list[Transformation] = []
    store: dict[str, Json] | None  # the feature store that serves the views online
    # what the model reads, in order; None means all features or, without views, all of the labels but key, time and target
    columns: list[str] | None
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

    def serving(self, columns: list[str], transformations: Sequence[Transformation]) -> dict[str, Json]:
        """How a request becomes a row of these columns, for servers and evaluations; with the code that goes with the model."""
        return {
            "columns": columns,
            "keys": [key.model_dump() for key in keys_of(self.views)],
            "views": [
                OnlineView(
                    view=view.view, keys=view.keys, features=list(view.features), ttl_seconds=view.ttl_seconds
                ).model_dump()
                for view in self.views
            ],
            "store": self.store,
            "transformations": [item.model_dump() for item in transformations],
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
    transformations: list[Transformation] = []

    @model_validator(mode="before")
    @classmethod
    def _of_one_key(cls, values: Any) -> Any:
        """A model that was registered when a key was one column (0.1): `join_key` beside its views, `key_type` in them."""
        serving = values.get("serving") if isinstance(values, Mapping) else None
        if not isinstance(serving, Mapping) or "join_key" not in serving:
            return values
        sources = [_with_keys(view) for view in values["views"]]
        keys = {view["view"]: view["keys"] for view in sources}
        views = [{**view, "keys": keys[view["view"]]} for view in serving["views"]]
        kept = {name: item for name, item in serving.items() if name != "join_key"}
        every = list({key["name"]: key for found in keys.values() for key in found}.values())
        return {**values, "views": sources, "serving": {**kept, "keys": every, "views": views, "transformations": []}}

    def at(self, model: str, training_profile: str) -> Candidate:
        """The same model from a copy of its files; the code of its transformations is in its folder."""
        made = [
            item.model_copy(update={"root": model + item.root.removeprefix(self.model)})
            for item in self.transformations
        ]
        serving = {**self.serving, "transformations": [item.model_dump(mode="json") for item in made]}
        return self.model_copy(
            update={"model": model, "training_profile": training_profile, "transformations": made, "serving": serving}
        )


def _with_keys(view: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: item for name, item in view.items() if name not in ("join_key", "key_type")}
    return {**kept, "keys": [{"name": view["join_key"], "type": view["key_type"]}]}


class ForgetRunJob(BaseModel):
    """Mark the MLflow runs of a training as deleted."""

    op: Literal["forget"] = "forget"
    tracking: TrackingTarget
