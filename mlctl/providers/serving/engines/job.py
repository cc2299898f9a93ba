"""The job of a server of a language model: from a deployment and the evaluation behind its model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.files.digests import FileDigests
from mlctl.provider import Context, Desired
from mlctl.providers.serving.admission import admission
from mlctl.providers.serving.engines.capability import Machine, interpreter, refuse, this_machine
from mlctl.providers.serving.engines.render import Facts, render
from mlctl.providers.serving.observing import observation
from mlctl.providers.serving.spec.deployment import DeploymentSpec
from mlctl.providers.serving.spec.engines import LlmEngine, LoraSpec, TorchEngine, VllmEngine
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.llm import Adapter, LlmJob
from mlctl.types.jobs.server import PredictionLog, ServedModel
from mlctl.types.value import Json

_SETTINGS_FILE = "mlctl.json"  # of a trained model: what it was trained on, prompts or conversations
_ADAPTER_FOLDER, _ADAPTER_CONFIG = "adapter", "adapter_config.json"  # beside the model that it was merged into
# A model that was trained on bare prompts is asked in the same way, whoever speaks and whatever was said before.
_PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['content'] }}{% if not loop.last %}{{ '\\n' }}{% endif %}{% endfor %}"
)


@dataclass(frozen=True, slots=True)
class TextModel:
    """What is known of a registered language model from its folders."""

    name: str
    version: str
    folder: str  # merged, relative to the project
    chat_template: str | None = None  # where it has to be asked in another way than its own template says
    adapter: str | None = None  # the folder of its adapter, if it was trained as one
    settings: Mapping[str, Any] | None = None  # of the adapter


def is_language_model(outputs: Mapping[str, Json]) -> bool:
    """Whether an evaluation has judged one."""
    return outputs.get("task") == "causal_lm"


def text_model(outputs: Mapping[str, Json], root: Path) -> TextModel:
    """Read what an evaluation's model says of itself."""
    folder = Path(str(outputs["model"]))
    adapter = folder.parent / _ADAPTER_FOLDER
    settings = atomic.read_object(root / adapter / _ADAPTER_CONFIG)
    bare = (atomic.read_object(root / folder / _SETTINGS_FILE) or {}).get("form") == "prompt"
    return TextModel(
        name=str(outputs["name"]),
        version=str(outputs["version"]),
        folder=folder.as_posix(),
        chat_template=_template(root / folder) if bare else None,
        adapter=None if settings is None else adapter.as_posix(),
        settings=settings,
    )


def language_model_job(
    name: str, desired: Desired, outputs: Mapping[str, Json], predictions: str, ctx: Context
) -> LlmJob | None:
    """The server of a language model on this machine; None for a model of rows on the engine for those.

    Raises MlctlError when model and engine do not go together, or when this machine cannot run the engine.
    """
    spec: DeploymentSpec = desired.spec
    if isinstance(spec.serve.engine, TorchEngine) and not is_language_model(outputs):
        return None
    machine = this_machine()
    job = llm_job(name, spec, outputs, predictions, ctx.root, machine, lambda path: _content(path, ctx.digests))
    if not isinstance(spec.serve.engine, TorchEngine):
        refuse(spec.serve.engine, machine, str(desired.address))
    if not (ctx.root / job.engine.model).exists() and job.engine.model == getattr(spec.serve.engine, "gguf", None):
        raise MlctlError.of(
            "deploy.model-gone",
            f"the file `{job.engine.model}` does not exist",
            "the engine serves it",
            "put it there, or name another by `serve.engine.gguf`",
            address=str(desired.address),
        )
    return job


def llm_job(
    name: str,
    spec: DeploymentSpec,
    outputs: Mapping[str, Json],
    predictions: str,
    root: Path,
    machine: Machine,
    content: Callable[[Path], str],
) -> LlmJob:
    """What the server is told. Two equal jobs are the same server. `content` gives the digest of a file or a folder.

    Raises MlctlError for a model that the engine cannot serve.
    """
    engine = spec.serve.engine
    if isinstance(engine, TorchEngine) or not is_language_model(outputs):
        raise wrong_engine(spec, is_language_model(outputs))
    model, lora = text_model(outputs, root), engine.lora if isinstance(engine, VllmEngine) else None
    adapter = None if lora is None else _adapter(model, lora)
    rendered = render(engine, _facts(name, engine, model, root, machine))
    if (
        rendered.model != model.folder and (root / rendered.model).exists()
    ):  # no build of ours, whose path tells its content
        rendered = rendered.model_copy(update={"model_digest": content(root / rendered.model)})
    return LlmJob(
        deployment=name,
        host=spec.serve.host,
        port=spec.serve.port,
        model=ServedModel(name=model.name, version=model.version, folder=model.folder),
        engine=rendered,
        adapter=adapter,
        admission=admission(spec.serve),
        timeout_seconds=spec.serve.timeout,
        log=PredictionLog(folder=predictions, features=False, keep_days=spec.log.days)
        if spec.log.predictions
        else None,
        observe=observation(spec, predictions),
    )


