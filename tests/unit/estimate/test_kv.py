import json
from pathlib import Path
from typing import Any

import pytest

from mlctl.estimate import known_models
from mlctl.estimate.devices import GIB
from mlctl.estimate.known_models import config_named
from mlctl.estimate.kv import Keys, context_of, keys_of, longest_of
from mlctl.estimate.shapes import UnknownShape, from_config

GEMMA3: dict[str, Any] = {
    "model_type": "gemma3_text", "hidden_size": 1152, "num_hidden_layers": 26, "num_attention_heads": 4, "num_key_value_heads": 1,
    "head_dim": 256, "intermediate_size": 6912, "vocab_size": 262_144, "sliding_window": 512,
}  # fmt: skip


def keys(config: dict[str, Any]) -> Keys:
    return keys_of(from_config(config), config)


def known(name: str) -> Keys:
    config = config_named(name)
    assert config is not None
    return keys(dict(config))


@pytest.mark.parametrize(
    ("layers", "hidden", "gibibytes", "slots"),
    [(40, 5120, 12, 15_700), (64, 9216, 21, 9_700), (96, 12_288, 264, 60_100)],
)
def test_the_slots_of_opt_13b_66b_and_175b_are_those_of_the_paged_attention_paper(
    layers: int, hidden: int, gibibytes: int, slots: int
) -> None:
    # Kwon et al. (2023), table 1: its GB are GiB
    keys = Keys(layers, 0, 0, hidden // 128, 128)
    assert gibibytes * GIB / keys.token(2.0) == pytest.approx(slots, rel=0.02)


def test_shared_heads_need_that_much_less() -> None:
    assert known("meta-llama/Llama-3.1-8B").token(2.0) == 131_072
    assert known("meta-llama/Llama-2-7b-hf").token(2.0) == 524_288
    assert known("meta-llama/Llama-3.1-70B").token(1.0) == 163_840


def test_heads_are_shared_by_devices_until_each_has_one() -> None:
    keys = known("meta-llama/Llama-3.1-8B")  # 8 of them
    assert [keys.token(2.0, tensor) * tensor / keys.token(2.0) for tensor in (1, 2, 8, 16)] == [1, 1, 1, 2]


def test_a_request_takes_whole_blocks() -> None:
    keys = known("meta-llama/Llama-3.1-8B")
    assert keys.request(1, 2.0) == keys.request(16, 2.0) == 16 * keys.token(2.0)
    assert keys.request(17, 2.0) == 32 * keys.token(2.0)


def test_layers_that_look_back_only_so_far_keep_no_more() -> None:
    keys = known("mistralai/Mistral-7B-v0.1")  # all of its layers, 4,096 tokens
    assert (keys.full, keys.windowed, keys.window) == (0, 32, 4096)
    assert keys.request(2048, 2.0) == 2048 * keys.token(2.0)
    assert keys.request(32_768, 2.0) == keys.request(65_536, 2.0) == (4096 + 16) * keys.token(2.0)
    assert keys.request(32_768, 2.0, batched=2048) == (4096 + 2048 + 16) * keys.token(2.0)


@pytest.mark.parametrize(
    ("config", "full", "windowed"),
    [
        (GEMMA3, 4, 22),  # five of six
        ({**GEMMA3, "layer_types": ["sliding_attention"] * 20 + ["full_attention"] * 6}, 6, 20),
        ({**GEMMA3, "sliding_window": None}, 26, 0),
        ({**GEMMA3, "model_type": "gemma2", "sliding_window": None}, 13, 13),  # 4,096 where it is left out
        ({**GEMMA3, "model_type": "qwen2"}, 26, 0),  # written, and not used
        ({**GEMMA3, "model_type": "qwen2", "use_sliding_window": True, "max_window_layers": 20}, 20, 6),
        ({**GEMMA3, "model_type": "llama"}, 26, 0),
    ],
)
def test_which_layers_have_a_window_is_the_family_s_affair(config: dict[str, Any], full: int, windowed: int) -> None:
    found = keys(config)
    assert (found.full, found.windowed) == (full, windowed)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"kv_lora_rank": 512}, "kv_lora_rank"),
        ({"layer_types": ["linear_attention"] * 26}, "linear_attention"),
        ({"layer_types": ["full_attention"] * 3}, "does not name each layer"),
        ({"sliding_window_pattern": "six"}, "sliding_window_pattern"),
        ({"model_type": "qwen2", "use_sliding_window": True, "max_window_layers": "ten"}, "max_window_layers"),
    ],
)
def test_what_keeps_something_else_is_refused_by_name(more: dict[str, Any], why: str) -> None:
    with pytest.raises(UnknownShape, match=why):
        keys({**GEMMA3, **more})


def test_latents_and_states_are_no_keys_and_values() -> None:
    for family in ("deepseek_v3", "qwen3_next", "jamba"):
        with pytest.raises(UnknownShape, match=family):
            keys({**GEMMA3, "model_type": family})


def test_all_models_that_are_known_by_name_keep_what_can_be_counted() -> None:
    for row in json.loads(Path(known_models.__file__).with_name("models.json").read_text())["models"]:
        assert keys(row["config"]).token(2.0) > 0, row["names"]


def test_the_longest_request_is_read_from_the_config() -> None:
    assert context_of({"max_position_embeddings": 8192}) == 8192
    assert context_of({"n_positions": 1024}) == 1024
    assert context_of({"max_position_embeddings": True}) is None


def test_the_longest_request_counts_what_positions_are_stretched_by() -> None:
    plain = {"max_position_embeddings": 4096}
    assert longest_of(plain) == 4096
    assert longest_of({}) is None
    assert longest_of({**plain, "rope_scaling": {"type": "linear", "factor": 4.0}}) == 16_384
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 2048}
    assert longest_of({**plain, "rope_parameters": yarn}) == 8192
    llama = {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 2048}
    assert longest_of({**plain, "rope_scaling": llama}) == 4096  # whose factor is in the number already
    assert longest_of({**plain, "rope_parameters": {"full_attention": yarn}}) is None  # one for each kind of layer
    assert longest_of({**plain, "rope_scaling": {"type": "linear", "factor": "4"}}) is None
