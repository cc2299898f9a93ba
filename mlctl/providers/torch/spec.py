"""The spec of a training: data, model, how it is optimised, and how its work is spread over processes."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from mlctl.provider import Block, Metadata, Reference, Spec
from mlctl.providers.torch.executors import Executor, Local
from mlctl.providers.torch.search import Search
from mlctl.providers.torch.strategies import Single, Strategy
from mlctl.types.change import FieldClass
from mlctl.types.units import MOST, Share, parse_share
from mlctl.types.value import Json

_EVERY = re.compile(r"([1-9][0-9]*)\s*(steps?|epochs?|minutes?)")
_STORAGE = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^\s?#]*)?")


def _every(text: str) -> str:
    match = _EVERY.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not an interval; write `50 steps`, `1 epochs` or `10 minutes`")
    return f"{match[1]} {match[2].removesuffix('s')}s"


def _warmup(text: object) -> object:
    """Steps of `100 steps`, or a share of all steps, `3%`."""
    if isinstance(text, str) and (match := re.fullmatch(r"([0-9]+)\s*steps?", text.strip())):
        return f"{match[1]} steps"
    try:
        return parse_share(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is not a warm-up; write `100 steps`, or a share of all steps such as `3%`"
        ) from None


def _storage(text: str) -> str:
    if not _STORAGE.fullmatch(text):
        raise ValueError(f"{text!r} is not a place in a bucket; write `s3://bucket/prefix`")
    return text.rstrip("/")


def _entrypoint(text: str) -> str:
    path, colon, function = text.rpartition(":")
    if not colon or not path.endswith(".py") or not function.isidentifier():
        raise ValueError(f"{text!r} is not an entry point; write the file and the function, `src/model.py:build`")
    return text


EntryPoint = Annotated[str, AfterValidator(_entrypoint)]  # a function of the project: `src/model.py:build`


class Split(Block):
    """Which rows are held back to validate on: the latest ones, or a random draw with the training's seed."""

    by: Literal["time", "random"] = "time"
    test: Annotated[Share, Field(gt=0, lt=1)] = 0.2


class Data(Block):
    """What is learnt from: a feature service, or feature views. Without either, the labels' own columns are the features:
    `columns`, or all that fit."""

    labels: Annotated[str, Reference("datasets")]
    features: Annotated[list[Annotated[str, Reference("feature_views")]], Field(default_factory=list)]
    service: Annotated[
        str | None,
        Reference("feature_services"),
        Field(description="The features, computed ones too, and their order; instead of `features`"),
    ] = None
    columns: Annotated[list[str] | None, Field(min_length=1)] = None
    target: str
    split: Split = Split()


class Corpus(Block):
    """A dataset as it is: text for a language model (`messages`, or `prompt` and `completion`, or `text`, each a column), or the files
    that a `python` model's own `dataset` function reads."""

    dataset: Annotated[str, Reference("datasets")]
    messages: Annotated[str | None, Field(description="A column of conversations: lists of {role, content}")] = None
    prompt: str | None = None
    completion: str | None = None
    text: str | None = None
    max_length: Annotated[int, Field(ge=8, lt=MOST, description="Tokens of a row; a longer document is cut")] = 1024
    packing: Annotated[
        bool, Field(description="Put several documents into a row, side by side, without one seeing another")
    ] = True
    loss_on: Annotated[
        Literal["completions", "all"] | None,
        Field(description="Which tokens count: the answers (the default where there are any), or all"),
    ] = None
    split: Split = Split(by="random", test=0.1)


class Mlp(Block):
    """A multi-layer perceptron with ReLU; `hidden: []` is logistic or linear regression."""

    type: Literal["mlp"]
    hidden: list[Annotated[int, Field(ge=1, lt=MOST)]]
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0


