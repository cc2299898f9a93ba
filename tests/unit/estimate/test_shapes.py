import pytest

from mlctl.estimate.shapes import DenseShape, UnknownShape, from_config
from tests.unit.estimate.models import LLAMA3_3B, LLAMA3_8B, LLAMA_7B, SMOLLM2_135M

QWEN2_7B = {
    "model_type": "qwen2", "hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4,
    "intermediate_size": 18_944, "vocab_size": 152_064, "tie_word_embeddings": False,
}  # fmt: skip
GEMMA_2B = {
    "model_type": "gemma", "hidden_size": 2048, "num_hidden_layers": 18, "num_attention_heads": 8, "num_key_value_heads": 1,
    "intermediate_size": 16_384, "vocab_size": 256_000, "head_dim": 256,
}  # fmt: skip
MISTRAL_7B = {
    "model_type": "mistral", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
    "intermediate_size": 14_336, "vocab_size": 32_000,
}  # fmt: skip
GPT2 = {"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50_257, "n_positions": 1024}
PYTHIA_70M = {
    "model_type": "gpt_neox", "hidden_size": 512, "num_hidden_layers": 6, "num_attention_heads": 8, "intermediate_size": 2048,
    "vocab_size": 50_304,
}  # fmt: skip


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        (QWEN2_7B, 7_615_616_512),
        (GEMMA_2B, 2_506_172_416),
        (MISTRAL_7B, 7_241_732_096),
        (GPT2, 124_439_808),
        (PYTHIA_70M, 70_426_624),
    ],
    ids=lambda value: value["model_type"] if isinstance(value, dict) else "",
)
def test_parameters_of_published_models_are_counted_exactly(config: dict[str, object], parameters: int) -> None:
    assert from_config(config).parameters == parameters


def test_a_tied_head_is_counted_once() -> None:
    assert SMOLLM2_135M.parameters == 134_515_008
    assert LLAMA3_3B.parameters == 3_212_749_824
    assert (LLAMA_7B.parameters, LLAMA3_8B.parameters) == (6_738_415_616, 8_030_261_248)


def test_adapters_beside_all_matrices_are_counted_as_peft_counts_them() -> None:
    assert SMOLLM2_135M.adapters(8, None) == 2_442_240
    assert SMOLLM2_135M.adapters(8, None, magnitudes=True) == 2_597_760


def test_adapters_beside_named_matrices_count_those_alone() -> None:
    query, value = 8 * (576 + 576), 8 * (576 + 192)
    assert SMOLLM2_135M.adapters(8, ["q_proj", "v_proj"]) == 30 * (query + value)


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"model_type": "mixtral"}, "the architecture `mixtral` is not one that mlctl can count"),
        ({}, "the architecture `None`"),
        ({"model_type": "llama", "hidden_size": 8}, "num_attention_heads"),
        ({"model_type": ["llama"]}, "the architecture"),
        ({**MISTRAL_7B, "hidden_size": "4096"}, "hidden_size"),
        ({**MISTRAL_7B, "num_hidden_layers": True}, "num_hidden_layers"),
        ({**MISTRAL_7B, "vocab_size": 0}, "vocab_size"),
    ],
)
def test_of_what_is_not_known_nothing_is_guessed(config: dict[str, object], why: str) -> None:
    with pytest.raises(UnknownShape, match=why):
        from_config(config)


def test_a_perceptron_has_weights_and_biases() -> None:
    assert DenseShape(2, (16,)).parameters == 2 * 16 + 16 + 16 + 1
    assert DenseShape(5, ()).parameters == 6
