"""What a model is made of, as far as memory and time depend on it: from the config.json of a language model, or layer sizes.

Counts are exact for the families below. Of any other, nothing is guessed: `UnknownShape` says which it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple


class UnknownShape(ValueError):
    """A model whose size cannot be told from its description."""


class Linear(NamedTuple):
    """A weight matrix of a block."""

    name: str
    inputs: int
    outputs: int

    @property
    def elements(self) -> int:
        """Weights in it."""
        return self.inputs * self.outputs


@dataclass(frozen=True)
class LanguageShape:
    """A decoder of equal blocks: the token table, blocks of matrices, norms and biases, and a head that may be the table again."""

    family: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    tied: bool
    linears: tuple[Linear, ...]  # the matrices of one block
    small: int  # other parameters of one block: norms and biases
    tables: int  # embeddings: of tokens, and of positions where they are learnt
    final: int  # the norm behind the last block, and a bias of the head

    @cached_property
    def block(self) -> int:
        """Parameters of one block."""
        return sum(item.elements for item in self.linears) + self.small

    @property
    def head(self) -> int:
        """Weights of the head that are not the token table's."""
        return 0 if self.tied else self.vocabulary * self.hidden

    @cached_property
    def parameters(self) -> int:
        """All of them, each counted once."""
        return self.tables + self.layers * self.block + self.final + self.head

    @cached_property
    def matrices(self) -> int:
        """Weights of the blocks' matrices: what adapters go beside and quantization packs."""
        return self.layers * sum(item.elements for item in self.linears)

    @property
    def multiplied(self) -> int:
        """Weights that each token is multiplied with: all but the tables that are only looked up."""
        return self.layers * self.block + self.final + self.vocabulary * self.hidden

    def adapters(self, rank: int, target: Sequence[str] | None, *, magnitudes: bool = False) -> int:
        """Parameters of low-rank adapters beside the matrices of these names, or beside all of the blocks' matrices."""
        chosen = [item for item in self.linears if target is None or any(item.name.endswith(name) for name in target)]
        extra = sum(item.outputs for item in chosen) if magnitudes else 0
        return self.layers * (sum(rank * (item.inputs + item.outputs) for item in chosen) + extra)


class DenseShape(NamedTuple):
    """A multi-layer perceptron with one output."""

    features: int
    hidden: tuple[int, ...]

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        sizes = [self.features, *self.hidden, 1]
        return sum((before + 1) * after for before, after in itertools.pairwise(sizes))

    @property
    def activations(self) -> int:
        """Values that one row leaves for the backward pass."""
        return self.features + 3 * sum(self.hidden) + 2


Shape = LanguageShape | DenseShape


class _Family(NamedTuple):
    """How a family differs from Llama: biases of attention and MLP, norms of a block in units of `hidden` and of `head_dim`."""

    attention_bias: Callable[[Mapping[str, Any]], tuple[bool, bool]]  # of query, key and value; of the output
    mlp_bias: bool = False  # whether `mlp_bias` has a meaning
    norms: int = 2
    head_norms: int = 0
    tied: bool = False


def _written(config: Mapping[str, Any]) -> tuple[bool, bool]:
    biased = bool(config.get("attention_bias", False))
    return biased, biased


def _never(config: Mapping[str, Any]) -> tuple[bool, bool]:
    return False, False


_FAMILIES = {
    "llama": _Family(_written, mlp_bias=True),
    "mistral": _Family(_never),
    "qwen2": _Family(lambda config: (True, False)),
    "qwen3": _Family(_written, head_norms=2),
    "smollm3": _Family(_written, mlp_bias=True, tied=True),
    "granite": _Family(_written, mlp_bias=True),
    "phi3": _Family(_never),
    "gemma": _Family(_written, tied=True),
    "gemma2": _Family(_written, norms=4, tied=True),
    "gemma3_text": _Family(_written, norms=4, head_norms=2, tied=True),
}
KNOWN = (*sorted(_FAMILIES), "gpt2", "gpt_neox")


