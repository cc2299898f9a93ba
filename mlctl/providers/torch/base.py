"""The model that a language model's training begins with, looked at by its files alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from mlctl.estimate.known_models import config_named
from mlctl.files import atomic
from mlctl.provider import Context
from mlctl.providers.torch.layout import engine_of, fixed_layout
from mlctl.providers.torch.spec import CausalLm, Corpus, LowRank, TrainingSpec
from mlctl.types.diagnostic import Diagnostic, MlctlError, Severity, did_you_mean
from mlctl.types.jobs.recipe import Layout
from mlctl.types.jobs.transformer import ADAPTABLE, LLAMA_LIKE, architecture, parallel_problems

_REFERENCE = "${"
_COMMIT = re.compile(r"[0-9a-f]{7,40}")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "tokenizer_config.json")


def check_base(spec: TrainingSpec, model: CausalLm, ctx: Context) -> Iterator[Diagnostic]:
    """Whether the folders are there, whole, and can be cut as the strategy asks. What another resource puts out is not looked at."""
    if model.revision is not None:
        yield from _check_hub(model, ctx)
    elif _REFERENCE not in model.base:
        yield from _check_folder(model.base, ("model", "base"), ctx, hub=True)
    for index, item in enumerate(model.adapters):
        if _REFERENCE not in item.path:
            yield from _check_adapter(item.path, ("model", "adapters", index, "path"), ctx)
    if spec.distill is not None and _REFERENCE not in spec.distill.teacher:
        yield from _check_folder(spec.distill.teacher, ("distill", "teacher"), ctx, hub=False)
    config, layout = config_of(model, ctx), fixed_layout(spec)
    if config is not None:
        yield from _check_length(spec.data, config)
    config = config if model.revision is None else config_named(model.base)
    if config is not None and isinstance(spec.method, LowRank):
        yield from _check_target(spec.method, config)
    if config is not None and layout is not None and engine_of(spec) == "torch":
        yield from _check_layout(config, layout)


def _check_target(method: LowRank, config: Mapping[str, object]) -> Iterator[Diagnostic]:
    """Modules that the base does not have, where it is one whose modules are known. PEFT passes over one beside others."""
    if method.target == "all-linear" or architecture(config) not in LLAMA_LIKE:
        return
    for name in method.target:
        if name.rpartition(".")[2] not in ADAPTABLE:
            yield Diagnostic(
                "training.method-target",
                f"the base has no module `{name}` that an adapter could be put beside",
                f"{architecture(config)} has " + ", ".join(ADAPTABLE),
                did_you_mean(name, ADAPTABLE),
                path=("method", "target"),
            )


def _check_hub(model: CausalLm, ctx: Context) -> Iterator[Diagnostic]:
    """A revision is of a hub's model: a folder, or what another training made, has none."""
    named = _REFERENCE in model.base
    try:
        folder = not named and (ctx.path(model.base) / "config.json").is_file()
    except MlctlError:
        return  # no path of this project, so an id of a hub
    if named or folder:
        yield Diagnostic(
            "training.revision-unused",
            "`revision` has no effect on a folder" if folder else "`revision` has no effect on what a training made",
            f"with it `{model.base}` would be the id of a model on a hub",
            "remove `revision`",
            path=("model", "revision"),
        )
    elif not _COMMIT.fullmatch(str(model.revision)):
        yield Diagnostic(
            "training.revision-moves",
            f"the revision `{model.revision}` may be another model tomorrow",
            f"branches and tags of `{model.base}` can be moved, and a plan would not show it: nothing is trained again",
            "write the commit, 40 digits, as the hub shows it in the model's history",
            severity=Severity.WARNING,
            path=("model", "revision"),
        )


def _check_length(data: object, config: Mapping[str, object]) -> Iterator[Diagnostic]:
    """Rows that are longer than the model has places for."""
    longest = config.get("max_position_embeddings")
    if isinstance(data, Corpus) and isinstance(longest, int) and 0 < longest < data.max_length:
        yield Diagnostic(
            "training.too-long",
            f"the base takes at most {longest:,} tokens, and `max_length` is {data.max_length:,}",
            "its config.json says so (max_position_embeddings)",
            f"set `max_length: {longest}`, or less",
            path=("data", "max_length") if "max_length" in data.model_fields_set else ("data",),
        )


def _check_layout(config: Mapping[str, object], layout: Layout) -> Iterator[Diagnostic]:
    try:
        for what, why, fix in parallel_problems(config, layout):
            yield Diagnostic("training.layout", what, why, fix, path=("strategy",))
    except (KeyError, TypeError, ValueError) as error:
        yield Diagnostic(
            "training.base-incomplete",
            "the base's config.json does not say how the model is built",
            f"what is missing or of a wrong type: {error}",
            "use the config.json that the model came with",
            path=("model", "base"),
        )


def config_of(model: CausalLm, ctx: Context) -> Mapping[str, object] | None:
    """The base's config.json, where it is here to be read."""
    if model.revision is not None or _REFERENCE in model.base:
        return None
    try:
        return atomic.read_object(ctx.path(model.base) / "config.json")
    except (OSError, ValueError, MlctlError):  # a path that none can be
        return None


