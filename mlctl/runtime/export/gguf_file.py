"""GGUF files of language models of the Llama family, by the package `gguf`: weights, hyperparameters and tokenizer in one file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlctl.types.diagnostic import MlctlError

_ARCHITECTURE = "llama"
# How a tokenizer splits text before it is coded, as llama.cpp knows it by name.
_SPLITS = {("ByteLevel",): "gpt-2", ("Digits", "ByteLevel"): "smollm"}


def write_gguf(folder: Path, file: Path, precision: str, name: str) -> None:
    """Convert a model in the format of Transformers. Raises MlctlError for what the format, or this writer, has no place for."""
    import gguf

    config = json.loads((folder / "config.json").read_bytes())
    _refuse_others(config, folder)
    beside = file.with_name(f".{file.name}.new")
    writer = gguf.GGUFWriter(str(beside), _ARCHITECTURE, use_temp_file=True)
    kind = gguf.GGMLQuantizationType[precision.upper()]
    _write_hyperparameters(writer, config, name, precision)
    _write_tokenizer(writer, folder, int(config["vocab_size"]))
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    for source, values in _tensors(folder):
        if source == "lm_head.weight" and config.get("tie_word_embeddings"):
            continue  # llama.cpp takes the embeddings then
        target = names.get_name(source, try_suffixes=(".weight",))
        if target is None:
            raise _refused(folder, f"it has the tensor `{source}`, which the format has no place for")
        data = _permuted(source, values, config)
        chosen = _fitting(kind, data)
        writer.add_tensor(target, gguf.quants.quantize(data, chosen), raw_dtype=chosen)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with open(beside, "rb") as stream:
        os.fsync(stream.fileno())
    os.chmod(beside, 0o600)
    os.replace(beside, file)


def _refuse_others(config: Mapping[str, Any], folder: Path) -> None:
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    scaled = str(rope.get("rope_type") or rope.get("type") or "default") != "default"
    for wrong, why in (
        (
            config.get("model_type") != "llama",
            f"it is of the kind `{config.get('model_type')}`; only `llama` is converted here",
        ),
        (scaled, f"its positions are scaled (`{rope.get('rope_type') or rope.get('type')}`)"),
        (bool(config.get("attention_bias") or config.get("mlp_bias")), "its layers have biases"),
        (config.get("hidden_act", "silu") != "silu", f"its activation is `{config.get('hidden_act')}`"),
    ):
        if wrong:
            raise _refused(folder, why)


def _refused(folder: Path, why: str) -> MlctlError:
    return MlctlError.of(
        "export.not-convertible",
        f"the model in {folder} cannot be written as GGUF",
        why,
        "convert it with llama.cpp's own converter, or train a base of the Llama family",
    )


def _write_hyperparameters(writer: Any, config: Mapping[str, Any], name: str, precision: str) -> None:
    import gguf

    heads = int(config["num_attention_heads"])
    rope = config.get("rope_parameters") or {}
    kind = "ALL_F32" if precision == "f32" else f"MOSTLY_{precision.upper()}"
    writer.add_name(name)
    writer.add_file_type(gguf.LlamaFileType[kind])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(config.get("head_dim") or config["hidden_size"] // heads)
    writer.add_rope_freq_base(float(rope.get("rope_theta") or config.get("rope_theta") or 10_000.0))
    writer.add_vocab_size(config["vocab_size"])


def _write_tokenizer(writer: Any, folder: Path, size: int) -> None:
    """Tokens by number, merges, special tokens and the template for conversations."""
    import gguf

    try:
        stored = json.loads((folder / "tokenizer.json").read_bytes())
    except (OSError, ValueError):
        raise _refused(folder, "it has no tokenizer.json") from None
    if stored["model"]["type"] != "BPE" or stored["model"].get("byte_fallback"):
        raise _refused(folder, "its tokenizer is not a BPE over bytes")
    tokens = {number: text for text, number in stored["model"]["vocab"].items()}
    kinds = dict.fromkeys(tokens, gguf.TokenType.NORMAL)
    for item in stored.get("added_tokens", ()):
        tokens[item["id"]] = item["content"]
        kinds[item["id"]] = gguf.TokenType.CONTROL if item["special"] else gguf.TokenType.USER_DEFINED
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_split(stored.get("pre_tokenizer"), folder))
    writer.add_token_list([tokens.get(number, f"[PAD{number}]") for number in range(size)])
    writer.add_token_types([kinds.get(number, gguf.TokenType.UNUSED) for number in range(size)])
    gguf.SpecialVocab(str(folder), load_merges=True, n_vocab=size).add_to_gguf(writer, quiet=True)


def _split(stored: Mapping[str, Any] | None, folder: Path) -> str:
    steps = [] if stored is None else stored["pretokenizers"] if stored["type"] == "Sequence" else [stored]
    plain = all(
        step.get("individual_digits", True) and not step.get("add_prefix_space", False) and step.get("use_regex", True)
        for step in steps
    )
    found = _SPLITS.get(tuple(step["type"] for step in steps))
    if found is None or not plain:
        raise _refused(
            folder,
            f"its tokenizer splits text by {', '.join(step['type'] for step in steps) or 'nothing'} in a way that has no name in GGUF",
        )
    return found


def _tensors(folder: Path) -> Iterator[tuple[str, Any]]:
    """All tensors as float32, one at a time."""
    from safetensors import safe_open

    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as stored:
            for name in stored.keys():  # noqa: SIM118 (not a mapping)
                yield name, stored.get_tensor(name).float().numpy()


def _permuted(name: str, values: Any, config: Mapping[str, Any]) -> Any:
    """Queries and keys in the order in which llama.cpp turns them: pairs of neighbours, where Transformers pairs halves."""
    heads = config["num_attention_heads"]
    if name.endswith("k_proj.weight"):
        heads = config.get("num_key_value_heads") or heads
    elif not name.endswith("q_proj.weight"):
        return values
    rows = values.shape[0] // heads // 2
    return np.ascontiguousarray(values.reshape(heads, 2, rows, values.shape[1]).swapaxes(1, 2).reshape(values.shape))


def _fitting(kind: Any, data: Any) -> Any:
    """The type a tensor is written in: vectors stay whole, and rows that blocks do not divide are kept at 16 bits."""
    import gguf

    if data.ndim == 1:
        return gguf.GGMLQuantizationType.F32
    block, _ = gguf.GGML_QUANT_SIZES[kind]
    return kind if data.shape[-1] % block == 0 else gguf.GGMLQuantizationType.F16
