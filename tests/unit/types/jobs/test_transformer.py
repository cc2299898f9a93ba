from __future__ import annotations

from typing import Any

import pytest

from mlctl.types.jobs.recipe import Layout
from mlctl.types.jobs.transformer import LLAMA_LIKE, layers_of_stage, parallel_problems

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "num_attention_heads": 12,
    "num_key_value_heads": 4,
    "intermediate_size": 96,
    "vocab_size": 256,
    "num_hidden_layers": 5,
}
TENSOR = Layout(strategy="tensor", tensor=4)
PIPELINE = Layout(strategy="pipeline", pipeline=2, microbatches=4)


def whats(config: dict[str, Any], layout: Layout) -> list[str]:
    found = parallel_problems({**CONFIG, **config}, layout)
    assert all(why and fix for _, why, fix in found)
    return [what for what, _, _ in found]


@pytest.mark.parametrize("name", LLAMA_LIKE)
@pytest.mark.parametrize(
    "layout",
    [
        TENSOR,
        PIPELINE,
        Layout(strategy="3d", data=3, tensor=2, pipeline=5, microbatches=5),
        Layout(strategy="fsdp", data=7),
    ],
)
def test_what_fits_has_no_problems(name: str, layout: Layout) -> None:
    assert whats({"architectures": [name]}, layout) == []


def test_another_architecture_is_refused_in_every_layout_and_told_which_work() -> None:
    for layout in (TENSOR, PIPELINE, Layout(strategy="fsdp", data=2)):
        (found,) = parallel_problems({**CONFIG, "architectures": ["GPT2LMHeadModel"]}, layout)
        assert "GPT2LMHeadModel" in found.what
        assert all(name in found.why for name in LLAMA_LIKE)
    assert "type gpt2" in whats({"architectures": None, "model_type": "gpt2"}, TENSOR)[0]


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("num_attention_heads", 9, "9 attention heads cannot be cut into 4 equal parts"),
        ("num_key_value_heads", 3, "3 key and value heads cannot be cut into 4 equal parts"),
        ("intermediate_size", 98, "98 columns in the feed-forward layers cannot be cut into 4 equal parts"),
        ("vocab_size", 257, "257 tokens in the vocabulary cannot be cut into 4 equal parts"),
    ],
)
def test_what_tensor_ranks_cannot_share_equally_is_refused(field: str, value: int, expected: str) -> None:
    assert whats({field: value}, TENSOR) == [expected]
    assert whats({field: value}, PIPELINE) == []


def test_without_heads_of_their_own_keys_have_those_of_queries() -> None:
    config = {name: value for name, value in CONFIG.items() if name != "num_key_value_heads"}
    assert parallel_problems(config, Layout(strategy="tensor", tensor=6)) != []  # the vocabulary
    assert [
        item.what for item in parallel_problems({**config, "vocab_size": 252}, Layout(strategy="tensor", tensor=6))
    ] == []


def test_the_largest_number_of_ranks_that_works_is_named() -> None:
    (found,) = parallel_problems({**CONFIG, "vocab_size": 258}, TENSOR)
    assert found.fix == "use 2 tensor parallel processes"
    (found,) = parallel_problems({**CONFIG, "vocab_size": 257}, TENSOR)
    assert "fsdp" in found.fix


def test_a_pipeline_needs_layers_weights_of_its_own_at_both_ends_and_enough_micro_batches() -> None:
    assert "5 layers cannot fill 6 pipeline stages" in whats(
        {}, Layout(strategy="pipeline", pipeline=6, microbatches=6)
    )
    assert whats({"tie_word_embeddings": True}, PIPELINE) == ["the model ties its output layer to its embeddings"]
    assert whats({"tie_word_embeddings": True}, TENSOR) == []
    few = Layout(strategy="pipeline", pipeline=4, microbatches=3)
    assert whats({}, few) == ["3 micro-batches cannot fill 4 pipeline stages"]


def test_quantized_weights_are_not_trained() -> None:
    assert whats({"quantization_config": {"bits": 4}}, TENSOR) == ["the base model is quantized"]


@pytest.mark.parametrize(("layers", "stages"), [(4, 2), (5, 2), (7, 3), (3, 3), (32, 5)])
def test_stages_share_the_layers_in_order_and_differ_by_one_at_most(layers: int, stages: int) -> None:
    parts = [layers_of_stage(layers, stages, stage) for stage in range(stages)]
    assert [layer for part in parts for layer in part] == list(range(layers))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
