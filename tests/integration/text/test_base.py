"""Where a training begins: folders, hubs, formats; and whether a model keeps packed documents apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlctl.runtime.trainer.text.apart import check_packing, packing_error
from mlctl.runtime.trainer.text.base import resolve
from mlctl.types.jobs.recipe import CausalLmModel
from tests.integration.text.jobs import refused


def use(base: str, place: Path, revision: str | None = None) -> Path:
    return resolve(CausalLmModel(base=base, digest=None, revision=revision), place)


def test_a_folder_with_safetensors_is_taken_as_it_is(base: Path, place: Path) -> None:
    assert use(str(base), place) == base


def test_what_is_no_model_that_can_be_trained_is_refused_with_a_way_out(base: Path, place: Path) -> None:
    with refused("training.no-base", "there is no folder `models/x`"):
        use("models/x", place)
    (place / "gguf").mkdir()
    (place / "gguf" / "m.Q4_1.gguf").write_bytes(b"GGUF")
    with refused("training.gguf", "mlctl models convert gguf/m.Q4_1.gguf FOLDER"):
        use("gguf", place)
    with refused("training.gguf", "mlctl models convert gguf/m.Q4_1.gguf FOLDER"):
        use("gguf/m.Q4_1.gguf", place)
    (place / "adapter").mkdir()
    (place / "adapter" / "adapter_config.json").write_text("{}")
    with refused("training.bad-base", "an adapter goes into `model.adapters`"):
        use("adapter", place)
    (place / "pickled").mkdir()
    (place / "pickled" / "config.json").write_text("{}")
    (place / "pickled" / "pytorch_model.bin").write_bytes(b"")
    with refused("training.bad-base", "no weights in the format safetensors"):
        use("pickled", place)


def test_a_hub_that_cannot_be_reached_is_said_clearly(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(place / "cache"))
    with refused("training.hub-unreachable", "`acme/model` at `abc123`", "give its folder as `model.base`"):
        use("acme/model", place, "abc123")
    with refused("training.bad-base", "is not the id of a model on a hub"):
        use("acme/model/extra", place, "abc123")


def test_packed_logits_are_those_of_separate_documents(base: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    module = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    assert packing_error(module) < 1e-4
    check_packing(base)


def test_an_architecture_that_lets_documents_see_each_other_is_refused(place: Path) -> None:
    small = {"vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 2}
    (place / "config.json").write_text(json.dumps({"model_type": "mamba", **small}))
    with refused("training.packing-leaks", "`mamba`", "set `data.packing: false`"):
        check_packing(place)
