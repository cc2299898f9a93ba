"""From the block `engine`, a model and devices to what the estimates of serving ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlctl.estimate.devices import GIB, Device
from mlctl.estimate.kv import context_of, longest_of
from mlctl.estimate.serving import Service
from mlctl.estimate.shapes import UnknownShape
from mlctl.providers.serving.behind import Behind
from mlctl.providers.serving.spec.engines import LlmEngine, VllmEngine, XllamacppEngine

COUNTED = ("vllm", "sglang", "tgi", "tensorrt_llm", "triton", "xllamacpp")  # engines whose memory can be counted
ON_PROCESSORS = ("vllm", "xllamacpp")  # those that run without a GPU
_BY_NAME = {
    "awq": "int4", "awq_marlin": "int4", "gptq": "int4", "gptq_marlin": "int4", "marlin": "int4", "fp8": "fp8", "eetq": "int8",
    "w8a8_int8": "int8",
}  # fmt: skip
# 32 bits that are stored become 16 if nothing is said.
_DTYPES = {"auto": "half", "float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
_KEYS = "kv-cache-dtype"
_LLAMA_CPP_BATCH = 512
_BATCHED = "max-num-batched-tokens"
_STRICT = ("vllm", "sglang")  # engines that refuse requests longer than the model's places
_STRETCHING = (
    "hf-overrides",
    "rope-scaling",
    "rope-theta",
    "json-model-override-args",
)  # options that change how many there are
# Options that take memory, or spread it, in ways that are not counted.
_UNCOUNTED = (
    "pipeline-parallel-size", "pp-size", "data-parallel-size", "dp-size", "cpu-offload-gb", "speculative-config", "speculative-algorithm",
    "block-size", "page-size", "decode-context-parallel-size", "kv-transfer-config", "kv-offloading-size",
)  # fmt: skip


def service_of(engine: LlmEngine, behind: Behind, device: Device) -> Service:
    """An engine with a model on one replica's devices. Raises UnknownShape for what cannot be counted."""
    extra = {name.replace("_", "-"): value for name, value in getattr(engine, "extra", {}).items()}
    uncounted = next((name for name in _UNCOUNTED if name in extra), None)
    if uncounted is not None:
        raise UnknownShape(f"`{uncounted}` changes what each device holds, and is not counted")
    fields: Any = engine
    context = context_of(behind.config)
    length = getattr(engine, "max_model_len", None) or context
    if length is None:
        raise UnknownShape("nothing that is here says how long a request may be; set `max_model_len`")
    lora = engine.lora if isinstance(engine, VllmEngine) else None
    keys = getattr(engine, "kv_cache_gb", None)
    return Service(
        shape=behind.shape,
        keys=behind.keys,
        device=device,
        length=length,
        engine=engine.type,
        weights=weights_of(engine, behind.config),
        key_width=_key_width(engine, extra, device),
        tensor=fields.tensor_parallel,
        share=None if device.host else fields.gpu_memory,
        key_bytes=None if keys is None else float(keys * GIB),
        running=fields.max_running,
        batched=_whole(extra.get(_BATCHED)),
        graphs=getattr(engine, "compile", None) is not False,
        slots=0 if lora is None else lora.max_adapters,
        rank=0 if lora is None else lora.max_rank,
        longest=_longest(engine.type, extra, behind.config),
        unsure=_keys_in_8_bits(behind.config),
    )


def _longest(engine: str, extra: Mapping[str, Any], config: Mapping[str, Any]) -> int | None:
    """The longest request that the engine takes for the model; None where it does not ask, or that is not known."""
    return longest_of(config) if engine in _STRICT and not any(name in extra for name in _STRETCHING) else None


def of_file(engine: XllamacppEngine, behind: Behind, device: Device, size: float) -> Service:
    """llama.cpp with a file of so many bytes: it sets room aside for all requests at their longest."""
    keys = behind.keys.token(2.0) * engine.max_model_len * engine.max_running
    return Service(
        behind.shape, behind.keys, device, engine.max_model_len, engine=engine.type, key_bytes=keys, running=engine.max_running,
        batched=_LLAMA_CPP_BATCH, measured=size,
    )  # fmt: skip


def weights_of(engine: LlmEngine, config: Mapping[str, Any]) -> str:
    """How the weights are kept, by one of the names in `mlctl.estimate.serving.WEIGHTS`. Raises UnknownShape."""
    stored = _quantization(config)
    method = getattr(engine, "quantization", None) or stored.get("quant_method")
    if method is not None:
        try:
            return _quantized(str(method), stored, engine.type)
        except (AttributeError, TypeError):  # something in it is of another type than it should be
            raise UnknownShape("its `quantization_config` cannot be read") from None
    dtype = getattr(engine, "dtype", "auto")
    return _DTYPES[dtype]


def _quantization(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """How a checkpoint's weights are packed; empty for one whose weights are not. Raises UnknownShape."""
    stored = config.get("quantization_config")
    if stored is not None and not isinstance(stored, Mapping):
        raise UnknownShape("its `quantization_config` cannot be read")
    return stored or {}


def _quantized(method: str, stored: Mapping[str, Any], engine: str) -> str:
    if method in ("gptq", "gptq_marlin", "marlin") and stored.get("bits", 4) == 8:
        return "int8"
    if method == "bitsandbytes":
        return "int8" if engine == "tgi" or stored.get("load_in_8bit") else "nf4"
    if method == "modelopt":
        name = str(stored.get("quant_algo") or (stored.get("quantization") or {}).get("quant_algo") or "FP8").upper()
        return "fp4" if "FP4" in name else "fp8"
    if method == "compressed-tensors":
        return _compressed(stored)
    if method in _BY_NAME:
        return _BY_NAME[method]
    raise UnknownShape(f"weights by `{method}` are not ones that mlctl can count")


def _compressed(stored: Mapping[str, Any]) -> str:
    """By the widest of its groups."""
    groups = stored.get("config_groups")
    kept = [(item.get("weights") or {}) for item in groups.values()] if isinstance(groups, Mapping) else []
    bits = max((item.get("num_bits") or 16 for item in kept), default=0)
    floats = any(item.get("type") == "float" for item in kept)
    names = {(8, True): "fp8", (8, False): "int8", (4, True): "fp4", (4, False): "int4"}
    if (bits, floats) not in names:
        raise UnknownShape("its `quantization_config` does not say how many bits a weight has")
    return names[bits, floats]


def _key_width(engine: LlmEngine, extra: Mapping[str, Any], device: Device) -> float:
    """Bytes of a number in keys and values."""
    said = str(extra.get(_KEYS, "auto"))
    if said.startswith(("fp8", "int8")):
        return 1.0
    return 4.0 if device.host and getattr(engine, "dtype", "auto") == "float32" else 2.0


def _keys_in_8_bits(config: Mapping[str, Any]) -> bool:
    """Whether a checkpoint brings scales for keys and values in 8 bits, which engines take up or not."""
    stored = _quantization(config)
    return bool(stored.get("kv_cache_scheme") or stored.get("kv_cache_quant_algo"))


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
