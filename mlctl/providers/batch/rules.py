"""What is wrong with batch predictions, before anything runs. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from mlctl.providers.batch.spec import BatchSpec
from mlctl.types.address import Address
from mlctl.types.diagnostic import Diagnostic
from mlctl.types.environments import ENVIRONMENTS, environment_ready
from mlctl.types.jobs.used_model import trainings_behind, views_behind


def engine_problems(spec: BatchSpec) -> Iterator[Diagnostic]:
    """An engine whose environment is not there."""
    if spec.generate is None or spec.generate.engine.type != "vllm" or spec.generate.engine.python is not None:
        return
    if "vllm" not in ENVIRONMENTS or not environment_ready("vllm"):
        yield Diagnostic(
            "batch.no-engine",
            "vLLM is not installed",
            "it lives in an environment of its own, so that it cannot break others",
            "run `mlctl engine install vllm`, or name an interpreter by `engine: {type: vllm, python: PATH}`",
            path=("generate", "engine"),
        )


def output_problems(batches: Mapping[Address, BatchSpec]) -> Iterator[tuple[Address, Diagnostic]]:
    """Batches that want the folder of another one, or one inside of it."""
    taken: dict[str, Address] = {}
    for address, spec in sorted(batches.items()):
        if spec.output is None:
            continue
        for folder, other in taken.items():
            if f"{spec.output}/".startswith(f"{folder}/") or f"{folder}/".startswith(f"{spec.output}/"):
                yield (
                    address,
                    Diagnostic(
                        "batch.same-output",
                        f"{address} and {other} both want the folder `{spec.output}`",
                        "a folder shows the predictions of one batch",
                        "give each an `output` of its own",
                        path=("output",),
                    ),
                )
        taken.setdefault(spec.output, address)


def model_problems(
    batches: Mapping[Address, BatchSpec],
    specs: Mapping[Address, Any],
    uses: Mapping[Address, Collection[Address]],
) -> Iterator[tuple[Address, Diagnostic]]:
    """Views that the model reads and the block does not name, or the other way round; `generate` for a model that writes nothing."""
    for address, spec in sorted(batches.items()):
        trainings = trainings_behind(address, spec.model, specs, uses)
        if not trainings:
            continue
        texts = {getattr(specs[found].model, "type", None) == "causal_lm" for found in trainings if found in specs}
        if texts == {True} and spec.generate is None:
            yield address, needs_generate(spec.model)
        if texts == {False} and spec.generate is not None:
            yield address, generate_unused(spec.model)
        found = {view.name for training in trainings for view in views_behind(training, uses)}
        if found != {*spec.features}:
            yield address, views_differ(spec.model, found, spec.features)


def needs_generate(model: str) -> Diagnostic:
    """A language model, and nothing said of what it is asked."""
    return Diagnostic(
        "batch.no-prompt",
        f"`{model}` is a language model, and the block does not say what it is asked",
        "its input is a column of texts or of conversations",
        "add `generate: {prompt: COLUMN}` or `generate: {messages: COLUMN}`",
        path=("model",),
    )


def generate_unused(model: str) -> Diagnostic:
    """A model of rows, and a block about texts."""
    return Diagnostic(
        "batch.generate-unused",
        f"`generate` has no effect: `{model}` gives a score for each row",
        "it is for language models",
        "remove it",
        path=("generate",),
    )


def views_differ(model: str, reads: Collection[str], named: Collection[str]) -> Diagnostic:
    """The feature views that are named are not those that the model reads."""
    missing, extra = sorted({*reads} - {*named}), sorted({*named} - {*reads})
    what = f"reads {_listed(missing)}, which `features` does not name" if missing else f"does not read {_listed(extra)}"
    return Diagnostic(
        "batch.other-views",
        f"`{model}` {what}",
        "what is predicted hangs on the snapshots of these views, so that they are inputs of the batch",
        f"write `features: [{', '.join(sorted(reads))}]`" if reads else "remove `features`",
        path=("features",),
    )


def _listed(names: Collection[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
