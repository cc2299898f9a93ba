"""Which devices an engine has a build for, and can compute with its weights on."""

from __future__ import annotations

from mlctl.estimate.devices import Device
from mlctl.estimate.serving import WEIGHTS, Service

# What engines have builds for.
_BUILDS = {
    "vllm": ("nvidia", "amd", "host"), "sglang": ("nvidia", "amd"), "tgi": ("nvidia", "amd"), "tensorrt_llm": ("nvidia",),
    "triton": ("nvidia",), "xllamacpp": ("host",),
}  # fmt: skip
# Weights that there is no way to compute with.
_NOT_ON = {"amd": ("fp4", "nf4"), "host": ("fp8", "fp4", "nf4", "int8")}


def unsupported(service: Service, device: Device) -> str:
    """What an engine or its weights ask of a device and this one has not; empty where nothing is lacking."""
    engine, weights = service.engine, service.weights
    what = "host" if device.host else device.maker
    if what and what not in _BUILDS[engine]:
        return f"`{engine}` has no build for {'processors' if device.host else device.name}"
    if weights in _NOT_ON.get(what, ()):
        return f"weights in {weights} are not for {'processors' if device.host else device.name}"
    if what != "nvidia" or device.capability is None:
        return ""
    capability = device.capability
    if capability < WEIGHTS[weights].capability:
        return f"weights in {weights} need capability {WEIGHTS[weights].capability:g}, and {device.name} has {capability:g}"
    if service.key_width == 1.0 and capability < WEIGHTS["fp8"].capability:
        return f"keys and values in 8 bits need capability {WEIGHTS['fp8'].capability:g}, and {device.name} has {capability:g}"
    return ""
