"""One training as far as its memory and time depend on it, for any strategy, method and device."""

from __future__ import annotations

from dataclasses import dataclass

from mlctl.estimate.devices import Device
from mlctl.estimate.shapes import LanguageShape, Shape

FP32, HALF = 4, 2
ADAPTERS = ("lora", "dora", "qlora")
ZERO = ("zero1", "zero2", "zero3")
_STATE = {"adamw": 8.0, "sgd": 0.0, "adafactor": 0.03, "adamw_8bit": 2.03}  # bytes of the optimizer for each weight


@dataclass(frozen=True, slots=True)
class Setup:
    """A model, how it is trained, and how the work is spread. A step learns from `batch` rows of `length` tokens over all
    processes, of which each works on `micro` at once, or on all of its part."""

    shape: Shape
    device: Device
    batch: int
    micro: int | None = None
    length: int = 1
    engine: str = "torch"
    method: str = "full"
    rank: int = 8
    target: tuple[str, ...] | None = (
        None  # names of matrices with an adapter, or of low rank; None means all of the blocks'
    )
    quantization: str | None = None
    strategy: str = "single"
    data: int = 1
    tensor: int = 1
    pipeline: int = 1
    microbatches: int = 1
    precision: str = "fp32"
    optimizer: str = "adamw"
    momentum: bool = False
    checkpointing: bool = False
    offload: tuple[str, ...] = ()
    teacher: LanguageShape | None = None
    hosts: int = 1  # machines that share the processes evenly
    sure: float = 1.0  # the share of a batch's tokens that there are at least: rows may be short, or fewer
    table: int = 0  # bytes of rows that are mapped into memory
    compiled: bool = False  # by torch.compile

    @property
    def processes(self) -> int:
        """All ranks together."""
        return self.data * self.tensor * self.pipeline

    @property
    def rows(self) -> int:
        """Rows that one process works on at once, before a pipeline cuts them."""
        part = -(-self.batch // self.data)
        return part if self.micro is None else min(part, self.micro)

    @property
    def micro_batches(self) -> int:
        """How often a process goes forward and back for one step."""
        return -(-self.batch // (self.data * self.rows)) * (self.microbatches if self.pipeline > 1 else 1)

    @property
    def width(self) -> int:
        """Bytes of a value in the forward pass."""
        return FP32 if self.precision == "fp32" else HALF

    @property
    def tokens(self) -> int:
        """Tokens, or rows of a table, that a process holds activations of at once."""
        return self.rows * self.length

    @property
    def together(self) -> int:
        """Processes that share one device's memory: on a CPU all of a machine's."""
        return -(-self.processes // self.hosts) if self.device.host else 1

    @property
    def parameters(self) -> int:
        """All of the model's own."""
        return self.shape.parameters

    @property
    def trained(self) -> int:
        """Parameters that are learnt."""
        if self.method in ADAPTERS and isinstance(self.shape, LanguageShape):
            return self.shape.adapters(self.rank, self.target, magnitudes=self.method == "dora")
        return self.parameters

    @property
    def state(self) -> float:
        """Bytes that the optimizer keeps of each parameter that is learnt."""
        return float(FP32) if self.optimizer == "sgd" and self.momentum else _STATE[self.optimizer]
