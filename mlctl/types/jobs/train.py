"""Parameters of the `train` worker program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter, model_validator

from mlctl.types.jobs.executors import Executor, LocalExecutor
from mlctl.types.jobs.features import FileFormat, OnlineView, Transformation, ViewSource, keys_of
from mlctl.types.jobs.profile import Source
from mlctl.types.jobs.recipe import Recipe
from mlctl.types.jobs.search import Search
from mlctl.types.jobs.tracking import TrackingTarget
from mlctl.types.value import Json

# Inside the job's folder: the folder `step-0000000450`, and `step-0000000450.json` which makes it count: {"step", "total", "epoch", "files"}.
CHECKPOINTS = "checkpoints"
CURVE_FILE = (
    "curve.bin"  # in the folder of a training: every step, in records that begin with its number, 8 bytes of them
)
CURVE_RECORD = "<qidddd"
# Outputs that name files of a trained model, as far as it has them.
FILES = ("model", "training_profile", "keys")


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


class TableData(BaseModel):
    """Rows of features and a target: labels with views joined point in time, or the labels' own columns."""

    type: Literal["table"] = "table"
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


class TextForm(BaseModel):
    """How rows are read as text: conversations, prompts with completions, or plain text. One of the three is given."""

    messages: str | None = None  # a column of lists of {role, content}
    prompt: str | None = None
    completion: str | None = None
    text: str | None = None
    max_length: int  # tokens of a row
    loss_on: Literal["completions", "all"]


class TextData(TextForm):
    """Text for a language model."""

    type: Literal["text"] = "text"
    dataset: TableInput
    packing: bool  # several documents in a row, none of which sees another
    split_by: Literal["time", "random"]
    test_share: float


class CustomData(BaseModel):
    """Files that a function of the project makes a dataset of, for a `python` model with `dataset`."""

    type: Literal["custom"] = "custom"
    dataset: TableInput


class JobLimit(BaseModel):
    """What the project's budget lets a training take, for executors that run on where nobody watches."""

    seconds: int
    by: str  # the field of the budget
    node_usd_per_hour: float | None = None  # dearer machines are not taken


class TrainJob(BaseModel):
    """One training, whole: what goes in, how it is trained, where it runs, and where it is tracked."""

    op: Literal["train"] = "train"
    tracking: TrackingTarget
    data: Annotated[TableData | TextData | CustomData, Field(discriminator="type")]
    recipe: Recipe
    executor: Executor = LocalExecutor()
    search: Search | None = None
    limit: JobLimit | None = None

    def params(self) -> dict[str, Any]:
        """The parameters of the program. Without a limit they are what they were before there were any, so that a job of then
        is joined."""
        return self.model_dump(mode="json", exclude={"limit"} if self.limit is None else None)


class AdoptJob(BaseModel):
    """Take over a model that is in MLflow already, `models:/NAME/VERSION` or `runs:/RUN/PATH`, as what a training would have made."""

    op: Literal["adopt"] = "adopt"
    train: TrainJob
    id: str


class Trained(BaseModel):
    """A trained model: where it is and what it was trained on. Paths are relative to the project.

    It is put out by a training, judged by an evaluation, and kept with each registered version.
    """

    model: str
    digest: str
    run_id: str
    experiment_id: str
    model_uri: str
    keys: str


class TableCandidate(Trained):
    """A model that reads rows of features."""

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

    @property
    def files(self) -> list[str]:
        """What has to be there to use it: the model's folder first."""
        return [self.model, self.training_profile]

    def at(self, files: Sequence[str]) -> TableCandidate:
        """The same model from copies of its files; the code of its transformations is in its folder."""
        model, training_profile = files
        made = [
            item.model_copy(update={"root": model + item.root.removeprefix(self.model)})
            for item in self.transformations
        ]
        serving = {**self.serving, "transformations": [item.model_dump(mode="json") for item in made]}
        return self.model_copy(
            update={"model": model, "training_profile": training_profile, "transformations": made, "serving": serving}
        )

    def outputs(self) -> dict[str, Json]:
        """What an evaluation puts out of a model that may be used."""
        return {
            "model": self.model,
            "model_uri": self.model_uri,
            "run_id": self.run_id,
            "serving": self.serving,
            "views": [view.model_dump(mode="json") for view in self.views],
            "training_profile": self.training_profile,
        }


class TextCandidate(Trained):
    """A language model, and what it was before: a folder, or a hub's model at a revision."""

    task: Literal["causal_lm"]
    text: TextForm
    base: str
    base_revision: str | None = None

    @property
    def files(self) -> list[str]:
        """What has to be there to use it."""
        return [self.model]

    def at(self, files: Sequence[str]) -> TextCandidate:
        """The same model from a copy of its folder."""
        return self.model_copy(update={"model": files[0]})

    def outputs(self) -> dict[str, Json]:
        """What an evaluation puts out of a model that may be used."""
        return {"model": self.model, "model_uri": self.model_uri, "run_id": self.run_id, "task": self.task}


Candidate = Annotated[TableCandidate | TextCandidate, Field(discriminator="task")]
_CANDIDATE: TypeAdapter[TableCandidate | TextCandidate] = TypeAdapter(Candidate)


def candidate_of(values: Mapping[str, Any]) -> Candidate:
    """The trained model that outputs of a training describe. Raises ValueError for one that no evaluation can judge."""
    return _CANDIDATE.validate_python(dict(values))


def _with_keys(view: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: item for name, item in view.items() if name not in ("join_key", "key_type")}
    return {**kept, "keys": [{"name": view["join_key"], "type": view["key_type"]}]}


class ForgetRunJob(BaseModel):
    """Mark the MLflow runs of a training as deleted."""

    op: Literal["forget"] = "forget"
    tracking: TrackingTarget


class StopRanksJob(BaseModel):
    """End ranks that outlived the program that started them, such as a job of a cluster. `folder` is that of the training's job."""

    op: Literal["stop_ranks"] = "stop_ranks"
    training: TrainJob
    folder: str
