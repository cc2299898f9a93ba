"""What runs a model: the field `serve.engine`. Each engine has the fields that have an effect on it, and no others."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)

from mlctl.provider import Block
from mlctl.types.units import MOST, Duration

_OPTION = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET_WORDS = re.compile(r"(^|[-_])(api[-_]?key|token|password|secret)$")


def _variables(given: dict[str, str]) -> dict[str, str]:
    """Names that a system takes as those of environment variables. Raises ValueError."""
    for name in given:
        if not _VARIABLE.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of an environment variable")
        if name.startswith("MLCTL_"):
            raise ValueError(f"{name!r} is set by mlctl; variables of that beginning are its own")
    return given


def _is_ours(name: str, field: str) -> str:
    return f"`{name}` is set by mlctl; " + (f"set `{field}` instead" if field else "remove it")


Variables = Annotated[
    dict[str, str],
    AfterValidator(_variables),
    Field(
        default_factory=dict,
        description="Environment variables of the engine; the place for secrets, which never stand in arguments",
    ),
]
Option = Annotated[str | bool | int | float, Field(union_mode="left_to_right")]


class TorchEngine(Block):
    """A model in MLflow's format (PyTorch, scikit-learn, pyfunc) behind mlctl's own server."""

    type: Literal["torch"] = "torch"


class LlmEngine(Block):
    """What all engines of language models have. mlctl starts them, waits for them, and leaves nothing of them behind."""

    # options and variables that mlctl sets itself, with the field that stands for each; none where it is no field's
    owned: ClassVar[dict[str, str]] = {}

    type: str
    environment: Variables
    start_timeout: Annotated[
        Duration, Field(ge=1, le=86_400, description="How long it may take to load the model and to answer")
    ] = 600.0

    @model_serializer(mode="wrap")
    def _typed(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """With the type always: states leave defaults out, and without it all engines would look alike there."""
        return {"type": self.type, **handler(self)}

    @field_validator("environment")
    @classmethod
    def _unowned(cls, given: dict[str, str]) -> dict[str, str]:
        for name in given:
            if name in cls.owned:
                raise ValueError(_is_ours(name, cls.owned[name]))
        return given


class _WithOptions(LlmEngine):
    """An engine with a command line of its own."""

    extra: Annotated[
        dict[str, Option],
        Field(
            default_factory=dict,
            description="Further options of the engine by their names without dashes; `true` and `false` switch one on and off",
        ),
    ]

    @field_validator("extra")
    @classmethod
    def _free(cls, given: dict[str, Option]) -> dict[str, Option]:
        for name in given:
            if not _OPTION.fullmatch(name):
                raise ValueError(f"{name!r} is not the name of an option; write it without dashes in front")
            plain = name.replace("_", "-")
            if plain in cls.owned:
                raise ValueError(_is_ours(name, cls.owned[plain]))
            if _SECRET_WORDS.search(plain):
                raise ValueError(
                    f"`{name}` would stand in the arguments of a process, which others can read; give a secret by `environment`"
                )
        return given


Dtype = Annotated[
    Literal["auto", "bfloat16", "float16", "float32"],
    Field(description="The type of the weights; `auto` takes them as they are stored"),
]
Length = Annotated[
    int | None,
    Field(ge=1, description="The most tokens of a request and its answer; the model's own limit if not given"),
]
Running = Annotated[int | None, Field(ge=1, le=65_536, description="The most requests that are worked on at once")]
Parallel = Annotated[int, Field(ge=1, le=64, description="Over how many GPUs each layer is spread")]
Threads = Annotated[
    int | None,
    Field(
        ge=1, le=1024, description="Processor cores it may use, where it computes on those; half of them if not given"
    ),
]
Share = Annotated[float | None, Field(gt=0, le=1, description="The share of a GPU's memory that it may take")]
Python = Annotated[
    str | None,
    Field(
        description="An interpreter that has the engine, instead of the environment that `mlctl engine install` makes"
    ),
]


class LoraSpec(Block):
    """The base model is loaded once, and adapters into it while it runs; without it the merged model is served."""

    max_adapters: Annotated[int, Field(ge=1, le=64, description="How many adapters may be at work at once")] = 2
    max_rank: Annotated[
        Literal[8, 16, 32, 64, 128, 256, 320, 512], Field(description="The largest rank of an adapter")
    ] = 16


class VllmEngine(_WithOptions):
    """vLLM, in an environment of its own (`mlctl engine install vllm`) or behind `python`."""

    owned: ClassVar[dict[str, str]] = {
        "model": "", "served-model-name": "", "host": "serve.host", "port": "serve.port", "uds": "", "middleware": "", "tokenizer": "",
        "dtype": "dtype", "max-model-len": "max_model_len", "max-num-seqs": "max_running", "quantization": "quantization",
        "tensor-parallel-size": "tensor_parallel", "enable-prefix-caching": "prefix_caching", "enforce-eager": "compile",
        "enable-lora": "lora", "lora-modules": "lora", "max-loras": "lora.max_adapters", "max-lora-rank": "lora.max_rank",
        "kv-cache-memory-bytes": "kv_cache_gb", "gpu-memory-utilization": "gpu_memory", "shutdown-timeout": "serve.timeout",
        "disable-uvicorn-access-log": "", "api-key": "serve.auth", "chat-template": "", "root-path": "", "ssl-keyfile": "",
        "ssl-certfile": "", "VLLM_CPU_KVCACHE_SPACE": "kv_cache_gb", "VLLM_CPU_OMP_THREADS_BIND": "threads",
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "lora", "VLLM_CACHE_ROOT": "", "VLLM_API_KEY": "serve.auth", "VLLM_SERVER_DEV_MODE": "",
    }  # fmt: skip

    type: Literal["vllm"] = "vllm"
    python: Python = None
    dtype: Dtype = "auto"
    max_model_len: Length = None
    max_running: Running = None
    kv_cache_gb: Annotated[
        int | None, Field(ge=1, le=4096, description="Memory for the keys and values of requests; 1 on a processor")
    ] = None
    gpu_memory: Share = None
    quantization: Annotated[
        Literal["awq", "gptq", "gptq_marlin", "awq_marlin", "compressed-tensors", "fp8", "bitsandbytes", "modelopt"]
        | None,
        Field(description="How the weights are stored, where their folder does not say, or are to be made smaller"),
    ] = None
    tensor_parallel: Parallel = 1
    prefix_caching: Annotated[bool, Field(description="Keep the keys and values of common beginnings")] = True
    compile: Annotated[
        bool | None,
        Field(description="Compile the model: faster answers, a start slower by minutes; only on a GPU if not given"),
    ] = None
    lora: LoraSpec | None = None
    threads: Threads = None


class XllamacppEngine(LlmEngine):
    """llama.cpp's own server, by the package `xllamacpp` (`mlctl engine install xllamacpp`): GGUF files on a processor."""

    type: Literal["xllamacpp"] = "xllamacpp"
    python: Python = None
    gguf: Annotated[
        str, Field(min_length=1, description="The model as a GGUF file of the project, such as an export's")
    ]
    max_model_len: Annotated[int, Field(ge=1, lt=MOST, description="The most tokens of a request and its answer")] = (
        2048
    )
    max_running: Annotated[int, Field(ge=1, le=256, description="The most requests that are worked on at once")] = 8
    threads: Threads = None


