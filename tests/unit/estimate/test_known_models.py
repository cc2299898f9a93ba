"""Models by name: what is counted is what was published of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlctl.estimate import known_models
from mlctl.estimate.known_models import config_named, nearest
from mlctl.estimate.shapes import KNOWN, LanguageShape, UnknownShape, from_config

# Billions, as their cards and papers have them; each with the last digit that is given.
PUBLISHED = {
    "meta-llama/Llama-2-7b-hf": 6.74, "meta-llama/Llama-2-13b-hf": 13.02, "meta-llama/Llama-2-70b-hf": 68.98,
    "meta-llama/Llama-3.1-8B": 8.03, "meta-llama/Llama-3.1-70B": 70.6, "meta-llama/Llama-3.1-405B": 406,
    "meta-llama/Llama-3.2-1B": 1.24, "meta-llama/Llama-3.2-3B": 3.21, "TinyLlama/TinyLlama-1.1B-Chat-v1.0": 1.10,
    "HuggingFaceTB/SmolLM2-135M": 0.135, "HuggingFaceTB/SmolLM2-360M": 0.362, "HuggingFaceTB/SmolLM2-1.7B": 1.71,
    "HuggingFaceTB/SmolLM3-3B": 3.08, "mistralai/Mistral-7B-v0.1": 7.24, "mistralai/Mistral-7B-v0.3": 7.25,
    "mistralai/Mistral-Large-Instruct-2407": 123, "Qwen/Qwen2.5-0.5B": 0.49, "Qwen/Qwen2.5-1.5B": 1.54, "Qwen/Qwen2.5-3B": 3.09,
    "Qwen/Qwen2.5-7B": 7.62, "Qwen/Qwen2.5-14B": 14.8, "Qwen/Qwen2.5-32B": 32.8, "Qwen/Qwen2.5-72B": 72.7,
    "Qwen/Qwen3-0.6B": 0.6, "Qwen/Qwen3-1.7B": 1.7, "Qwen/Qwen3-4B": 4.0, "Qwen/Qwen3-8B": 8.2, "Qwen/Qwen3-14B": 14.8,
    "Qwen/Qwen3-32B": 32.8, "google/gemma-2b": 2.51, "google/gemma-7b": 8.54, "google/gemma-2-2b": 2.61, "google/gemma-2-9b": 9.24,
    "google/gemma-2-27b": 27.2, "google/gemma-3-1b-pt": 1.00, "microsoft/Phi-3-mini-4k-instruct": 3.82, "microsoft/phi-4": 14.7,
    "microsoft/Phi-4-mini-instruct": 3.84, "ibm-granite/granite-3.1-2b-base": 2.53, "ibm-granite/granite-3.1-8b-base": 8.17,
    "openai-community/gpt2": 0.124, "openai-community/gpt2-medium": 0.355, "openai-community/gpt2-large": 0.774,
    "openai-community/gpt2-xl": 1.558,
}  # fmt: skip
# Biderman et al. 2023, to the last parameter.
PYTHIA = {"14m": 14_067_712, "70m": 70_426_624, "160m": 162_322_944, "410m": 405_334_016, "1b": 1_011_781_632, "1.4b": 1_414_647_808,
          "2.8b": 2_775_208_960, "6.9b": 6_857_302_016, "12b": 11_846_072_320}  # fmt: skip


def shape_named(name: str) -> LanguageShape | None:
    config = config_named(name)
    return None if config is None else from_config(config)


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_those_that_were_published(name: str) -> None:
    shape, billions = shape_named(name), PUBLISHED[name]
    assert shape is not None
    digits = len(f"{billions}".partition(".")[2])
    assert shape.parameters / 1e9 == pytest.approx(billions, abs=0.6 * 10**-digits)


@pytest.mark.parametrize("size", PYTHIA)
def test_parameters_of_pythia_are_exactly_those_of_the_paper(size: str) -> None:
    shape = shape_named(f"EleutherAI/pythia-{size}")
    assert shape is not None
    assert shape.parameters == PYTHIA[size]


def test_a_model_is_known_by_its_id_and_by_its_short_name() -> None:
    assert shape_named("Qwen/Qwen2.5-7B-Instruct") == shape_named("qwen2.5-7b")
    assert shape_named("gpt2") == shape_named("openai-community/gpt2")
    assert shape_named("somebody/gpt2-of-mine") is None
    assert config_named("") is None


@pytest.mark.parametrize("name", ["mistralai/Mixtral-8x7B-v0.1", "Qwen/Qwen3-30B-A3B", "google/gemma-3-4b-it"])
def test_mixtures_of_experts_and_models_with_eyes_are_not_taken_for_others(name: str) -> None:
    assert shape_named(name) is None


@pytest.mark.parametrize("family", ["mixtral", "qwen3_moe", "gemma3", "deepseek_v3"])
def test_an_architecture_that_cannot_be_counted_is_refused_by_name(family: str) -> None:
    with pytest.raises(UnknownShape, match=f"`{family}`"):
        from_config({"model_type": family})


def test_every_listed_model_can_be_counted_and_is_listed_once() -> None:
    listed = json.loads(Path(known_models.__file__).with_name("models.json").read_text())["models"]
    names = [name for item in listed for name in item["names"]]
    assert len(names) == len({name.lower() for name in names}) >= 100
    for name in names:
        shape = shape_named(name)
        assert shape is not None
        assert shape.family in KNOWN
        assert shape == shape_named(name.rpartition("/")[2])


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("meta-llama/Llama-3.1-8B-Instuct", "meta-llama/Llama-3.1-8B-Instruct"),
        ("qwen/qwen2.5-7b-instrct", "Qwen/Qwen2.5-7B-Instruct"),
        ("somebody/SmolLM2-360M-of-mine", None),
        ("mistralai/Mixtral-8x7B-v0.1", None),
        ("", None),
    ],
)
def test_a_slip_in_a_well_known_name_has_a_nearest_one(name: str, meant: str | None) -> None:
    assert nearest(name) == meant
