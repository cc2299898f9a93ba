"""The memory of an engine that serves a language model: what its weights leave for keys and values, and whether it starts at all.

An engine takes a share of its device, loads the weights, runs once at its largest, and gives what is left to keys and values. It
starts when one request of the greatest length has room there. `room` is told as low, likely and high: only where not even the high
figure is enough something is refused, and only where the low one is, it is said to start.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from mlctl.estimate.devices import GIB, Device, sheet_name
from mlctl.estimate.fit import Fit
from mlctl.estimate.kv import BLOCK, Keys
from mlctl.estimate.shapes import LanguageShape
from mlctl.types.estimate import NOTHING, Range


class Stored(NamedTuple):
    """How weights are kept: bytes of one in the blocks' matrices, scales included, and of one elsewhere."""

    matrix: Range
    other: float = 2.0
    speed: int = 1  # how often faster than 16 bits a device multiplies them that can do so at all
    capability: float = 0.0  # from which on CUDA devices can


# Of packed 4 bits: a 16-bit scale and a zero for each 128 weights, or for each 32 at the most.
WEIGHTS = {
    "fp32": Stored(Range.exactly(4.0), 4.0),
    "half": Stored(Range.exactly(2.0)),  # bf16, or fp16 where a device lacks that
    "bf16": Stored(Range.exactly(2.0), capability=8.0),
    "fp16": Stored(Range.exactly(2.0)),
    "fp8": Stored(Range(1.0, 1.0, 1.04), speed=2, capability=8.9),
    "int8": Stored(Range(1.0, 1.01, 1.07), capability=7.5),
    "int4": Stored(Range(0.51, 0.52, 0.59), capability=7.5),
    "nf4": Stored(Range(0.51, 0.53, 0.57), capability=7.5),
    "fp4": Stored(Range(0.5625, 0.5625, 0.59), speed=4, capability=10.0),
}
# The share of a device that engines take if they are not told, and what there is of that uncertain.
_SHARES = {
    "vllm": Range(0.90, 0.92, 0.92),  # 0.90 until the spring of 2026
    "triton": Range(0.90, 0.90, 0.92),
    "sglang": Range(0.80, 0.87, 0.93),
    "tgi": Range(0.85, 0.93, 1.0),
    "tensorrt_llm": Range(0.85, 0.90, 0.97),
}
# Of a GPU: what the driver keeps of the memory that it reports, and what libraries take beside the framework's own: most of it
# for what several large devices exchange.
_RESERVED, _RUNTIME = Range(0.2 * GIB, 0.4 * GIB, 0.65 * GIB), Range(0.1 * GIB, 0.35 * GIB, 1.6 * GIB)
_MOST_RUNTIME = 0.045  # of a device's memory
_GRAPHS = Range(0.0, 0.5 * GIB, 1.2 * GIB)
# Of an engine on a processor, its libraries loaded and warmed up.
_HOST_RUNTIMES = {"vllm": Range(0.8e9, 2.2e9, 3.6e9), "xllamacpp": Range(0.05e9, 0.3e9, 1.2e9)}
_WORK, _LOGITS = Range(0.5, 1.0, 1.5), Range(0.0, 1.0, 4.0)  # how far the largest run strays from what is counted
_HOST_KEYS = 1.0 * GIB  # what mlctl gives vLLM on a processor
_LARGE, _LARGEST = 70 * GIB, 160 * GIB  # devices on which vLLM takes more at once
_MOST_SHARE = 0.97
_SHORTEST = 512  # a request that is worth serving
_MOST_DEVICES = 8


