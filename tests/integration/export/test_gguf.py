"""GGUF files of a tiny language model: read back they hold its weights, and llama.cpp answers as the source does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mlctl.types.diagnostic import MlctlError
from mlctl.types.environments import environment_python, environment_ready
from tests.integration.text.tiny import conversation, make_model

pytestmark = pytest.mark.tools


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As a training leaves it."""
    folder = make_model(tmp_path_factory.mktemp("model") / "tiny", hidden=64)
    (folder / "mlctl.json").write_text(json.dumps({"form": "messages"}))
    return folder


def test_what_is_read_back_gives_the_logits_of_the_source(model: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    from mlctl.runtime.export.gguf_file import write_gguf

    write_gguf(model, tmp_path / "model.gguf", "f32", "tiny")
    source = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    back = AutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file="model.gguf", dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    tokenizer = AutoTokenizer.from_pretrained(model)
    ids = tokenizer("what is the colour of red 17?", return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        assert torch.allclose(source(ids).logits, back(ids).logits, atol=1e-5)
    write_gguf(model, tmp_path / "small.gguf", "q8_0", "tiny")
    assert (tmp_path / "small.gguf").stat().st_size < 0.5 * (tmp_path / "model.gguf").stat().st_size


def test_a_model_of_another_kind_is_refused_with_the_reason(model: Path, tmp_path: Path) -> None:
    from mlctl.runtime.export.gguf_file import write_gguf

    config = json.loads((model / "config.json").read_text())
    for changed, why in (
        ({"model_type": "gpt_neox"}, "only `llama` is converted here"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "its positions are scaled"),
        ({"attention_bias": True}, "its layers have biases"),
    ):
        place = tmp_path / "other"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(model, place)
        (place / "config.json").write_text(json.dumps({**config, **changed}))
        with pytest.raises(MlctlError) as caught:
            write_gguf(place, tmp_path / "other.gguf", "f16", "other")
        assert why in caught.value.diagnostics[0].why
        assert not (tmp_path / "other.gguf").exists()


@pytest.mark.skipif(not environment_ready("xllamacpp"), reason="llama.cpp is not installed")
def test_llama_cpp_answers_with_the_file_as_the_source_does(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlctl.runtime.export.program import main
    from mlctl.runtime.report import Report

    monkeypatch.chdir(tmp_path)
    shutil.copytree(model, tmp_path / "model")
    (tmp_path / "chats.jsonl").write_text(
        "".join(json.dumps({"messages": conversation(index)[:1]}) + "\n" for index in range(8))
    )
    (tmp_path / "job").mkdir()
    params = {
        "address": "exports.edge", "format": "gguf", "target": None, "rows": 100, "file": "model.gguf",
        "model": {"name": "tiny", "version": "1", "folder": "model", "digest": "d", "serving": None},
        "dataset": {"name": "chats", "files": ["chats.jsonl"], "format": "jsonl", "digest": "d", "columns": {"messages": "json"}},
        "require": {"agreement": 0.7},
        "asking": {"precision": "f16", "prompt": None, "messages": "messages", "max_new_tokens": 6, "documents": 8, "python": str(environment_python("xllamacpp"))},
    }  # fmt: skip
    result = main(params, Report(Path("job")))
    assert result.gate is not None
    assert result.gate.passed, result.gate  # random weights: ties of 16 bits may turn an answer
    assert (result.outputs["rows"], result.outputs["file"]) == (8, "job/model.gguf")
    report = json.loads(Path("job/export.json").read_text())
    assert len(report["samples"]) == 8
    assert report["latency"]["export"]["tokens_per_second"] > 0
