from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlctl.providers.serving.engines.capability import Machine
from mlctl.providers.serving.engines.job import llm_job
from mlctl.providers.serving.spec.deployment import DeploymentSpec
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.llm import LlmJob

LORA = {"type": "vllm", "python": "/opt/python", "lora": {"max_rank": 16}}


def project(root: Path, version: str = "1", form: str = "messages", **adapter: Any) -> dict[str, Any]:
    made = root / "made" / version
    (made / "model").mkdir(parents=True)
    (made / "model" / "mlctl.json").write_text(json.dumps({"form": form}))
    if adapter:
        (made / "adapter").mkdir()
        settings = {"base_model_name_or_path": "models/base", "r": 8, **adapter}
        (made / "adapter" / "adapter_config.json").write_text(json.dumps(settings))
    (root / "models" / "base").mkdir(parents=True, exist_ok=True)
    return {"name": "helper", "version": version, "model": f"made/{version}/model", "task": "causal_lm"}


def job(root: Path, outputs: dict[str, Any], engine: Any, **serve: Any) -> LlmJob:
    block = {"model": "helper@champion", "serve": {"port": 8000, "engine": engine, **serve}}
    spec = DeploymentSpec.model_validate(block)
    return llm_job("chat", spec, outputs, "predictions", root, Machine(), lambda path: f"digest of {path.name}")


def names(found: LlmJob) -> list[str]:
    """What requests may call the model that the engine has loaded."""
    command = found.engine.command
    return command[command.index("--served-model-name") + 1 : command.index("--host")]


def test_without_adapters_the_merged_model_is_served_by_its_own_name(tmp_path: Path) -> None:
    found = job(tmp_path, project(tmp_path, r=8), {"type": "vllm", "python": "/opt/python"})
    assert (found.engine.model, found.adapter) == ("made/1/model", None)
    assert names(found) == ["helper", "chat"]
    assert "--chat-template" not in found.engine.command


def test_an_adapter_is_served_with_its_base_and_a_name_of_its_own(tmp_path: Path) -> None:
    found = job(tmp_path, project(tmp_path, r=8), LORA)
    assert (found.engine.model, names(found)) == ("models/base", ["helper-base"])
    assert found.engine.model_digest == "digest of base"
    assert found.adapter is not None
    assert (found.adapter.name, found.adapter.folder) == ("helper-v1", "made/1/adapter")


def test_versions_of_one_base_share_an_engine_and_nothing_else_does(tmp_path: Path) -> None:
    one = job(tmp_path, project(tmp_path, "1", r=8), LORA)
    two = job(tmp_path, project(tmp_path, "2", r=4), LORA)
    assert one.engine_digest() == two.engine_digest()
    assert one != two
    assert one.engine_digest() != job(tmp_path, project(tmp_path, "3", r=8), {**LORA, "max_running": 2}).engine_digest()
    assert one.model_copy(update={"port": 1, "host": "::1"}).engine_digest() == one.engine_digest()
    merged = [job(tmp_path, project(tmp_path, version), {"type": "vllm", "python": "/p"}) for version in ("4", "5")]
    assert merged[0].engine_digest() != merged[1].engine_digest()


@pytest.mark.parametrize(
    ("adapter", "words"),
    [
        ({}, "was not trained as an adapter"),
        ({"r": 8, "use_dora": True}, "DoRA"),
        ({"r": 8, "modules_to_save": ["lm_head"]}, "lm_head"),
        ({"r": 32}, "its rank is 32"),
        ({"r": 8, "rank_pattern": {"q_proj": 64}}, "its rank is 64"),
        ({"r": 8, "base_model_name_or_path": "models/gone"}, "the base model `models/gone` does not exist"),
    ],
)
def test_an_adapter_that_vllm_cannot_load_is_refused_before_anything_runs(
    tmp_path: Path, adapter: dict[str, Any], words: str
) -> None:
    with pytest.raises(MlctlError) as caught:
        job(tmp_path, project(tmp_path, **adapter), LORA)
    [found] = caught.value.diagnostics
    assert words in f"{found.summary} {found.why}"
    assert "remove `lora`" in found.fix or "raise `lora.max_rank`" in found.fix


def test_a_base_of_a_hub_keeps_its_revision(tmp_path: Path) -> None:
    outputs = project(tmp_path, r=8, base_model_name_or_path="org/base", revision="abc123")
    found = job(tmp_path, outputs, LORA)
    assert (found.engine.model, found.engine.model_digest) == ("org/base", None)
    assert found.engine.command[found.engine.command.index("--revision") + 1] == "abc123"


@pytest.mark.parametrize(
    ("tokenizer", "begins"),
    [
        ({"post_processor": None}, False),
        ({"post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}]}}, True),
        ({"post_processor": {"type": "Sequence", "processors": [
            {"type": "ByteLevel"}, {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}]}]}}, True),
        ({"post_processor": {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}}]}}, False),
    ],
)  # fmt: skip
def test_a_prompt_is_written_as_the_training_wrote_it(tmp_path: Path, tokenizer: Any, begins: bool) -> None:
    jinja2 = pytest.importorskip("jinja2")
    outputs = project(tmp_path, form="prompt")
    (tmp_path / "made/1/model/tokenizer.json").write_text(json.dumps(tokenizer))
    found = job(tmp_path, outputs, {"type": "vllm", "python": "/opt/python"})
    template = jinja2.Template(found.engine.files["chat_template.jinja"])
    text = template.render(
        messages=[{"role": "user", "content": "What is AI?"}], bos_token="<s>", add_generation_prompt=True
    )
    assert text == ("<s>" if begins else "") + "What is AI?"


def test_model_and_engine_have_to_go_together(tmp_path: Path) -> None:
    outputs = project(tmp_path)
    with pytest.raises(MlctlError) as caught:
        job(tmp_path, outputs, "torch")
    assert caught.value.diagnostics[0].code == "deploy.language-model"
    with pytest.raises(MlctlError) as caught:
        job(tmp_path, {**outputs, "task": None}, "vllm")
    assert caught.value.diagnostics[0].code == "deploy.not-a-language-model"


def test_another_file_at_the_same_place_is_another_server(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"one")
    found = job(tmp_path, project(tmp_path), {"type": "xllamacpp", "gguf": "a.gguf", "python": "/p"})
    assert found.engine.model_digest == "digest of a.gguf"


def test_a_token_goes_into_the_job_and_not_into_arguments(tmp_path: Path) -> None:
    found = job(tmp_path, project(tmp_path), {"type": "vllm", "python": "/p"}, auth={"token": "a-long-secret-token"})
    assert found.admission.token == "a-long-secret-token"
    assert "a-long-secret-token" not in " ".join([*found.engine.command, *found.engine.environment.values()])