@dataclass(frozen=True)
class Service:
    """A language model behind an engine, on each of its replicas' devices. `length` is the most tokens of a request.

    Without slots: what is counted of it is counted once.
    """

    shape: LanguageShape
    keys: Keys
    device: Device
    length: int
    engine: str = "vllm"
    weights: str = "half"
    key_width: float = 2.0  # bytes of one number in keys and values
    tensor: int = 1
    share: float | None = None  # of the device's memory
    key_bytes: float | None = None  # for keys and values, where that is said
    running: int | None = None  # requests at once at most
    batched: int | None = None  # tokens that go through the model at once
    graphs: bool = True
    slots: int = 0  # adapters that may be at work
    rank: int = 0
    measured: float | None = None  # bytes of the weights, where a file says
    longest: int | None = None  # tokens of a request that the model has places for
    unsure: bool = False  # something that these counts know nothing of: nothing is refused, and nothing said to start

    @property
    def at_once(self) -> int:
        """Tokens that go through the model at once: what was said, or the engine's own choice for such a device."""
        if self.batched is not None:
            return self.batched
        if self.device.host or self.device.memory < _LARGE or self._is_a100:
            return 2048
        return 16_384 if self.device.memory >= _LARGEST else 8192

    @property
    def most(self) -> int:
        """Requests at once at most."""
        if self.running is not None:
            return self.running
        if self.device.host:
            return 128
        return 1024 if self.device.memory >= _LARGE and not self._is_a100 else 256

    @property
    def _is_a100(self) -> bool:
        return sheet_name(self.device).startswith("A100")

    @cached_property
    def held(self) -> Range:
        """Bytes of each device that stay beside keys and values."""
        return Range.total(parts(self).values())

    @cached_property
    def room(self) -> Range:
        """Bytes of each device for keys and values."""
        if self.key_bytes is not None or self.device.host:
            return Range.exactly(self.key_bytes or _HOST_KEYS)
        usable, held = _usable(self), self.held
        low, mid, high = usable.low - held.high, usable.mid - held.mid, usable.high - held.low
        return Range(max(0.0, low), max(0.0, mid), max(0.0, high))


def parts(service: Service) -> dict[str, Range]:
    """Bytes of one device by what they are for, all but keys and values."""
    shape, tensor = service.shape, service.tensor
    work = 2.0 * service.at_once * (3 * shape.intermediate / tensor + 3 * shape.hidden)
    logits = 4.0 * min(service.most, service.at_once) * shape.vocabulary
    found = {"weights": _weights(service), "adapters": _adapters(service), "activations": _WORK * work}
    if service.device.host:
        return {**found, "runtime": _HOST_RUNTIMES[service.engine]}
    graphs = _GRAPHS if service.graphs else NOTHING
    runtime = Range(_RUNTIME.low, _RUNTIME.mid, max(_RUNTIME.high, _MOST_RUNTIME * service.device.memory))
    return {**found, "logits": _LOGITS * logits, "graphs": graphs, "runtime": runtime}


def _weights(service: Service) -> Range:
    if service.measured is not None:
        return Range.exactly(service.measured)
    stored, shape = WEIGHTS[service.weights], service.shape
    packed = stored.matrix * shape.matrices
    other = stored.other * (shape.parameters - shape.matrices)
    return (packed + Range.exactly(other)) * (1 / service.tensor)


def _adapters(service: Service) -> Range:
    """Room for adapters at their largest rank beside every matrix; of two factors one may be whole on each device."""
    if not service.slots:
        return NOTHING
    size = 2.0 * service.slots * service.shape.adapters(service.rank, None)
    return Range(size / service.tensor, size / service.tensor, size)


def _usable(service: Service) -> Range:
    """What the engine takes of a device."""
    memory = service.device.memory
    share = _SHARES.get(service.engine, Range(0.8, 0.9, 1.0)) if service.share is None else Range.exactly(service.share)
    low, mid, high = (max(0.0, memory - part) for part in (_RESERVED.high, _RESERVED.mid, _RESERVED.low))
    return Range(share.low * low, share.mid * mid, share.high * high)


def request_bytes(service: Service, length: int | None = None) -> float:
    """Bytes of each device for one request of a length, or of the greatest."""
    return service.keys.request(length or service.length, service.key_width, service.tensor, batched=service.at_once)


def needed(service: Service, requests: float = 1.0) -> Range:
    """Bytes of each device with so many requests of the greatest length at once; on a processor, with what is set aside for them."""
    if service.device.host or service.key_bytes is not None:
        return service.held + service.room
    return service.held + Range.exactly(request_bytes(service) * requests)


def unshared(shape: LanguageShape, tensor: int) -> str:
    """Why layers cannot be spread over so many devices; empty where they can. Each has whole heads and an equal part of the rest;
    keys and values are in turn shared by devices where there are fewer of them."""
    if shape.heads % tensor:
        return f"{shape.heads} attention heads cannot be shared evenly by {tensor} devices"
    if shape.kv_heads % tensor and tensor % shape.kv_heads:
        return f"{shape.kv_heads} heads of keys and values cannot be shared evenly by {tensor} devices"
    if shape.intermediate % tensor:
        return f"{shape.intermediate} columns of the feed-forward layers cannot be shared evenly by {tensor} devices"
    return ""


