"""Models from one format into another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlctl.runtime.report import Report
from mlctl.runtime.trainer.text.base import resolve
from mlctl.runtime.trainer.text.convert import main
from mlctl.types.jobs.recipe import CausalLmModel
from tests.integration.text.jobs import refused

pytestmark = pytest.mark.filterwarnings("default")
WIDTH, VOCABULARY = 32, 40


def run(place: Path, **params: Any) -> dict[str, Any]:
    return dict(main(params, Report(place / "job")).outputs)


def write_gguf(path: Path) -> dict[str, Any]:
    """A Llama with one layer in the format of llama.cpp; gives two of its tensors."""
    import gguf

    draw = np.random.default_rng(0)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(8)
    writer.add_vocab_size(VOCABULARY)
    tokens = [
        "<|endoftext|>",
        "<|im_end|>",
        *(chr(ord("a") + n) for n in range(26)),
        *(f"a{chr(98 + n)}" for n in range(12)),
    ]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, *[1] * (VOCABULARY - 2)])
    writer.add_token_merges([f"a {chr(98 + n)}" for n in range(12)])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    shapes = {
        "token_embd": (VOCABULARY, WIDTH), "blk.0.attn_q": (WIDTH, WIDTH), "blk.0.attn_k": (WIDTH // 2, WIDTH),
        "blk.0.attn_v": (WIDTH // 2, WIDTH), "blk.0.attn_output": (WIDTH, WIDTH), "blk.0.ffn_gate": (64, WIDTH),
        "blk.0.ffn_up": (64, WIDTH), "blk.0.ffn_down": (WIDTH, 64), "blk.0.attn_norm": (WIDTH,), "blk.0.ffn_norm": (WIDTH,),
        "output_norm": (WIDTH,), "output": (VOCABULARY, WIDTH),
    }  # fmt: skip
    made = {name: draw.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    for name, values in made.items():
        writer.add_tensor(f"{name}.weight", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return made


def test_a_gguf_file_becomes_a_folder_that_can_be_trained(place: Path) -> None:
    from safetensors.numpy import load_file

    made = write_gguf(place / "m.gguf")
    found = run(place, op="convert", source="m.gguf", folder="models/m", precision="fp32")
    assert found["parameters"] == sum(values.size for values in made.values())
    weights = load_file(place / "models" / "m" / "model.safetensors")
    assert np.array_equal(weights["model.embed_tokens.weight"], made["token_embd"])
    assert np.array_equal(weights["model.layers.0.mlp.down_proj.weight"], made["blk.0.ffn_down"])
    assert resolve(CausalLmModel(base="models/m", digest=None), place / "job") == Path("models/m")
    with refused("models.folder-exists", "nothing of it is overwritten"):
        run(place, op="convert", source="m.gguf", folder="models/m", precision="fp32")


def test_what_is_no_gguf_is_refused(place: Path) -> None:
    (place / "broken.gguf").write_bytes(b"GGUF" + b"\0" * 64)
    for source in ("broken.gguf", "nowhere", "."):
        if source == ".":
            (place / "other.gguf").write_bytes(b"")
        with refused("models.bad-gguf", source):
            run(place, op="convert", source=source, folder="models/m", precision="fp32")
    assert not (place / "models" / "m").exists()


def test_a_model_is_exported_without_what_only_we_need(base: Path, place: Path) -> None:
    from safetensors.torch import load_file

    (place / "model").mkdir()
    for path in base.iterdir():
        (place / "model" / path.name).write_bytes(path.read_bytes())
    (place / "model" / "MLmodel").write_text("")
    found = run(place, op="export", source="model", folder="out/plain")
    assert found["format"] == "merged"
    assert sorted(path.name for path in (place / "out" / "plain").iterdir()) == sorted(
        path.name for path in base.iterdir()
    )
    run(place, op="export", source="model", folder="out/half", precision="bf16")
    weights = load_file(place / "out" / "half" / "model.safetensors")
    assert {str(item.dtype) for item in weights.values()} == {"torch.bfloat16"}
    assert (place / "out" / "half" / "tokenizer.json").read_bytes() == (base / "tokenizer.json").read_bytes()
    with refused("models.not-a-language-model", "holds no language model"):
        run(place, op="export", source="out", folder="out2")


def test_a_model_is_converted_where_there_is_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlctl.cli.models_files import convert_model

    monkeypatch.chdir(tmp_path)
    write_gguf(tmp_path / "one.gguf")
    made = convert_model(Path("one.gguf"), Path("out"), "fp32")
    assert made["folder"] == str(tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.gguf", "out"]
