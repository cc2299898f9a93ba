"""`vllm run-batch` for real, where its environment is there."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest

from mlctl.processes.leftover import NOTE_FILE
from mlctl.types.environments import environment_python, environment_ready
from mlctl.types.jobs.batch import VllmEngine
from tests.integration.batch.test_text import job, made
from tests.integration.text.tiny import make_model

pytestmark = [
    pytest.mark.tools,
    pytest.mark.soak,
    pytest.mark.skipif(not environment_ready("vllm"), reason="vLLM is not installed"),
]


def test_vllm_answers_a_part_and_nothing_of_it_is_left(tmp_path: Path) -> None:
    make_model(tmp_path / "model", hidden=256)  # heads of 64 numbers: it knows no smaller ones than 32
    (tmp_path / "model" / "mlctl.json").write_text(json.dumps({"form": "messages"}))
    asked = job(tmp_path, ["what is red", None, "one two"])
    assert asked.generation is not None
    environment = {"HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CACHE_ROOT": str(tmp_path / "cache")}
    engine = VllmEngine(
        python=str(environment_python("vllm")), options=["--max-model-len", "128"], environment=environment
    )
    rows = made(
        asked.model_copy(update={"generation": asked.generation.model_copy(update={"engine": engine})}),
        tmp_path / "job",
    )
    assert [row["error"] for row in rows] == [None, "the row has no prompt", None]
    assert all(isinstance(rows[index]["answer"], str) for index in (0, 2))
    assert not (tmp_path / "job" / NOTE_FILE).exists()
    assert not [
        item for item in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(item.info["cmdline"] or ())
    ]