def starts(service: Service) -> Fit:
    """Whether the engine comes up: with room for one request of the greatest length, and all of it within the device."""
    if unshared(service.shape, service.tensor):
        return Fit.NEVER
    if service.unsure:
        return Fit.MAY
    found, least = service.room, request_bytes(service)
    if found.high < least:
        return Fit.NEVER
    if service.device.host or service.key_bytes is not None:
        capacity = service.device.memory - (0.0 if service.device.host else _RESERVED.low)
        taken = needed(service)
        if taken.low > capacity:
            return Fit.NEVER
        return Fit.FITS if taken.high <= capacity else Fit.MAY
    return Fit.FITS if found.low >= least else Fit.MAY


def tokens(service: Service) -> Range:
    """Tokens of all requests together that have room, in blocks; short ones where layers look back only so far."""
    each = service.keys.token(service.key_width, service.tensor) * BLOCK
    found = service.room
    low, mid, high = (BLOCK * float(value // each) for value in (found.low, found.mid, found.high))
    return Range(low, mid, high)


def concurrency(service: Service, length: int | None = None) -> Range:
    """Requests of a length, or of the greatest, that have room at once; no more than the engine takes."""
    least, found = request_bytes(service, length), service.room
    low, mid, high = (min(float(service.most), value / least) for value in (found.low, found.mid, found.high))
    return Range(low, mid, high)


class Way(NamedTuple):
    """One thing to change, as it is written below `serve.engine`, and what would come of it."""

    change: str
    service: Service
    fit: Fit


def ways(service: Service) -> list[Way]:
    """What would make an engine start that does not; those that surely do come first."""
    found = [Way(change, other, starts(other)) for change, other in _others(service)]
    able = [item for item in found if item.fit is not Fit.NEVER]
    return sorted(able, key=lambda item: item.fit is not Fit.FITS)


def _others(service: Service) -> Iterator[tuple[str, Service]]:
    """The same engine with one thing changed."""
    if service.engine == "xllamacpp":
        yield from _fewer(service)
        return
    shorter = _shorter(service, service.room.low) or _shorter(service, service.room.mid)
    if shorter is not None:
        yield f"max_model_len: {shorter}", replace(service, length=shorter)
    if service.key_bytes is not None or service.device.host:
        gibibytes = max(1, int(-(-request_bytes(service) // GIB)))
        if gibibytes * GIB != (service.key_bytes or _HOST_KEYS):
            yield f"kv_cache_gb: {gibibytes}", replace(service, key_bytes=float(gibibytes * GIB))
    if not service.device.host:
        yield from _on_gpus(service)


def _fewer(service: Service) -> Iterator[tuple[str, Service]]:
    """An engine that sets room aside for all requests at their longest, with half of that and less."""
    each = (service.key_bytes or 0.0) / service.most
    for parts_of in (2, 4, 8):
        fewer = service.most // parts_of
        if fewer:
            yield f"max_running: {fewer}", replace(service, running=fewer, key_bytes=each * fewer)


def _on_gpus(service: Service) -> Iterator[tuple[str, Service]]:
    in_8_bits = (service.device.capability or 0.0) >= WEIGHTS["fp8"].capability
    for count in (2, 4, _MOST_DEVICES):
        if service.tensor < count <= service.device.count:
            yield f"tensor_parallel: {count}", replace(service, tensor=count)
    if service.engine == "vllm" and service.weights in ("half", "bf16", "fp16"):
        if in_8_bits:
            yield "quantization: fp8", replace(service, weights="fp8")
        if (service.device.capability or 0.0) >= WEIGHTS["nf4"].capability:
            yield "quantization: bitsandbytes", replace(service, weights="nf4")
    if service.engine == "vllm" and service.key_width == 2.0 and in_8_bits:
        yield "extra: {kv-cache-dtype: fp8}", replace(service, key_width=1.0)
    if service.key_bytes is None and _usable(service).mid < _MOST_SHARE * service.device.memory:
        yield f"gpu_memory: {_MOST_SHARE}", replace(service, share=_MOST_SHARE)


def _shorter(service: Service, bytes_left: float) -> int | None:
    """The greatest length that has room in so much, as a multiple of 256; None where hardly anything has."""
    fits, beyond = 0, service.length
    while beyond - fits > 1:
        middle = (fits + beyond) // 2
        if request_bytes(service, middle) <= bytes_left:
            fits = middle
        else:
            beyond = middle
    length = min(fits, service.longest or fits) // 256 * 256
    return length if _SHORTEST <= length < service.length else None
