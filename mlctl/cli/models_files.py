"""What `mlctl models export` and `convert` do: have a worker write a folder with a language model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlctl.cli.interrupting import Ending, interruptible
from mlctl.cli.models_tracing import remove_empty
from mlctl.cli.options import pick
from mlctl.cli.watching import watched
from mlctl.files.digests import FileDigests
from mlctl.launch import job
from mlctl.provider import Context
from mlctl.types.address import Address
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.types.interrupt import Interrupt, Manner
from mlctl.types.jobs.language_model import ConvertJob, ExportJob
from mlctl.types.value import digest
from mlctl.workspace import Workspace

_FORMATS = {"merged": "model", "adapter": "adapter"}  # the output that holds it
_PRECISIONS = ("fp32", "bf16", "fp16")


def export_model(workspace: Workspace, text: str, out: Path, form: str, precision: str | None) -> Mapping[str, Any]:
    """Copy what a training made. Raises MlctlError."""
    _known("--format", form, tuple(_FORMATS))
    if precision is not None:
        _known("--precision", precision, _PRECISIONS)
    name = Address.parse(text).name if text.startswith("training.") else text
    record = pick(workspace.records(), "training", name)
    source = record.outputs.get(_FORMATS[form])
    if not isinstance(source, str):
        raise MlctlError.of(
            "models.no-adapter",
            f"{record.key.address} has no adapter",
            "it was trained whole, without a method that adds one",
            "leave `--format` out",
        )
    params = ExportJob.model_validate({"source": source, "folder": str(out.absolute()), "precision": precision})
    return _made(workspace, params, f"exporting {record.key.address}")


def convert_model(source: Path, folder: Path, precision: str) -> Mapping[str, Any]:
    """Convert a GGUF file; it asks for no project. Raises MlctlError."""
    _known("--precision", precision, _PRECISIONS)
    values = {"source": str(source.absolute()), "folder": str(folder.absolute()), "precision": precision}
    params, stop = ConvertJob.model_validate(values).model_dump(mode="json"), Interrupt()
    with TemporaryDirectory(prefix="mlctl-convert-") as place:
        work = Path(place)
        context = Context(work, work, "", "", "", {}, FileDigests(), stop=stop)
        with interruptible(Ending(stop, default=Manner.STOP)), watched(context, f"converting {source.name}") as told:
            return job.run("language_model", params, work / "job", told).outputs


def _made(workspace: Workspace, asked: ExportJob, what: str) -> Mapping[str, Any]:
    _, context = workspace.reader()
    params = asked.model_dump(mode="json")
    folder = context.home / "models" / digest(params)
    job.discard(folder)
    try:
        with interruptible(Ending(workspace.stop, default=Manner.STOP)), watched(context, what) as told:
            return job.run("language_model", params, folder, told).outputs
    finally:
        job.discard(folder)
        remove_empty(folder.parent)


def _known(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise MlctlError.of(
            "cli.usage", f"`{option} {value}` is not known", f"it takes {', '.join(known)}", did_you_mean(value, known)
        )
