"""How engines are started that need a GPU. Pure; each command line is what its own documentation asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping

from mlctl.providers.serving.spec.engines import SglangEngine, TensorRtLlmEngine, TgiEngine, TritonEngine
from mlctl.types.jobs.llm import EngineJob

_OFFLINE = {"HF_HUB_OFFLINE": "1"}


def given(options: Mapping[str, str | int | float | None]) -> list[str]:
    """`--name value` of those that have a value."""
    return [part for name, value in options.items() if value is not None for part in (f"--{name}", str(value))]


def options(extra: Mapping[str, str | bool | int | float]) -> list[str]:
    """A project's own options: `--name value`, `--name` for true, `--no-name` for false."""
    found: list[str] = []
    for name, value in sorted(extra.items()):
        if isinstance(value, bool):
            found.append(f"--{name}" if value else f"--no-{name}")
        else:
            found += [f"--{name}", str(value)]
    return found


def sglang(engine: SglangEngine, name: str, model: str) -> EngineJob:
    """SGLang's own server."""
    command = [engine.python, "-m", "sglang.launch_server", "--model-path", "{model}", "--served-model-name", name]
    command += ["--host", "{host}", "--port", "{port}", "--dtype", engine.dtype, "--enable-metrics"]
    command += given(
        {
            "context-length": engine.max_model_len,
            "max-running-requests": engine.max_running,
            "quantization": engine.quantization,
            "tp-size": None if engine.tensor_parallel == 1 else engine.tensor_parallel,
            "mem-fraction-static": engine.gpu_memory,
        }
    )
    if not engine.prefix_caching:
        command.append("--disable-radix-cache")
    return EngineJob(type="sglang", command=[*command, *options(engine.extra)], environment=_OFFLINE, model=model)


def tgi(engine: TgiEngine, model: str) -> EngineJob:
    """The launcher of Text Generation Inference; it answers to any name of a model."""
    command = [engine.launcher, "--model-id", "{model}", "--hostname", "{host}", "--port", "{port}"]
    command += given(
        {
            "dtype": None if engine.dtype == "auto" else engine.dtype,
            "max-total-tokens": engine.max_model_len,
            "max-concurrent-requests": engine.max_running,
            "quantize": engine.quantization,
            "num-shard": None if engine.tensor_parallel == 1 else engine.tensor_parallel,
            "cuda-memory-fraction": engine.gpu_memory,
        }
    )
    return EngineJob(type="tgi", command=[*command, *options(engine.extra)], environment=_OFFLINE, model=model)


def tensorrt_llm(engine: TensorRtLlmEngine, model: str) -> EngineJob:
    """TensorRT-LLM's server, which builds what it needs from the model's folder; it calls the model by the folder's name."""
    command = [engine.program, "{model}", "--host", "{host}", "--port", "{port}", "--backend", "pytorch"]
    command += given(
        {
            "max_seq_len": engine.max_model_len,
            "max_batch_size": engine.max_running,
            "tp_size": None if engine.tensor_parallel == 1 else engine.tensor_parallel,
            "kv_cache_free_gpu_memory_fraction": engine.gpu_memory,
        }
    )
    return EngineJob(type="tensorrt_llm", command=[*command, *options(engine.extra)], environment=_OFFLINE, model=model)


def triton(engine: TritonEngine, name: str, model: str) -> EngineJob:
    """Triton's OpenAI front end over a repository of one model, which its vLLM backend runs."""
    command = [engine.python, engine.frontend, "--model-repository", "{folder}/repository", "--tokenizer", "{model}"]
    command += ["--backend", "vllm", "--host", "{host}", "--openai-port", "{port}", *options(engine.extra)]
    settings = {
        "model": "{model}",
        "dtype": engine.dtype,
        "max_model_len": engine.max_model_len,
        "max_num_seqs": engine.max_running,
        "quantization": engine.quantization,
        "tensor_parallel_size": None if engine.tensor_parallel == 1 else engine.tensor_parallel,
        "gpu_memory_utilization": engine.gpu_memory,
        "enable_prefix_caching": engine.prefix_caching,
    }
    kept = {key: value for key, value in settings.items() if value is not None}
    return EngineJob(
        type="triton",
        command=command,
        environment=_OFFLINE,
        files={
            f"repository/{name}/1/model.json": json.dumps(kept, indent=2) + "\n",
            f"repository/{name}/config.pbtxt": 'backend: "vllm"\ninstance_group [ { count: 1, kind: KIND_MODEL } ]\n',
        },
        model=model,
        health="/health/ready",
    )