def base_parts(spec: TrainingSpec, ctx: Context) -> Mapping[str, str]:
    """The files of the base, the adapters and the teacher, as parts of a content key. What mlctl made is in the key as an input."""
    if not isinstance(spec.model, CausalLm):
        return {}
    folders = [item.path for item in spec.model.adapters]
    folders += [spec.model.base] if spec.model.revision is None else []
    folders += [spec.distill.teacher] if spec.distill is not None else []
    places = {folder: ctx.path(folder) for folder in folders if _REFERENCE not in folder}
    own = {folder: place for folder, place in places.items() if not place.is_relative_to(ctx.home.resolve())}
    return {f"base:{folder}": folder_digest(place, ctx) for folder, place in own.items()}


def folder_digest(place: Path, ctx: Context) -> str:
    """The digest of all files of a model's folder."""
    return ctx.digests.tree(sorted(path for path in place.rglob("*") if path.is_file()), place)


def _check_folder(folder: str, path: tuple[str, ...], ctx: Context, *, hub: bool) -> Iterator[Diagnostic]:
    try:
        place = ctx.path(folder)
    except MlctlError as error:
        yield from (Diagnostic(item.code, item.summary, item.why, item.fix, path=path) for item in error.diagnostics)
        return
    if place.is_file() and place.suffix == ".gguf":
        yield _incomplete(
            f"`{folder}` is a file",
            "it is in llama.cpp's format",
            f"write `mlctl models convert {folder} FOLDER`, and use that folder",
            path,
        )
    elif not place.is_dir():
        yield _missing(folder, path, ctx, hub=hub)
    else:
        yield from _check_files(folder, place, path)


def _check_files(folder: str, place: Path, path: tuple[str, ...]) -> Iterator[Diagnostic]:
    """Description, weights and tokenizer, as the worker needs them."""
    files = {item.name for item in place.iterdir()}
    gguf = sorted(name for name in files if name.endswith(".gguf"))
    if "config.json" not in files and gguf:
        fix = f"write `mlctl models convert {folder}/{gguf[0]} FOLDER`, and use that folder"
        yield _incomplete(f"`{folder}` has no config.json", f"it holds {gguf[0]}, in llama.cpp's format", fix, path)
    elif "config.json" not in files:
        why, fix = (
            "a model of Transformers is described by that file",
            "name the folder that holds config.json, the weights",
        )
        fix += " and the tokenizer"
        if "adapter_config.json" in files:
            why, fix = "it holds an adapter", "name the model that it was trained on, and put it under `model.adapters`"
        yield _incomplete(f"`{folder}` has no config.json", why, fix, path)
    elif atomic.read_object(place / "config.json") is None:
        why, fix = "it is cut off, or was edited by hand", "use the config.json that the model came with"
        yield _incomplete(f"the config.json of `{folder}` is no JSON object", why, fix, path)
    elif not files & set(_TOKENIZERS):
        why = "text becomes tokens by the very tokenizer that the model was made with"
        fix = f"put the tokenizer's files into it ({_TOKENIZERS[0]}, {_TOKENIZERS[-1]})"
        yield _incomplete(f"`{folder}` has no tokenizer", why, fix, path)
    elif not any(name.endswith(".safetensors") for name in files):
        why = "it has no file *.safetensors; other formats run code when they are loaded"
        fix = "put the model's files into it, or save the model again with `save_pretrained` of Transformers"
        yield _incomplete(f"`{folder}` has no weights", why, fix, path)


def _incomplete(what: str, why: str, fix: str, path: tuple[str, ...]) -> Diagnostic:
    return Diagnostic("training.base-incomplete", what, why, fix, path=path)


def _check_adapter(folder: str, path: tuple[str | int, ...], ctx: Context) -> Iterator[Diagnostic]:
    try:
        whole = (ctx.path(folder) / "adapter_config.json").is_file()
    except MlctlError as error:
        yield from (Diagnostic(item.code, item.summary, item.why, item.fix, path=path) for item in error.diagnostics)
        return
    if not whole:
        yield Diagnostic(
            "training.adapter-missing",
            f"`{folder}` is not a folder of an adapter",
            "it holds no adapter_config.json",
            "name a folder in PEFT's format, or write `${training.NAME.adapter}`",
            path=path,
        )


def _missing(folder: str, path: tuple[str, ...], ctx: Context, *, hub: bool) -> Diagnostic:
    nearby = [str(found.parent.relative_to(ctx.root)) for found in ctx.root.glob("*/*/config.json")]
    nearby += [found.parent.name for found in ctx.root.glob("*/config.json")]
    fix = did_you_mean(folder, nearby)
    if not fix:
        fix = "put the model's folder into the project"
        fix += ", or, for a model of a hub, add `revision:` with its commit" if hub else ""
    return Diagnostic(
        "training.base-missing",
        f"there is no folder `{folder}`",
        "the path is meant from the project folder",
        fix,
        path=path,
    )