def wrong_engine(spec: DeploymentSpec, language: bool) -> MlctlError:
    """An engine of language models for a model of rows, or the other way round."""
    if language:
        return MlctlError.of(
            "deploy.language-model",
            f"`{spec.model}` is a language model, and the engine `torch` answers rows of features with scores",
            "a language model is served by vLLM, llama.cpp, or another engine with the OpenAI API",
            "set `serve.engine: vllm` (once: `mlctl engine install vllm`)",
        )
    return MlctlError.of(
        "deploy.not-a-language-model",
        f"`{spec.model}` scores rows of features, and the engine `{spec.serve.engine.type}` runs language models",
        "its training has a `model` of another type than `causal_lm`",
        "remove `serve.engine`",
    )


def _facts(deployment: str, engine: LlmEngine, model: TextModel, root: Path, machine: Machine) -> Facts:
    python = str(interpreter(engine) or "")
    if isinstance(engine, VllmEngine) and engine.lora is not None:
        settings = model.settings or {}
        return Facts(
            name=f"{model.name}-base",
            deployment=f"{model.name}-base",
            model=_base(str(settings["base_model_name_or_path"]), model, root),
            gpu=machine.gpus > 0,
            python=python,
            revision=settings.get("revision"),
            chat_template=model.chat_template,
        )
    return Facts(model.name, deployment, model.folder, machine.gpus > 0, python, chat_template=model.chat_template)


def _adapter(model: TextModel, lora: LoraSpec) -> Adapter:
    """The adapter of a model, if vLLM can load it. Raises MlctlError."""
    if model.adapter is None or model.settings is None:
        raise _no_adapter(
            model,
            "it was not trained as an adapter, or its folder is gone",
            "remove `lora`: the model is served as it is",
        )
    if model.settings.get("use_dora"):
        raise _no_adapter(model, "it was trained by DoRA", "remove `lora`: the merged model is served")
    if model.settings.get("modules_to_save"):
        kept = ", ".join(map(str, model.settings["modules_to_save"]))
        raise _no_adapter(
            model, f"it has whole layers beside the adapter ({kept})", "remove `lora`: the merged model is served"
        )
    ranks = [int(model.settings["r"]), *map(int, (model.settings.get("rank_pattern") or {}).values())]
    if max(ranks) > lora.max_rank:
        raise _no_adapter(
            model,
            f"its rank is {max(ranks)}, and the engine is to take {lora.max_rank} at most",
            "raise `lora.max_rank`",
        )
    return Adapter(name=f"{model.name}-v{model.version}", folder=model.adapter, version=model.version)


def _no_adapter(model: TextModel, why: str, fix: str) -> MlctlError:
    what = f"version {model.version} of `{model.name}` cannot be loaded as an adapter"
    return MlctlError.of("deploy.no-adapter", what, why, fix)


def _base(named: str, model: TextModel, root: Path) -> str:
    """The base of an adapter: a folder of the project, or a hub's model. Raises MlctlError when the folder is gone."""
    local = named.startswith(("/", ".")) or named.count("/") != 1 or (root / named.split("/", 1)[0]).is_dir()
    if local and not (root / named).is_dir():
        raise MlctlError.of(
            "deploy.base-gone",
            f"the base model `{named}` does not exist",
            f"version {model.version} of `{model.name}` is an adapter of it",
            "put it back, or remove `lora`: the merged model is served",
        )
    return named


def _template(folder: Path) -> str:
    """A prompt as the training wrote it: as it is, after the token that the tokenizer puts in front of every text."""
    tokenizer = atomic.read_object(folder / "tokenizer_config.json") or {}
    post = (atomic.read_object(folder / "tokenizer.json") or {}).get("post_processor") or {}
    parts = [post, *(post.get("processors") or [])]
    begins = any(
        "SpecialToken" in (part.get("single") or [{}])[0] for part in parts if part.get("type") == "TemplateProcessing"
    )
    return ("{{ bos_token }}" if begins or tokenizer.get("add_bos_token") else "") + _PLAIN_TEMPLATE


def _content(path: Path, digests: FileDigests) -> str:
    """The digest of a file, or of the files of a folder."""
    if path.is_file():
        return digests.file(path)
    return digests.tree([item for item in path.rglob("*") if item.is_file()], path)
