"""Models that are known by name, as their config.json describes them."""

from typing import Any

from mlctl.estimate.shapes import LanguageShape, from_config


def llama(
    hidden: int, layers: int, heads: int, kv_heads: int, inner: int, vocabulary: int, **more: Any
) -> LanguageShape:
    return from_config(
        {
            "model_type": "llama", "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
            "num_key_value_heads": kv_heads, "intermediate_size": inner, "vocab_size": vocabulary, **more,
        }
    )  # fmt: skip


SMOLLM2_135M = llama(576, 30, 9, 3, 1536, 49_152, tie_word_embeddings=True)
LLAMA_7B = llama(4096, 32, 32, 32, 11_008, 32_000)
LLAMA_70B = llama(8192, 80, 64, 8, 28_672, 32_000)
LLAMA3_8B = llama(4096, 32, 32, 8, 14_336, 128_256)
LLAMA3_3B = llama(3072, 28, 24, 8, 8192, 128_256, tie_word_embeddings=True, head_dim=128)


def of_size(parameters: int) -> LanguageShape:
    """Nothing but so many parameters: for the states alone."""
    return LanguageShape("llama", 1, 1, 1, 1, 1, 1, 1, tied=True, linears=(), small=0, tables=parameters, final=0)
