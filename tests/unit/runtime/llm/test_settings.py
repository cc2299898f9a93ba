from __future__ import annotations

import json
from pathlib import Path

from mlctl.runtime.llm.settings import as_text, middleware_settings
from mlctl.runtime.middleware import Settings, Traces
from mlctl.types.jobs.llm import EngineJob, LlmJob
from mlctl.types.jobs.observe import Observation, TracesTo
from mlctl.types.jobs.server import PredictionLog, ServedModel


def test_an_engine_is_told_how_it_is_observed_through_its_environment(tmp_path: Path) -> None:
    observe = Observation(
        unit_header="x-user", traces=TracesTo(endpoint="http://h:1", sample=0.5, headers={"x-key": "k"}), capture="hash"
    )
    job = LlmJob(
        deployment="support", host="127.0.0.1", port=0, model=ServedModel(name="m", version="1", folder="m"),
        engine=EngineJob(type="vllm", command=[], model="m"), timeout_seconds=1.0, log=PredictionLog(folder="p", features=False), observe=observe,
    )  # fmt: skip
    found = Settings.from_json(json.loads(as_text(middleware_settings(job, tmp_path, tmp_path))))
    assert (found.unit_header, found.capture, found.traces) == (
        "x-user",
        "hash",
        Traces("http://h:1", 0.5, {"x-key": "k"}),
    )
    assert (
        middleware_settings(job.model_copy(update={"observe": Observation()}), tmp_path, tmp_path).capture == "redacted"
    )
