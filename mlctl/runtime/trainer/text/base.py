"""The model that a training of text begins with: a folder, a model of a hub, and adapters that are merged into it first."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.recipe import CausalLmModel

CONFIG_FILE = "config.json"
ADAPTER_CONFIG = "adapter_config.json"
COMPOSED_FOLDER = "base"  # in the job's folder: the base with adapters merged into it
WEIGHT_FILES = "*.safetensors"
# what of a folder belongs to the tokenizer; copied as it is, so that text is coded as it always was
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja",
    "vocab.json", "merges.txt", "vocab.txt", "tokenizer.model",
)  # fmt: skip
_HUB_FILES = (CONFIG_FILE, "generation_config.json", "*.safetensors", "*.safetensors.index.json", *TOKENIZER_FILES)


def begin() -> None:
    """Settings of a process that works with models. Call it before torch is loaded: threads that wait sleep, since on a busy machine
    they slow each other down by an order of magnitude; and no bars, since this is read in a log."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("TQDM_DISABLE", "1")


def resolve(model: CausalLmModel, folder: Path) -> Path:
    """The folder of the model that a training begins with; one with adapters is made below `folder`. Raises MlctlError."""
    base = hub_folder(model.base, model.revision) if model.revision is not None else Path(model.base)
    check_folder(base)
    return base if not model.adapters else _composed(base, model, folder)


def load_folder(folder: Path, dtype: Any) -> Any:
    """A causal language model out of a folder, without a cache of keys: packed documents would see each other through it."""
    from transformers import AutoModelForCausalLM

    try:
        module = AutoModelForCausalLM.from_pretrained(
            str(folder), dtype=dtype, local_files_only=True, use_safetensors=True
        )
    except (OSError, ValueError, KeyError) as error:
        raise MlctlError.of(
            "training.bad-base",
            f"the model in `{folder}` cannot be loaded",
            str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__,
            "take a causal language model that Transformers knows, with whole files",
        ) from None
    module.config.use_cache = False
    return module


def hub_folder(name: str, revision: str) -> Path:
    """A hub's model at a revision, in the hub client's own cache, fetched when it is not there. Raises MlctlError."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(_HUB_FILES)))
    except HFValidationError as error:
        raise MlctlError.of(
            "training.bad-base",
            f"`{name}` is not the id of a model on a hub",
            str(error).strip().splitlines()[0],
            "write `OWNER/NAME`, or without `revision` a folder of the project",
        ) from None
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, OSError) as error:
        raise MlctlError.of(
            "training.hub-unreachable",
            f"`{name}` at `{revision}` is neither on this machine nor to be had from the hub",
            str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__,
            "check the id, the revision and the connection, or download the model and give its folder as `model.base`",
        ) from None


def check_folder(base: Path) -> None:
    """Raises MlctlError when a folder does not hold a model that can be loaded without unpickling."""
    ggufs = [base] if base.suffix == ".gguf" else sorted(base.glob("*.gguf"))
    if ggufs and not (base / CONFIG_FILE).is_file():
        raise MlctlError.of(
            "training.gguf",
            f"`{base}` holds a model in the format GGUF",
            "its weights are rounded for running and have to be written out before they can be trained",
            f"convert it once: mlctl models convert {ggufs[0]} FOLDER",
        )
    if not base.is_dir():
        raise MlctlError.of(
            "training.no-base",
            f"there is no folder `{base}`",
            "`model.base` names a folder of the project, or with `revision` the id of a model on a hub",
            "give the folder that holds config.json",
        )
    if not (base / CONFIG_FILE).is_file():
        raise MlctlError.of(
            "training.bad-base",
            f"`{base}` has no {CONFIG_FILE}",
            f"it holds {', '.join(sorted(path.name for path in base.iterdir())[:8]) or 'nothing'}",
            "an adapter goes into `model.adapters`"
            if (base / ADAPTER_CONFIG).is_file()
            else "give the folder of a model in the format of Transformers",
        )
    if not any(base.glob(WEIGHT_FILES)):
        raise MlctlError.of(
            "training.bad-base",
            f"`{base}` has no weights in the format safetensors",
            "other formats run code when they are loaded",
            "save the model again with `save_pretrained` of Transformers",
        )


def _composed(base: Path, model: CausalLmModel, folder: Path) -> Path:
    """The base with all adapters added by their weights, made once."""
    place, wanted = folder / COMPOSED_FOLDER, model.model_dump(mode="json")
    note = folder / f"{COMPOSED_FOLDER}.json"  # written last
    try:
        if json.loads(note.read_bytes()) == wanted and place.is_dir():
            return place
    except (OSError, ValueError):
        pass
    import torch

    from mlctl.runtime.trainer.text.merge import add_adapters

    dtype = load_dtype(base)
    # of several adapters the sum is rounded once, not after each
    module = add_adapters(load_folder(base, dtype if len(model.adapters) == 1 else torch.float32), model.adapters)
    stage = folder / f".{COMPOSED_FOLDER}.new"
    for path in (stage, place):
        shutil.rmtree(path, ignore_errors=True)
    save_folder(module.to(dtype), base, stage)
    os.replace(stage, place)
    atomic.write_json(note, wanted)
    return place


def load_dtype(base: Path) -> Any:
    """The type of the numbers that a model's folder holds."""
    import torch
    from safetensors import safe_open

    first = sorted(base.glob(WEIGHT_FILES))[0]
    with safe_open(first, framework="pt") as stored:
        kinds = {stored.get_slice(name).get_dtype() for name in stored.keys()}  # noqa: SIM118 (not a mapping)
    names = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
    return next((names[kind] for kind in ("BF16", "F16") if kind in kinds), torch.float32)


def save_folder(module: Any, like: Path, folder: Path) -> None:
    """Write a model as Transformers does, with the tokenizer of the folder `like` byte for byte."""
    folder.mkdir(parents=True)
    module.config.use_cache = True  # as it is for whoever generates text with it
    module.save_pretrained(folder)
    for name in TOKENIZER_FILES:
        if (like / name).is_file():
            shutil.copyfile(like / name, folder / name)
    for path in folder.iterdir():
        path.chmod(0o644)
        with open(path, "rb") as stream:
            os.fsync(stream.fileno())