def from_config(config: Mapping[str, Any]) -> LanguageShape:
    """The shape that a config.json describes. Raises UnknownShape for an architecture that is not known, or lacks a size."""
    family = config.get("model_type")
    try:
        if family == "gpt2":
            return _gpt2(config)
        if family == "gpt_neox":
            return _gpt_neox(config)
        if isinstance(family, str) and family in _FAMILIES:
            return _llama_like(family, _FAMILIES[family], config)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise UnknownShape(f"its config.json has no usable {error}") from None
    raise UnknownShape(f"the architecture `{family}` is not one that mlctl can count ({', '.join(KNOWN)})")


def _llama_like(family: str, rules: _Family, config: Mapping[str, Any]) -> LanguageShape:
    hidden, heads = _size(config, "hidden_size"), _size(config, "num_attention_heads")
    kv_heads = _size(config, "num_key_value_heads", default=heads)
    head_dim = _size(config, "head_dim", default=256 if family.startswith("gemma") else hidden // heads)
    inner = _size(config, "intermediate_size")
    asking, answering = rules.attention_bias(config)
    mlp_bias = rules.mlp_bias and bool(config.get("mlp_bias", False))
    query, key = heads * head_dim, kv_heads * head_dim
    attention = _fused(family, hidden, query, key, inner)
    biases = (query + 2 * key) * asking + hidden * answering + (2 * inner + hidden) * mlp_bias
    vocabulary = _size(config, "vocab_size")
    return LanguageShape(
        family, _size(config, "num_hidden_layers"), hidden, heads, kv_heads, head_dim, inner, vocabulary,
        tied=bool(config.get("tie_word_embeddings", rules.tied)), linears=attention,
        small=rules.norms * hidden + rules.head_norms * head_dim + biases, tables=vocabulary * hidden, final=hidden,
    )  # fmt: skip


def _fused(family: str, hidden: int, query: int, key: int, inner: int) -> tuple[Linear, ...]:
    """The matrices of a block with a gate; one family keeps those that read the same in one."""
    behind = (Linear("o_proj", query, hidden), Linear("down_proj", inner, hidden))
    if family == "phi3":
        return (Linear("qkv_proj", hidden, query + 2 * key), Linear("gate_up_proj", hidden, 2 * inner), *behind)
    return (
        Linear("q_proj", hidden, query),
        Linear("k_proj", hidden, key),
        Linear("v_proj", hidden, key),
        Linear("gate_proj", hidden, inner),
        Linear("up_proj", hidden, inner),
        *behind,
    )


def _gpt2(config: Mapping[str, Any]) -> LanguageShape:
    hidden, heads = _size(config, "n_embd"), _size(config, "n_head")
    inner = _size(config, "n_inner", default=4 * hidden)
    vocabulary = _size(config, "vocab_size")
    linears = (
        Linear("c_attn", hidden, 3 * hidden),
        Linear("attn.c_proj", hidden, hidden),
        Linear("c_fc", hidden, inner),
        Linear("mlp.c_proj", inner, hidden),
    )
    return LanguageShape(
        "gpt2", _size(config, "n_layer"), hidden, heads, heads, hidden // heads, inner, vocabulary,
        tied=bool(config.get("tie_word_embeddings", True)), linears=linears,
        small=4 * hidden + 3 * hidden + hidden + inner + hidden,
        tables=(vocabulary + _size(config, "n_positions", default=1024)) * hidden, final=2 * hidden,
    )  # fmt: skip


def _gpt_neox(config: Mapping[str, Any]) -> LanguageShape:
    hidden, heads, inner = (_size(config, name) for name in ("hidden_size", "num_attention_heads", "intermediate_size"))
    vocabulary = _size(config, "vocab_size")
    biases = (3 * hidden + hidden) * bool(config.get("attention_bias", True)) + inner + hidden
    linears = (
        Linear("query_key_value", hidden, 3 * hidden),
        Linear("attention.dense", hidden, hidden),
        Linear("dense_h_to_4h", hidden, inner),
        Linear("dense_4h_to_h", inner, hidden),
    )
    return LanguageShape(
        "gpt_neox", _size(config, "num_hidden_layers"), hidden, heads, heads, hidden // heads, inner, vocabulary,
        tied=bool(config.get("tie_word_embeddings", False)), linears=linears, small=4 * hidden + biases,
        tables=vocabulary * hidden, final=2 * hidden,
    )  # fmt: skip


def _size(config: Mapping[str, Any], name: str, default: int | None = None) -> int:
    value = config.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise KeyError(name)
    return value
