"""The kind behind `exports`: a model for small machines, made once for each content, behind a gate."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from mlctl.launch import inputs, job
from mlctl.launch.job import JobState
from mlctl.provider import Condition, Context, Desired, Family, Observed, Outcome, Spec, diff_fields
from mlctl.providers.onnx.spec import ExportSpec
from mlctl.types import job as contract
from mlctl.types.address import Address
from mlctl.types.change import FieldChange, FieldClass
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.environments import ENVIRONMENTS, environment_python, environment_ready
from mlctl.types.jobs import export as jobs
from mlctl.types.jobs.evaluate import BINARY_METRICS, REGRESSION_METRICS
from mlctl.types.jobs.export import ExportJob
from mlctl.types.jobs.used_model import UsedModel, trainings_behind, views_behind
from mlctl.types.spoken import spoken_bytes
from mlctl.types.state import Record

_ROWS = 10_000
_LLAMA = "xllamacpp"


class Export:
    """Makes the file, compares it with its source on the dataset, and gives a verdict. The file is there whatever that is."""

    section: ClassVar[str] = "exports"
    family: ClassVar[Family] = Family.BUILD
    spec: ClassVar[type[Spec]] = ExportSpec
    identity: ClassVar[frozenset[str]] = frozenset()
    field_class: ClassVar[FieldClass] = FieldClass.EVALUATION
    settings: ClassVar[frozenset[str]] = frozenset()
    judges: ClassVar[bool] = True

    def check(self, spec: ExportSpec, ctx: Context) -> Sequence[Diagnostic]:
        """Metrics are known and of one kind, and llama.cpp is there where it is needed."""
        return tuple(_block_problems(spec))

    def check_together(
        self, specs: Mapping[Address, Any], uses: Mapping[Address, Collection[Address]], ctx: Context
    ) -> Iterable[tuple[Address, Diagnostic]]:
        """The format is one for the model, and the views are those that it reads."""
        for address, spec in sorted(specs.items()):
            if address.section != self.section:
                continue
            for training in sorted(trainings_behind(address, spec.model, specs, uses)):
                texts = getattr(specs[training].model, "type", None) == "causal_lm"
                if texts != (spec.format == "gguf"):
                    yield address, _other_format(spec, texts)
                reads = {view.name for view in views_behind(training, uses)}
                if reads != {*spec.features}:
                    yield address, _other_views(spec, reads)

    def read(self, prior: Record, ctx: Context) -> Observed | None:
        """Whether the file is there, as long as it was."""
        folder = ctx.folder(prior.key)
        if not prior.complete:
            running = job.state(folder) is JobState.RUNNING
            return Observed(condition=Condition.RUNNING, detail="exporting") if running else None
        file = prior.outputs.get("file")
        if job.state(folder) is not JobState.DONE or not isinstance(file, str):
            return None
        return Observed() if _is_there(ctx.root / file, prior.outputs) else None

    def diff(self, desired: Desired, prior: Record, seen: Observed) -> Sequence[FieldChange]:
        """Leaf by leaf; model, data and snapshots come in as inputs."""
        return diff_fields(desired, prior, seen)

    def apply(self, desired: Desired, prior: Record | None, ctx: Context) -> Outcome:
        """Export and compare, or take the verdict that is there."""
        folder = ctx.folder(desired.key)
        wanted = export_job(desired, ctx)
        if job.state(folder) is JobState.DONE and not (folder / wanted.file).is_file():
            (folder / contract.RESULT_FILE).unlink(missing_ok=True)  # the file is gone: it is made again
        result = job.run("export", wanted.model_dump(mode="json"), folder, ctx)
        return Outcome(desired.key.identity, dict(result.outputs), result.gate)

    def delete(self, prior: Record, ctx: Context) -> None:
        """Remove the file and the report."""
        job.discard(ctx.folder(prior.key))

    def log(self, prior: Record, ctx: Context) -> Path | None:
        """The log of the program."""
        path = ctx.folder(prior.key) / contract.LOG_FILE
        return path if path.exists() else None

    def describe(self, prior: Record) -> str:
        """The format, how much smaller it is, and the verdict."""
        form, before, after = (prior.outputs.get(name) for name in ("format", "source_bytes", "bytes"))
        if not form or before is None or after is None:
            return ""
        verdict = [] if prior.gate is None else [prior.gate.summary]
        return "  ".join([str(form), f"{spoken_bytes(before)} to {spoken_bytes(after)}", *verdict])


def export_job(desired: Desired, ctx: Context) -> ExportJob:
    """The parameters of the worker program. Raises MlctlError."""
    spec: ExportSpec = desired.spec
    asking = None
    if spec.generate is not None:
        asked = spec.generate
        python = asked.python if asked.python is not None else str(environment_python(_LLAMA))
        asking = jobs.Asking(**{**asked.model_dump(), "python": python, "precision": spec.precision or "f16"})
    return ExportJob(
        address=str(desired.address),
        model=_model(desired, ctx),
        format=spec.format,
        dataset=inputs.rows_of(desired, "export.remote-dataset", "an export is compared on files"),
        target=spec.target,
        rows=spec.rows or _ROWS,
        require=jobs.Limits(**spec.require.model_dump()),
        asking=asking,
        file=f"model{jobs.SUFFIXES[spec.format]}",
    )


def _model(desired: Desired, ctx: Context) -> UsedModel:
    spec: ExportSpec = desired.spec
    model = inputs.model_of(desired)
    if model.is_language_model != (spec.format == "gguf"):
        raise MlctlError([_other_format(spec, model.is_language_model)])
    inputs.check_there(model, desired, ctx)
    return inputs.with_snapshots(model, desired, spec.features, lambda reads, _named: _other_views(spec, reads))


def _block_problems(spec: ExportSpec) -> Iterator[Diagnostic]:
    names = {*spec.require.drop}
    for name in sorted(names - BINARY_METRICS - REGRESSION_METRICS):
        yield Diagnostic(
            "export.unknown-metric",
            f"there is no metric `{name}`",
            f"there are {', '.join(sorted(BINARY_METRICS | REGRESSION_METRICS))}",
            "correct the name",
            path=("require", "drop"),
        )
    if names & BINARY_METRICS and names & REGRESSION_METRICS:
        yield Diagnostic(
            "export.mixed-metrics",
            f"`{sorted(names & BINARY_METRICS)[0]}` and `{sorted(names & REGRESSION_METRICS)[0]}` never go together",
            "the one is of classes and the other of numbers",
            "keep those that fit the target",
            path=("require", "drop"),
        )
    if spec.generate is None or spec.generate.python is not None:
        return
    if _LLAMA not in ENVIRONMENTS or not environment_ready(_LLAMA):
        yield Diagnostic(
            "export.no-llama-cpp",
            "llama.cpp is not installed",
            "a GGUF file is judged by what llama.cpp answers with it, and that lives in an environment of its own",
            f"run `mlctl engine install {_LLAMA}`, or name an interpreter by `generate.python`",
            path=("generate",),
        )


def _other_format(spec: ExportSpec, texts: bool) -> Diagnostic:
    what, formats = ("a language model", "`gguf`") if texts else ("a model of rows", "`onnx` or `onnx_int8`")
    return Diagnostic(
        "export.other-format",
        f"`{spec.model}` is {what}, and `{spec.format}` is not for that",
        "ONNX is written of models of rows, and GGUF of language models",
        f"write `format:` {formats}",
        path=("format",),
    )


def _other_views(spec: ExportSpec, reads: Collection[str]) -> Diagnostic:
    return Diagnostic(
        "export.other-views",
        f"`{spec.model}` reads {', '.join(f'`{name}`' for name in sorted(reads)) or 'no feature view'}, and `features` says otherwise",
        "the rows that are compared get their features from these views",
        f"write `features: [{', '.join(sorted(reads))}]`" if reads else "remove `features`",
        path=("features",),
    )


def _is_there(file: Path, outputs: Mapping[str, Any]) -> bool:
    try:
        return bool(file.stat().st_size == outputs.get("bytes"))
    except OSError:
        return False
