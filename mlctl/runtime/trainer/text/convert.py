"""The `language_model` program: a GGUF file becomes a folder that can be trained, a trained model one that others take."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.runtime.report import Report
from mlctl.types.diagnostic import MlctlError
from mlctl.types.job import JobResult, JobStatus
from mlctl.types.jobs.language_model import ConvertJob, ExportJob

_OF_TRANSFORMERS = ("config.json", "generation_config.json", "*.safetensors", "*.safetensors.index.json")


def main(params: dict[str, Any], report: Report) -> JobResult:
    """Convert or export. Raises MlctlError."""
    from mlctl.runtime.trainer.text.base import begin

    begin()
    if params["op"] == "export":
        return JobResult(JobStatus.DONE, export(ExportJob.model_validate(params), report))
    return JobResult(JobStatus.DONE, convert(ConvertJob.model_validate(params), report))


def convert(job: ConvertJob, report: Report) -> dict[str, Any]:
    """Write out a GGUF file's weights; gives the folder and the number of parameters. Raises MlctlError."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    source, target = _gguf(Path(job.source)), _free(Path(job.folder))
    report.progress(f"reading {source.name}")
    dtype = _dtypes()[job.precision]
    try:
        where = {"gguf_file": source.name, "local_files_only": True}
        tokenizer = AutoTokenizer.from_pretrained(str(source.parent), **where)
        module = AutoModelForCausalLM.from_pretrained(
            str(source.parent), dtype=dtype, quantization_config=GgufConfig(dequantize=True), **where
        )
    except (OSError, ValueError, KeyError, NotImplementedError, RuntimeError) as error:
        raise MlctlError.of(
            "models.bad-gguf",
            f"`{source}` cannot be converted",
            str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__,
            "take a GGUF file of an architecture that Transformers knows, or the model's own safetensors",
        ) from None
    report.progress("writing safetensors")
    stage = _stage(target)
    module.to(dtype).save_pretrained(stage)
    tokenizer.save_pretrained(stage)
    _swap_in(stage, target)
    return {
        "folder": str(target),
        "parameters": int(sum(item.numel() for item in module.parameters())),
        "source": str(source),
    }


def export(job: ExportJob, report: Report) -> dict[str, Any]:
    """Copy a trained model or adapter without what only mlctl and MLflow need; its weights in another type if asked for."""
    from mlctl.runtime.trainer.text.base import ADAPTER_CONFIG, CONFIG_FILE, TOKENIZER_FILES, load_folder, save_folder
    from mlctl.runtime.trainer.text.merge import ADAPTER_FILE

    source, target = Path(job.source), _free(Path(job.folder))
    adapter = (source / ADAPTER_CONFIG).is_file()
    if not adapter and not (source / CONFIG_FILE).is_file():
        raise MlctlError.of(
            "models.not-a-language-model",
            f"`{source}` holds no language model",
            f"it has neither {CONFIG_FILE} nor {ADAPTER_CONFIG}",
            "name a training of a language model",
        )
    stage = _stage(target)
    report.progress("copying the model")
    if job.precision is None:
        wanted = (ADAPTER_CONFIG, ADAPTER_FILE) if adapter else (*_OF_TRANSFORMERS, *TOKENIZER_FILES)
        stage.mkdir(parents=True)
        for path in sorted({found for pattern in wanted for found in source.glob(pattern)}):
            shutil.copyfile(path, stage / path.name)
    elif adapter:
        raise MlctlError.of(
            "models.adapter-precision",
            "an adapter is exported as it is",
            "it is small, and its precision is that of what was learnt",
            "leave the precision out, or export the merged model",
        )
    else:
        dtype = _dtypes()[job.precision]
        save_folder(load_folder(source, dtype), source, stage)
    _swap_in(stage, target)
    return {"folder": str(target), "format": "adapter" if adapter else "merged"}


def _dtypes() -> dict[str, Any]:
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def _gguf(source: Path) -> Path:
    found = [source] if source.is_file() else sorted(source.glob("*.gguf"))
    if len(found) != 1 or found[0].suffix != ".gguf":
        raise MlctlError.of(
            "models.bad-gguf",
            f"`{source}` is no GGUF file" if len(found) < 2 else f"`{source}` holds {len(found)} GGUF files",
            "one file is converted into one folder",
            "name the file, for example `model.Q4_1.gguf`",
        )
    return found[0]


def _free(folder: Path) -> Path:
    if folder.exists():
        raise MlctlError.of(
            "models.folder-exists",
            f"`{folder}` exists already",
            "nothing of it is overwritten",
            "name another folder, or move it away",
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder


def _stage(target: Path) -> Path:
    stage = target.with_name(f".{target.name}.new")
    shutil.rmtree(stage, ignore_errors=True)  # what a kill left
    return stage


def _swap_in(stage: Path, target: Path) -> None:
    for path in stage.iterdir():
        path.chmod(0o644)
        with open(path, "rb") as stream:
            os.fsync(stream.fileno())
    os.rename(stage, target)
    atomic.sync_folder(target.parent)
