"""From trained weights to what others use: an adapter, a merged model that is checked by its loss, and its figures."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from mlctl.files import atomic
from mlctl.files.digests import FileDigests
from mlctl.runtime.report import Report
from mlctl.runtime.trainer.early import kept_epoch
from mlctl.runtime.trainer.engine import WEIGHTS, Place
from mlctl.runtime.trainer.hf_engine import methods
from mlctl.runtime.trainer.hf_engine.rows import TokenRows
from mlctl.runtime.trainer.plan import PreparedText, RankPlan
from mlctl.runtime.trainer.stages import Finished
from mlctl.runtime.trainer.text import model as served
from mlctl.runtime.trainer.text.base import ADAPTER_CONFIG, load_dtype, load_folder, save_folder
from mlctl.runtime.trainer.text.measure import device, mean_loss, some_rows
from mlctl.runtime.trainer.text.merge import ADAPTER_FILE, merged
from mlctl.runtime.trainer.text.prepare import KEYS_FILE, statistics
from mlctl.runtime.trainer.weights import trained_weights, weights_gone
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.recipe import CausalLmModel, LoraMethod, Recipe
from mlctl.types.jobs.train import TextData, TextForm
from mlctl.types.value import digest_bytes

MODEL_FOLDER, ADAPTER_FOLDER = "model", "adapter"
# The loss of what was trained and of the folder made of it, on the same rows; what it was merged into.
_CHECKED_FILE = "saved.json"
_CHECKED_TOKENS = 16_384  # a pass over so many tokens tells a good merge from a bad one
# How far the loss may move, relative and absolute: bf16 keeps 8 bits of each number, and int8 rounds what the weights are multiplied
# with as well.
_TOLERANCE = {"fp32": (1e-3, 1e-4), "fp16": (5e-3, 2e-3), "bf16": (2e-2, 1e-2)}


def finish(
    recipe: Recipe, data: TextData, model: CausalLmModel, plan: PreparedText, folder: Path, ended: Mapping[str, Any],
    report: Report,
) -> Finished:  # fmt: skip
    """Make the model's folder, and for an adapter its own; judge it beside its base. A repeat finds what is made. Raises MlctlError.

    `recipe` is the one of the ranks, which begin with the folder `plan.base`; `model` is what the project asked for.
    """
    tokens, base = TokenRows(plan), Path(plan.base)
    named, revision = (model.base, model.revision) if not model.adapters else (os.path.relpath(base), None)
    adapted = isinstance(recipe.method, LoraMethod)
    if not (folder / MODEL_FOLDER).exists():
        report.progress("merging the adapter" if adapted else "saving the model")
        _make_model(recipe, data, tokens, base, folder)
    if adapted and not (folder / ADAPTER_FOLDER).exists():
        _keep_adapter(folder, named, revision)
    shutil.rmtree(folder / WEIGHTS, ignore_errors=True)  # the model and the adapter have them now
    checked = json.loads((folder / _CHECKED_FILE).read_bytes())
    base_loss = _base_loss(tokens, base, folder, report)
    best = kept_epoch(ended["history"], recipe.early_stopping)
    metrics = {
        "train_loss": best["train_loss"],
        "val_loss": best["val_loss"],
        "perplexity": _perplexity(best["val_loss"]),
        "base_val_loss": base_loss,
        "base_perplexity": _perplexity(base_loss),
    }
    if adapted:
        metrics |= {"adapter_loss": checked["trained"], "merge_loss": checked["saved"]}
    place, counts = Path(os.path.relpath(folder)), statistics(folder)
    outputs: dict[str, Any] = {
        "digest": _digest(folder / MODEL_FOLDER),
        "model": str(place / MODEL_FOLDER),
        "base": named,
        "base_revision": revision,
        "keys": str(place / KEYS_FILE),
        "task": "causal_lm",
        "text": data.model_dump(mode="json", include=set(TextForm.model_fields), exclude_none=True),
        "metrics": metrics,
        "rows": plan.train + plan.validation,
        "trainable_parameters": ended["trainable"],
        "parameters": ended["parameters"],
    }
    if adapted:
        outputs |= {"adapter": str(place / ADAPTER_FOLDER), "merged_into": checked["into"]}
    return Finished(outputs, {"dataset": data.dataset.statistics, "text": counts})


def _keep_adapter(folder: Path, base: str, revision: str | None) -> None:
    """The adapter in PEFT's format, with its base as the project names it."""
    place, stage = folder / ADAPTER_FOLDER, folder / f".{ADAPTER_FOLDER}.new"
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir()
    try:
        settings = json.loads((folder / WEIGHTS / ADAPTER_CONFIG).read_bytes())
    except (OSError, ValueError):
        raise weights_gone(folder) from None
    settings |= {"base_model_name_or_path": base, "revision": revision, "inference_mode": True}
    atomic.write_json(stage / ADAPTER_CONFIG, settings, mode=0o644)
    _link(folder / WEIGHTS / ADAPTER_FILE, stage / ADAPTER_FILE)
    os.replace(stage, place)


