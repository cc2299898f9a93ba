"""How a model is trained: all that the ranks of a training are told besides the data. Part of the `train` program's parameters."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from mlctl.types.value import Json

Strategy = Literal["single", "ddp", "fsdp", "zero1", "zero2", "zero3", "tensor", "pipeline", "3d"]
EngineName = Literal["torch", "hf"]
Precision = Literal["fp32", "bf16", "fp16"]
ZERO = ("zero1", "zero2", "zero3")


class MlpModel(BaseModel):
    """A multi-layer perceptron of our own."""

    type: Literal["mlp"] = "mlp"
    hidden: list[int]
    dropout: float = 0.0


class Function(BaseModel):
    """A function of the project that a worker calls."""

    file: str
    function: str


class PythonModel(BaseModel):
    """A function of the project that builds a torch module, and those that say how it learns."""

    type: Literal["python"] = "python"
    file: str
    function: str
    params: dict[str, Json] = {}
    loss: Function | None = None  # (outputs, targets) -> one loss for each row
    metrics: Function | None = None  # (outputs, targets) -> {name: number}, over the validation rows
    dataset: Function | None = None  # (files, split, **params) -> torch.utils.data.Dataset of (input, target)
    closure: list[str]  # every project file that these files import, themselves included
    code_digest: str


class Adapter(BaseModel):
    """A trained adapter (PEFT's format), and how much of it is added."""

    path: str
    weight: float = 1.0


class CausalLmModel(BaseModel):
    """A language model that foretells the next token: a folder with config.json and safetensors, or a hub's id."""

    type: Literal["causal_lm"] = "causal_lm"
    base: str
    digest: str | None  # of the folder's files; None for a hub's id, which `revision` pins
    revision: str | None = None
    adapters: list[Adapter] = []  # merged into the base before anything is learnt


class FullMethod(BaseModel):
    """Every weight is trained."""

    type: Literal["full"] = "full"


class LoraMethod(BaseModel):
    """Low-rank adapters beside frozen weights (Hu et al. 2021); with magnitudes (DoRA, Liu et al. 2024); on quantized weights
    (QLoRA, Dettmers et al. 2023)."""

    type: Literal["lora", "dora", "qlora"]
    r: int
    alpha: float
    dropout: float
    target: list[str] | Literal["all-linear"]
    quantization: Literal["nf4", "int8"] | None = None  # of qlora's frozen weights


class GaloreMethod(BaseModel):
    """Every weight is trained, and the optimizer works on low-rank gradients (Zhao et al. 2024)."""

    type: Literal["galore"] = "galore"
    rank: int
    update_every: int  # steps between two projections
    scale: float
    target: list[str]


Method = Annotated[FullMethod | LoraMethod | GaloreMethod, Field(discriminator="type")]


class Layout(BaseModel):
    """How one training is spread over processes. `data` x `tensor` x `pipeline` processes; ranks count tensor fastest, then
    data, then pipeline stages."""

    strategy: Strategy
    data: int = 1
    tensor: int = 1
    pipeline: int = 1
    microbatches: int = 1  # a pipeline cuts each batch of a process into so many

    @property
    def processes(self) -> int:
        """All ranks together."""
        return self.data * self.tensor * self.pipeline


class OptimizerParams(BaseModel):
    """How weights are updated, and how the learning rate moves over the steps of the whole training."""

    type: Literal["adamw", "sgd", "adafactor", "adamw_8bit"]
    lr: float
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    momentum: float = 0.0
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup_steps: int = 0
    warmup_share: float = 0.0  # of all steps; used where warmup_steps is 0
    max_grad_norm: float | None = None
    fused: bool = False


class MemoryParams(BaseModel):
    """What is given for memory: time (recomputation, transfers)."""

    gradient_checkpointing: bool = False
    offload: list[Literal["activations", "optimizer", "parameters"]] = []
    compile: bool = False


class EarlyStopping(BaseModel):
    """End when the validation loss has not fallen by `min_delta` for `patience` epochs; the best epoch's model is kept."""

    patience: int
    min_delta: float = 0.0


class Storage(BaseModel):
    """An S3 bucket and prefix that hold copies of checkpoints, or a whole job for machines that share no disk."""

    url: str  # s3://bucket/prefix
    endpoint_url: str | None = None
    region: str | None = None


class CheckpointParams(BaseModel):
    """When the state of a training is saved, how many of the newest are kept, and where a copy goes."""

    every: str  # `50 steps`, `1 epochs` or `10 minutes`
    keep: int
    background: bool = False  # written while the next steps are computed
    storage: Storage | None = None


class Distillation(BaseModel):
    """Learn from a teacher's token probabilities: on the data's own text, or on what the student writes itself (on-policy)."""

    teacher: str
    teacher_digest: str | None
    alpha: float  # the teacher's share of the loss; the rest is that of the data's own tokens
    temperature: float
    on_policy: bool = False
    beta: float = 0.5  # on-policy: between forward (0) and reverse (1) KL divergence
    max_new_tokens: int = 64


class Recipe(BaseModel):
    """One training, but for its data: model, method, engine, layout, and how long it goes on."""

    model: Annotated[MlpModel | PythonModel | CausalLmModel, Field(discriminator="type")]
    method: Method = FullMethod()
    engine: EngineName = "torch"
    layout: Layout
    precision: Precision
    epochs: int
    max_steps: int | None = None  # ends earlier than `epochs` where that is less
    batch_size: int  # rows of all processes together that one step learns from
    micro_batch_size: int | None = None  # rows that a process works on at once; None: all of its part of a batch
    optimizer: OptimizerParams
    memory: MemoryParams = MemoryParams()
    early_stopping: EarlyStopping | None = None
    checkpoint: CheckpointParams
    distillation: Distillation | None = None
    deterministic: bool = True
    seed: int