class SglangEngine(_WithOptions):
    """SGLang, by an interpreter that has it."""

    owned: ClassVar[dict[str, str]] = {
        "model-path": "", "model": "", "served-model-name": "", "host": "serve.host", "port": "serve.port", "dtype": "dtype",
        "context-length": "max_model_len", "max-running-requests": "max_running", "quantization": "quantization",
        "tp-size": "tensor_parallel", "tp": "tensor_parallel", "tensor-parallel-size": "tensor_parallel",
        "disable-radix-cache": "prefix_caching", "mem-fraction-static": "gpu_memory", "enable-metrics": "",
    }  # fmt: skip

    type: Literal["sglang"] = "sglang"
    python: Annotated[str, Field(min_length=1, description="The interpreter of an environment that has SGLang")]
    dtype: Dtype = "auto"
    max_model_len: Length = None
    max_running: Running = None
    gpu_memory: Share = None
    quantization: Annotated[Literal["awq", "gptq", "fp8", "w8a8_int8", "bitsandbytes", "modelopt"] | None, Field()] = (
        None
    )
    tensor_parallel: Parallel = 1
    prefix_caching: bool = True


class TgiEngine(_WithOptions):
    """Text Generation Inference, by its launcher."""

    owned: ClassVar[dict[str, str]] = {
        "model-id": "", "hostname": "serve.host", "port": "serve.port", "dtype": "dtype", "quantize": "quantization",
        "max-total-tokens": "max_model_len", "max-concurrent-requests": "max_running", "num-shard": "tensor_parallel",
        "sharded": "tensor_parallel", "cuda-memory-fraction": "gpu_memory",
    }  # fmt: skip

    type: Literal["tgi"] = "tgi"
    launcher: Annotated[str, Field(min_length=1, description="The program `text-generation-launcher`")] = (
        "text-generation-launcher"
    )
    dtype: Annotated[Literal["auto", "bfloat16", "float16"], Field()] = "auto"
    max_model_len: Length = None
    max_running: Running = None
    gpu_memory: Share = None
    quantization: Annotated[Literal["awq", "gptq", "eetq", "fp8", "bitsandbytes", "marlin"] | None, Field()] = None
    tensor_parallel: Parallel = 1