def _link(source: Path, target: Path) -> None:
    """The same bytes under another name; a copy where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _make_model(recipe: Recipe, data: TextData, tokens: TokenRows, base: Path, folder: Path) -> None:
    """Write the model beside, check that it foretells as well as what was trained, and swap it in."""
    stage = folder / f".{MODEL_FOLDER}.new"
    rows = some_rows(tokens, _CHECKED_TOKENS)
    adapted = isinstance(recipe.method, LoraMethod)
    wanted = load_dtype(base)
    module, trained, into = _trained(recipe, tokens, base, folder, rows, wanted)
    for number, dtype in enumerate(dict.fromkeys([wanted, torch.float32]) if adapted else [module.dtype]):
        shutil.rmtree(stage, ignore_errors=True)
        if number:  # rounding did harm: the weights as they were before it
            module, _, _ = _trained(recipe, tokens, base, folder, None, dtype)
        save_folder(module.to(dtype), base, stage / MODEL_FOLDER)
        module = None  # so that only one of both is in memory
        saved = mean_loss(load_folder(stage / MODEL_FOLDER, dtype).to(device()), tokens, rows)
        if _agree(trained, saved, dtype, recipe):
            break
    else:
        shutil.rmtree(stage)
        raise MlctlError.of(
            "training.merge-failed",
            f"the saved model has a loss of {saved:.4f} where the trained one has {trained:.4f}, on the same {len(rows)} rows",
            f"the weights were merged into {into}" if into else "the weights were saved and loaded again",
            f"the trained weights are kept in {folder / WEIGHTS}; please report this",
        )
    _write_mlflow_format(stage, data)
    atomic.write_json(folder / _CHECKED_FILE, {"trained": trained, "saved": saved, "into": into})
    os.replace(stage / MODEL_FOLDER, folder / MODEL_FOLDER)
    atomic.sync_folder(folder)
    shutil.rmtree(stage)


def _agree(trained: float, saved: float, dtype: torch.dtype, recipe: Recipe) -> bool:
    """Whether two losses are the same but for the rounding of the coarsest numbers that went into them."""
    names = {torch.float16: "fp16", torch.bfloat16: "bf16"}
    used = [names.get(dtype, "fp32")]
    if isinstance(recipe.method, LoraMethod):
        used += [recipe.precision, *(["bf16"] if recipe.method.quantization == "int8" else [])]
    relative, absolute = max(_TOLERANCE[name] for name in used)
    return abs(saved - trained) <= relative * abs(trained) + absolute


def _trained(
    recipe: Recipe, tokens: TokenRows, base: Path, folder: Path, rows: list[int] | None, dtype: torch.dtype
) -> tuple[Any, float, str]:
    """The module to save, of this type at least when an adapter was merged; the loss of what was trained on these rows; what was
    merged into."""
    if not isinstance(recipe.method, LoraMethod):
        state = trained_weights(folder)
        module = load_folder(base, next(iter(state.values())).dtype)
        _fill(module, state)
        loss = math.nan if rows is None else mean_loss(module.to(device()), tokens, rows)
        return module.to("cpu"), loss, ""
    trained = _with_adapter(recipe, tokens.data, folder)
    loss = math.nan if rows is None else mean_loss(trained, tokens, rows)
    if _quantized(recipe):  # what was trained is a correction of the rounded weights: they are what it is added to
        plain = trained.unload().dequantize(torch.float32).to("cpu")
        kind = recipe.method.quantization
        into = f"the base with its weights rounded to {kind}, as it was trained beside, written out in full"
    else:
        del trained
        plain, into = load_folder(base, dtype), "the base"
    return merged(plain, folder / WEIGHTS), loss, into


def _with_adapter(recipe: Recipe, data: PreparedText, folder: Path) -> Any:
    """The model as it was trained: the base in its precision, or rounded, with the adapter beside it."""
    trained = methods.load(RankPlan(data=data, model={}, recipe=recipe), Place(folder, 0, 1, 0, device())).eval()
    try:
        methods.read(folder / WEIGHTS, trained)
    except (OSError, SafetensorError):
        raise weights_gone(folder) from None
    if not _quantized(recipe):
        return trained.to(device())
    import bitsandbytes

    # a layer that is not being trained is packed for speed on a CPU: in place, and only some shapes can be
    for item in trained.modules():
        if isinstance(item, bitsandbytes.nn.Linear4bit):
            item.training = True
    return trained


def _quantized(recipe: Recipe) -> bool:
    return isinstance(recipe.method, LoraMethod) and recipe.method.type == "qlora"


def _fill(module: Any, state: Mapping[str, torch.Tensor]) -> None:
    """Put all trained weights in; names that share one tensor need be there once."""
    result = module.load_state_dict(dict(state), strict=False)
    shared = {name for name, _ in module.named_parameters(remove_duplicate=False)} - {
        name for name, _ in module.named_parameters()
    }
    missing = sorted(set(result.missing_keys) - shared)
    if missing or result.unexpected_keys:
        names = ", ".join([*missing, *result.unexpected_keys][:5])
        raise MlctlError.of(
            "training.bad-weights", "the trained weights are not those of the base", f"{names} do not fit",
            "remove the training's folder and run `mlctl apply` again",
        )  # fmt: skip
    module.tie_weights()


def _base_loss(tokens: TokenRows, base: Path, folder: Path, report: Report) -> float:
    """The loss of the model before it was trained, over all validation rows. Kept, since it takes a while."""
    note = folder / "base-loss.json"
    try:
        return float(json.loads(note.read_bytes())["loss"])
    except (OSError, ValueError, KeyError):
        pass
    data = tokens.data
    rows = range(data.train, data.train + data.validation)
    module = load_folder(base, load_dtype(base)).to(device())
    loss = mean_loss(
        module, tokens, rows, lambda done: report.progress("measuring the base", done, data.validation, "rows")
    )
    atomic.write_json(note, {"loss": loss})
    return loss


def _perplexity(loss: float) -> float:
    return math.exp(min(loss, 700.0))


def _digest(folder: Path) -> str:
    """Of what answers depend on: weights, tokenizer and chat template, but no version or time of making."""
    files = [
        path for path in folder.iterdir() if path.suffix in (".safetensors", ".jinja") or path.name == "tokenizer.json"
    ]
    return FileDigests().tree(files, folder)


def _write_mlflow_format(stage: Path, data: TextData) -> None:
    """What makes the folder an MLflow model too: it loads through our own small loader, shipped with it, and nothing is unpickled."""
    import mlflow.pyfunc
    import transformers
    from mlflow.models import ModelSignature
    from mlflow.types import ParamSchema, ParamSpec

    place = stage / MODEL_FOLDER
    form = next(name for name in ("messages", "prompt", "text") if getattr(data, name) is not None)
    atomic.write_json(place / served.SETTINGS_FILE, {"form": form}, mode=0o644)
    source = Path(served.__file__).read_bytes()
    loader = f"mlctl_text_model_{digest_bytes(source)[:8]}"  # models made by other versions of it can be loaded beside
    code = stage / f"{loader}.py"
    code.write_bytes(source)
    versions = (
        ("mlflow", mlflow.__version__),
        ("torch", torch.__version__),
        ("transformers", transformers.__version__),
    )
    requirements = [f"{name}=={version.split('+')[0]}" for name, version in versions]
    length = ParamSpec("max_new_tokens", "long", served.MOST_NEW_TOKENS)
    mlflow.pyfunc.save_model(
        str(stage / "mlflow"),
        loader_module=loader,
        code_paths=[str(code)],
        signature=ModelSignature(params=ParamSchema([length])),
        pip_requirements=requirements,
    )
    for path in (stage / "mlflow").iterdir():
        os.replace(path, place / path.name)
