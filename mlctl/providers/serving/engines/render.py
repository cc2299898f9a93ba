"""From the block `engine` to how an engine is started. Pure: what only the machine knows comes in as `Facts`, or later (`EngineJob`)."""

from __future__ import annotations

from dataclasses import dataclass

from mlctl.providers.serving.engines import gpu_only
from mlctl.providers.serving.spec.engines import (
    CommandEngine,
    LlmEngine,
    SglangEngine,
    TensorRtLlmEngine,
    TgiEngine,
    TritonEngine,
    VllmEngine,
    XllamacppEngine,
)
from mlctl.types.jobs.llm import EngineJob

GIB = 2**30
TEMPLATE_FILE = "chat_template.jinja"
# vLLM runs the last one first: nobody loads an adapter or asks who we are without having passed the counts and the token
_INSIDE = [
    part
    for name in ("mlctl_inside.Guard", "mlctl_middleware.Middleware", "mlctl_inside.Versions")
    for part in ("--middleware", name)
]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a render needs to know besides the block."""

    name: str  # what requests call the model
    deployment: str  # which they may say as well, whatever model it serves
    model: str  # what is loaded: a folder relative to the project, or a hub's name
    gpu: bool
    python: str = ""  # of the engine's environment
    revision: str | None = None  # of a hub's model
    chat_template: str | None = None  # the text, where it is not the model's own


def render(engine: LlmEngine, facts: Facts) -> EngineJob:
    """How an engine is started. Raises TypeError for one that is none of a language model."""
    match engine:
        case VllmEngine():
            job = _vllm(engine, facts)
        case XllamacppEngine():
            job = _xllamacpp(engine, facts)
        case CommandEngine():
            job = _command(engine, facts)
        case SglangEngine():
            job = gpu_only.sglang(engine, facts.name, facts.model)
        case TgiEngine():
            job = gpu_only.tgi(engine, facts.model)
        case TensorRtLlmEngine():
            job = gpu_only.tensorrt_llm(engine, facts.model)
        case TritonEngine():
            job = gpu_only.triton(engine, facts.name, facts.model)
        case _:
            raise TypeError(f"{type(engine).__name__} runs no language model")
    return job.model_copy(
        update={
            "environment": {**job.environment, **engine.environment},
            "start_seconds": engine.start_timeout,
        }
    )


def _vllm(engine: VllmEngine, facts: Facts) -> EngineJob:
    command = [facts.python, "-m", "vllm.entrypoints.cli.main", "serve", "{model}", "--served-model-name"]
    command += list(dict.fromkeys((facts.name, facts.deployment)))
    command += ["--host", "{host}", "--port", "{port}", "--dtype", engine.dtype]
    environment = {"HF_HUB_OFFLINE": "1", "VLLM_CACHE_ROOT": "{cache}/vllm"}
    files: dict[str, str] = {}
    if facts.revision is not None:
        command += ["--revision", facts.revision]
    if facts.chat_template is not None:
        files[TEMPLATE_FILE] = facts.chat_template
        command += ["--chat-template", f"{{folder}}/{TEMPLATE_FILE}"]
    command += gpu_only.given(
        {
            "max-model-len": engine.max_model_len,
            "max-num-seqs": engine.max_running,
            "quantization": engine.quantization,
            "tensor-parallel-size": None if engine.tensor_parallel == 1 else engine.tensor_parallel,
            "gpu-memory-utilization": engine.gpu_memory,
        }
    )
    if not engine.prefix_caching:
        command.append("--no-enable-prefix-caching")
    if facts.gpu:
        command += gpu_only.given({"kv-cache-memory-bytes": engine.kv_cache_gb and engine.kv_cache_gb * GIB})
    else:
        # without a size, vLLM wants nearly all memory of the machine; without cores, two servers would sit on the same one
        environment |= {
            "VLLM_CPU_KVCACHE_SPACE": str(engine.kv_cache_gb or 1),
            "VLLM_CPU_OMP_THREADS_BIND": "{cores}",
        }
    if engine.compile is False or (engine.compile is None and not facts.gpu):
        command.append("--enforce-eager")
    if engine.lora is not None:
        command += ["--enable-lora", "--max-loras", str(engine.lora.max_adapters)]
        command += ["--max-lora-rank", str(engine.lora.max_rank)]
        environment["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "True"
    command += ["--disable-uvicorn-access-log", "--shutdown-timeout", "{drain}", *gpu_only.options(engine.extra)]
    return EngineJob(
        type="vllm",
        command=command,
        environment=environment,
        files=files,
        model=facts.model,
        middleware=_INSIDE,
        key_variables=["VLLM_API_KEY"],
        adapters=None if engine.lora is None else "vllm",
        threads=None if facts.gpu else engine.threads or 0,
    )


def _xllamacpp(engine: XllamacppEngine, facts: Facts) -> EngineJob:
    command = [facts.python, "{programs}/llama_cpp.py", "--model", "{model}", "--alias", facts.name]
    command += ["--host", "{host}", "--port", "{port}", "--threads", "{threads}"]
    command += ["--context", str(engine.max_model_len), "--parallel", str(engine.max_running)]
    files: dict[str, str] = {}
    if facts.chat_template is not None:
        files[TEMPLATE_FILE] = facts.chat_template
        command += ["--chat-template", f"{{folder}}/{TEMPLATE_FILE}"]
    return EngineJob(
        type="xllamacpp",
        command=command,
        files=files,
        model=engine.gguf,
        key_variables=["LLAMA_API_KEY"],
        threads=engine.threads or 0,
    )


def _command(engine: CommandEngine, facts: Facts) -> EngineJob:
    command = [part.replace("{name}", facts.name) for part in engine.command]
    return EngineJob(type="command", command=command, model=facts.model, health=engine.health)