class Python(Block):
    """A function of the project, `build(features: list[str], **params) -> torch.nn.Module`, that makes the model.

    The module takes standardised features (rows, features) without missing values, and gives logits, or values for a
    regression, of shape (rows,) or (rows, 1). With `dataset`, it takes what that function's dataset gives, and `build` is
    called with `params` alone.
    """

    type: Literal["python"]
    entrypoint: EntryPoint
    params: Annotated[dict[str, Json], Field(default_factory=dict)]
    loss: Annotated[EntryPoint | None, Field(description="`loss(outputs, targets)`: one loss for each row")] = None
    metrics: Annotated[
        EntryPoint | None,
        Field(description="`metrics(outputs, targets) -> dict[str, float]` over the validation rows"),
    ] = None
    dataset: Annotated[
        EntryPoint | None,
        Field(
            description="`dataset(files, split, **params)`: a torch Dataset of (input, target); split is train or validation"
        ),
    ] = None

    @property
    def file(self) -> str:
        """The file of the entry point."""
        return self.entrypoint.rpartition(":")[0]

    @property
    def function(self) -> str:
        """The function of the entry point."""
        return self.entrypoint.rpartition(":")[2]


class AdapterUse(Block):
    """An adapter that is merged into the base before training begins; several add up by their weights."""

    path: Annotated[str, Field(description="A folder in PEFT's format, or `${training.NAME.adapter}`")]
    weight: float = 1.0


class CausalLm(Block):
    """A language model that foretells the next token, in the format of Transformers."""

    type: Literal["causal_lm"]
    base: Annotated[
        str,
        Field(
            description="A folder of the project, `${training.NAME.model}`, or with `revision` the id of a model on a hub"
        ),
    ]
    revision: Annotated[str | None, Field(description="The commit of a hub's model")] = None
    adapters: Annotated[list[AdapterUse], Field(default_factory=list)]


class Full(Block):
    """Train every weight."""

    type: Literal["full"]


class LowRank(Block):
    """What all low-rank adapters have."""

    r: Annotated[int, Field(ge=1, lt=MOST)] = 8
    alpha: Annotated[float | None, Field(gt=0, description="2 r when it is not given")] = None
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    target: Annotated[list[str] | Literal["all-linear"], Field(description="Names of modules that get an adapter")] = (
        "all-linear"
    )


class Lora(LowRank):
    """Train low-rank adapters beside frozen weights; `dora` trains the weights' magnitudes too."""

    type: Literal["lora", "dora"]


class Qlora(LowRank):
    """Train low-rank adapters beside frozen weights that are kept in 4 or 8 bits."""

    type: Literal["qlora"]
    quantization: Literal["nf4", "int8"] = "nf4"


class Galore(Block):
    """Train every weight, with the optimizer working on gradients of low rank."""

    type: Literal["galore"]
    rank: Annotated[int, Field(ge=1, lt=MOST)] = 128
    update_every: Annotated[int, Field(ge=1, lt=MOST, description="Steps between two projections")] = 200
    scale: Annotated[float, Field(gt=0)] = 0.25
    target: Annotated[list[str], Field(min_length=1, default_factory=lambda: ["attn", "mlp"])]


Method = Annotated[Full | Lora | Qlora | Galore, Field(discriminator="type")]


class Optimizer(Block):
    """How weights are updated, and how the learning rate moves. Weight decay is decoupled for adamw, and L2 for sgd."""

    type: Literal["adamw", "sgd", "adafactor", "adamw_8bit"] = "adamw"
    lr: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    betas: Annotated[
        tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] | None,
        Field(description="Of adamw; 0.9 and 0.999 when not given"),
    ] = None
    momentum: Annotated[float | None, Field(ge=0, lt=1, description="Of sgd; 0 when not given")] = None
    schedule: Annotated[
        Literal["constant", "linear", "cosine"], Field(description="How the learning rate falls to 0 after the warm-up")
    ] = "constant"
    warmup: Annotated[
        str | float | None, BeforeValidator(_warmup), Field(description="`100 steps`, or a share of all steps, `3%`")
    ] = None
    max_grad_norm: Annotated[float | None, Field(gt=0, description="Gradients are clipped to this length")] = None
    fused: Annotated[bool, Field(description="One kernel for all weights, where the device has it")] = False