class TensorRtLlmEngine(_WithOptions):
    """TensorRT-LLM, by `trtllm-serve` with its PyTorch backend."""

    owned: ClassVar[dict[str, str]] = {
        "host": "serve.host", "port": "serve.port", "backend": "", "max-seq-len": "max_model_len", "max-batch-size": "max_running",
        "tp-size": "tensor_parallel", "kv-cache-free-gpu-memory-fraction": "gpu_memory",
    }  # fmt: skip

    type: Literal["tensorrt_llm"] = "tensorrt_llm"
    program: Annotated[str, Field(min_length=1, description="The program `trtllm-serve`")] = "trtllm-serve"
    max_model_len: Length = None
    max_running: Running = None
    gpu_memory: Share = None
    tensor_parallel: Parallel = 1


class TritonEngine(_WithOptions):
    """Triton Inference Server with its vLLM backend, behind its own OpenAI front end."""

    owned: ClassVar[dict[str, str]] = {
        "model-repository": "", "tokenizer": "", "host": "serve.host", "openai-port": "serve.port", "backend": "",
        "enable-kserve-frontends": "",
    }  # fmt: skip

    type: Literal["triton"] = "triton"
    python: Annotated[str, Field(min_length=1, description="The interpreter of an environment that has Triton")] = (
        "python3"
    )
    frontend: Annotated[str, Field(min_length=1, description="Its OpenAI front end, `main.py`")] = (
        "/opt/tritonserver/python/openai/openai_frontend/main.py"
    )
    dtype: Dtype = "auto"
    max_model_len: Length = None
    max_running: Running = None
    gpu_memory: Share = None
    quantization: Annotated[Literal["awq", "gptq", "fp8", "bitsandbytes"] | None, Field()] = None
    tensor_parallel: Parallel = 1
    prefix_caching: bool = True


class CommandEngine(LlmEngine):
    """Any program that serves the OpenAI API on a port it is told."""

    type: Literal["command"] = "command"
    command: Annotated[
        list[str],
        Field(
            min_length=1,
            description="The program and its arguments, no shell: `{port}` and `{host}` are where it has to listen, `{model}` is the "
            "model's folder, `{name}` what requests call it",
        ),
    ]
    health: Annotated[str, Field(pattern=r"^/", description="A path that answers 200 once the model can be asked")] = (
        "/health"
    )

    @field_validator("command")
    @classmethod
    def _placed(cls, command: list[str]) -> list[str]:
        words = set(re.findall(r"\{(\w*)\}", " ".join(command)))
        if unknown := sorted(words - {"port", "host", "model", "name"}):
            raise ValueError(
                f"`{{{unknown[0]}}}` stands for nothing; there are {{port}}, {{host}}, {{model}} and {{name}}"
            )
        if "port" not in words:
            raise ValueError("`{port}` has to stand in the command: mlctl chooses the port that the engine listens on")
        return command


_ENGINES = (
    TorchEngine | VllmEngine | XllamacppEngine | SglangEngine | TgiEngine | TensorRtLlmEngine | TritonEngine | CommandEngine
)  # fmt: skip
SHORT = ("torch", "vllm", "tgi", "tensorrt_llm", "triton")  # a name alone will do


def _named(value: object) -> object:
    """`engine: torch` is short for `{type: torch}`, and `engine: {command: [...]}` needs no type."""
    if isinstance(value, dict) and "type" not in value:
        return {"type": "command" if "command" in value else "vllm" if "python" in value else "torch", **value}
    return {"type": value} if isinstance(value, str) else value


class _Short:
    """In the schema, a block or the name of an engine alone."""

    def __get_pydantic_json_schema__(self, core: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"enum": list(SHORT)}, handler(core)]}


Engine = Annotated[_ENGINES, Field(discriminator="type"), BeforeValidator(_named), _Short()]
