"""Which language models our own training engine can cut into pieces, told from a model's config.json alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from mlctl.types.jobs.recipe import Layout

# All are built alike: model.embed_tokens, model.layers[i].self_attn.{q,k,v,o}_proj, .mlp.{gate,up,down}_proj, model.norm, lm_head.
_CLASSES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
# What adapters may be put beside in them.
ADAPTABLE = (
    "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "embed_tokens", "lm_head",
)  # fmt: skip
LLAMA_LIKE = tuple(_CLASSES.values())


class Problem(NamedTuple):
    """What cannot be done, why, and the way out."""

    what: str
    why: str
    fix: str


def architecture(config: Mapping[str, Any]) -> str:
    """The class of a model, as its config names it, or by its type where it is only known by name."""
    named, kind = config.get("architectures") or [], str(config.get("model_type", "unknown"))
    return str(named[0]) if isinstance(named, list) and named else _CLASSES.get(kind, f"a model of type {kind}")


def parallel_problems(config: Mapping[str, Any], layout: Layout) -> list[Problem]:
    """Why our own engine cannot train the model of this config.json in this layout; none means that it can."""
    name = architecture(config)
    if name not in LLAMA_LIKE:
        return [
            Problem(
                f"the engine `torch` cannot train {name}",
                "it takes a model apart by the names of its layers, and knows those of " + ", ".join(LLAMA_LIKE),
                "use `engine: hf`, with strategy `ddp`, `zero1`, `zero2` or `zero3` for several processes",
            )
        ]
    if config.get("quantization_config") is not None:
        return [
            Problem(
                "the base model is quantized",
                "every weight is trained, and quantized ones cannot be",
                "give the model in full precision, or use `method: {type: qlora}` with `engine: hf`",
            )
        ]
    return [*_tensor_problems(config, layout.tensor), *_pipeline_problems(config, layout)]


def _tensor_problems(config: Mapping[str, Any], tensor: int) -> list[Problem]:
    heads = int(config["num_attention_heads"])
    sizes = {
        "attention heads": heads,
        "key and value heads": int(config.get("num_key_value_heads") or heads),
        "columns in the feed-forward layers": int(config["intermediate_size"]),
        "tokens in the vocabulary": int(config["vocab_size"]),
    }
    common = [size for size in range(2, tensor) if not any(number % size for number in sizes.values())]
    way = f"use {common[-1]} tensor parallel processes" if common else "use another strategy, such as `fsdp`"
    return [
        Problem(
            f"{number} {name} cannot be cut into {tensor} equal parts",
            "tensor parallel ranks each hold an equal part",
            way,
        )
        for name, number in sizes.items()
        if number % tensor
    ]


def _pipeline_problems(config: Mapping[str, Any], layout: Layout) -> list[Problem]:
    if layout.pipeline == 1:
        return []
    found = []
    layers = int(config["num_hidden_layers"])
    if layers < layout.pipeline:
        found.append(
            Problem(
                f"{layers} layers cannot fill {layout.pipeline} pipeline stages",
                "each stage holds at least one layer",
                f"use {layers} stages at most",
            )
        )
    if config.get("tie_word_embeddings"):
        found.append(
            Problem(
                "the model ties its output layer to its embeddings",
                "they are one matrix, which the first and the last pipeline stage would both need",
                "use `tensor` or `fsdp`, or a base model with weights of their own for both",
            )
        )
    if layout.microbatches < layout.pipeline:
        found.append(
            Problem(
                f"{layout.microbatches} micro-batches cannot fill {layout.pipeline} pipeline stages",
                "stages work at the same time on different micro-batches, so that some would always wait",
                f"set `microbatches` to {layout.pipeline} or, better, {4 * layout.pipeline}",
            )
        )
    return found


def layers_of_stage(layers: int, stages: int, stage: int) -> range:
    """The layers of a pipeline stage. Those that do not come out even go to the first stages, one each: the last has the head."""
    each, more = divmod(layers, stages)
    first = stage * each + min(stage, more)
    return range(first, first + each + (stage < more))
