"""What an engine keeps of each token it has read: keys and values, for as long as a request lasts.

Counts are exact for attention of any number of heads, with or without layers that look back only so far. Architectures that keep
something else (compressed latents, states of recurrent layers) are refused by name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mlctl.estimate.shapes import LanguageShape, UnknownShape

BLOCK = 16  # tokens that an engine gives out at once
_GEMMA_2_WINDOW, _GEMMA_3_PATTERN = 4096, 6  # what holds where a config leaves them out
_WINDOWED = ("mistral", "phi3", "qwen2", "qwen3", "gemma2", "gemma3_text", "smollm3")
_FULL, _SLIDING = "full_attention", "sliding_attention"
_STRETCHED_ALREADY = ("llama3", "longrope", "su")  # whose factor is in the number of places already
_OTHERS = ("kv_lora_rank", "mamba_d_state", "ssm_cfg", "linear_num_key_heads", "index_topk")


class Keys(NamedTuple):
    """The layers that keep keys and values, and how far those of them that have a `window` look back."""

    full: int
    windowed: int
    window: int
    heads: int
    head_dim: int

    def token(self, width: float, tensor: int = 1) -> float:
        """Bytes of one token in all layers, on each of so many devices. Heads that are fewer than devices are on several."""
        return (self.full + self.windowed) * self._layer(width, tensor)

    def request(self, tokens: int, width: float, tensor: int = 1, *, batched: int = 0) -> float:
        """Bytes of a request of so many tokens on each device, in whole blocks. Layers with a window keep that much, and what
        goes through the model at once."""
        layer = self._layer(width, tensor)
        found = self.full * _blocks(tokens) * layer
        if self.windowed:
            kept = min(_blocks(tokens), _blocks(self.window + batched) + BLOCK)
            found += self.windowed * kept * layer
        return found

    def _layer(self, width: float, tensor: int) -> float:
        return 2 * math.ceil(self.heads / tensor) * self.head_dim * width


def _blocks(tokens: int) -> int:
    return -(-tokens // BLOCK) * BLOCK


def keys_of(shape: LanguageShape, config: Mapping[str, Any]) -> Keys:
    """What a model keeps, by its config.json. Raises UnknownShape for one that keeps something else, or does not say what."""
    for name in _OTHERS:
        if config.get(name):
            raise UnknownShape(
                f"`{config.get('model_type')}` keeps no plain keys and values (its config.json has `{name}`)"
            )
    windowed, window = _windows(shape, config)
    return Keys(shape.layers - windowed, windowed, window, shape.kv_heads, shape.head_dim)


def _windows(shape: LanguageShape, config: Mapping[str, Any]) -> tuple[int, int]:
    """How many layers look back only so far, and how far."""
    if shape.family not in _WINDOWED:
        return 0, 0
    window = config.get("sliding_window")
    if window is None and shape.family == "gemma2":
        window = _GEMMA_2_WINDOW
    if not isinstance(window, int) or window < 1:
        return 0, 0
    types = config.get("layer_types")
    if isinstance(types, Sequence) and not isinstance(types, str):
        return _listed([str(item) for item in types], shape), window
    if shape.family == "gemma2":
        return shape.layers - shape.layers // 2, window  # the first, the third ...
    if shape.family == "gemma3_text":
        pattern = config.get("sliding_window_pattern", _GEMMA_3_PATTERN)
        if not isinstance(pattern, int) or pattern < 1:
            raise UnknownShape("its config.json has no usable `sliding_window_pattern`")
        return shape.layers - shape.layers // pattern, window
    if shape.family in ("qwen2", "qwen3", "smollm3"):
        if not config.get("use_sliding_window", False):
            return 0, 0
        first = config.get("max_window_layers", 28)
        if not isinstance(first, int) or first < 0:
            raise UnknownShape("its config.json has no usable `max_window_layers`")
        return max(0, shape.layers - first), window
    return shape.layers, window


def _listed(types: list[str], shape: LanguageShape) -> int:
    """The layers with a window among those that a config names one by one."""
    other = sorted(set(types) - {_FULL, _SLIDING})
    if other or len(types) != shape.layers:
        raise UnknownShape(
            f"its layers are not all of attention ({other[0]})" if other else "its config.json does not name each layer"
        )
    return types.count(_SLIDING)


def context_of(config: Mapping[str, Any]) -> int | None:
    """The most tokens of a request that the model itself allows; None where it does not say."""
    for name in ("max_position_embeddings", "n_positions"):
        value = config.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None


def longest_of(config: Mapping[str, Any]) -> int | None:
    """The most tokens of a request that engines take for the model: its places, with what rotary ones are stretched by. None where
    that is not surely known."""
    context, rope = context_of(config), config.get("rope_parameters") or config.get("rope_scaling") or {}
    if context is None or not isinstance(rope, Mapping) or any(isinstance(value, Mapping) for value in rope.values()):
        return None
    kind, factor = rope.get("rope_type", rope.get("type", "default")), rope.get("factor", 1.0)
    if kind in _STRETCHED_ALREADY:
        return context
    first = rope.get("original_max_position_embeddings", context) if kind == "yarn" else context
    known = all(isinstance(item, int | float) and not isinstance(item, bool) for item in (factor, first))
    return int(first * factor) if known else None