class Memory(Block):
    """What is given for memory: time."""

    gradient_checkpointing: Annotated[bool, Field(description="Compute activations again instead of keeping them")] = (
        False
    )
    offload: Annotated[
        list[Literal["activations", "optimizer", "parameters"]],
        Field(default_factory=list, description="Keep in the host's memory"),
    ]
    compile: Annotated[bool, Field(description="Compile the model by torch.compile")] = False


class EarlyStopping(Block):
    """End when the validation loss has not fallen by `min_delta` for `patience` epochs, and keep the best epoch's model."""

    patience: Annotated[int, Field(ge=1, lt=MOST)]
    min_delta: Annotated[float, Field(ge=0)] = 0.0


class S3Options(Block):
    """Where a bucket is that is not on AWS."""

    endpoint_url: str | None = None
    region: str | None = None


class Checkpoint(Block):
    """How often the state of a training is saved, how many of the newest are kept, and where a copy of each goes."""

    every: Annotated[str, AfterValidator(_every)] = "1 epochs"
    keep: Annotated[int, Field(ge=1, lt=MOST)] = 2
    background: Annotated[bool, Field(description="Write while the next steps are computed")] = False
    storage: Annotated[
        Annotated[str, AfterValidator(_storage)] | None, Field(description="`s3://bucket/prefix` for a copy")
    ] = None
    s3: S3Options | None = None


class Distill(Block):
    """Learn from a teacher's token probabilities: on the text of the data, or, `on_policy`, on what the student writes itself."""

    teacher: Annotated[str, Field(description="A folder of the project, or `${training.NAME.model}`")]
    alpha: Annotated[
        float | None, Field(ge=0, le=1, description="The teacher's share of the loss; 0.5 when not given")
    ] = None
    temperature: Annotated[float, Field(gt=0)] = 1.0
    on_policy: bool = False
    beta: Annotated[
        float | None, Field(ge=0, le=1, description="On-policy: from forward (0) to reverse (1) KL; 0.5 when not given")
    ] = None
    max_new_tokens: Annotated[
        int | None, Field(ge=1, description="On-policy: what the student writes; 64 when not given")
    ] = None


class TrainingSpec(Spec):
    """One trained model. How its work is spread, in how many parts, where it runs and how often it is saved change how it is computed
    and not what is learnt (to rounding), so those fields retrain nothing."""

    data: Annotated[Data | Corpus, FieldClass.DATA]
    model: Annotated[Mlp | Python | CausalLm, Field(discriminator="type")]
    task: Literal["binary", "regression"] | None = None
    method: Method = Full(type="full")
    engine: Annotated[
        Literal["torch", "hf"] | None,
        Metadata,
        Field(
            description="hf: Transformers' Trainer; torch: plain PyTorch. The one that can do the strategy when not given"
        ),
    ] = None
    strategy: Annotated[Strategy, Metadata] = Single(type="single")
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    epochs: Annotated[int, Field(ge=1, lt=MOST)]
    max_steps: Annotated[
        int | None, Field(ge=1, lt=MOST, description="End after so many steps, if that is earlier")
    ] = None
    batch_size: Annotated[
        int, Field(ge=1, lt=MOST, description="Rows that one step learns from, over all processes")
    ] = 256
    micro_batch_size: Annotated[
        int | None,
        Metadata,
        Field(ge=1, description="Rows that a process works on at once; the gradients of several add up to one step"),
    ] = None
    optimizer: Optimizer
    memory: Annotated[Memory, Metadata] = Memory(offload=[])
    early_stopping: EarlyStopping | None = None
    checkpoint: Annotated[Checkpoint, Metadata] = Checkpoint()
    distill: Distill | None = None
    search: Search | None = None
    executor: Annotated[Executor, Metadata] = Local(type="local")
    deterministic: Annotated[bool, Field(description="Use only kernels that give the same bits every time")] = True
    seed: Annotated[int, Field(ge=0, lt=MOST)] = 0
