"""Offline rules over engines of language models: fields without effect, and engines for models of another kind. Pure but for what is installed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from mlctl.provider import Context
from mlctl.providers.serving.engines.capability import obstacles, planned_machine
from mlctl.providers.serving.engines.job import wrong_engine
from mlctl.providers.serving.spec.deployment import DeploymentSpec
from mlctl.providers.serving.spec.engines import TorchEngine, XllamacppEngine
from mlctl.types.address import Address
from mlctl.types.diagnostic import Diagnostic, MlctlError, did_you_mean


def engine_problems(spec: DeploymentSpec) -> Iterator[Diagnostic]:
    """What one block says that has no effect with its engine, and what the engine needs that is not here (as warnings)."""
    engine = spec.serve.engine
    if isinstance(engine, TorchEngine):
        return
    yield from obstacles(engine, planned_machine())
    if "features" in spec.log.model_fields_set:
        yield Diagnostic(
            "deploy.no-effect",
            f"`features` has no effect with the engine `{engine.type}`",
            "a language model is asked with texts and has no features",
            "remove it",
            path=("log", "features"),
        )


def file_problems(spec: DeploymentSpec, ctx: Context) -> Iterator[Diagnostic]:
    """A GGUF file that is not there, and that nothing here will make. What exports make is in a folder of mlctl's own."""
    engine = spec.serve.engine
    if not isinstance(engine, XllamacppEngine) or "${" in engine.gguf:
        return
    try:
        path = ctx.path(engine.gguf)
    except MlctlError as error:
        yield from (replace(item, path=("serve", "engine", "gguf")) for item in error.diagnostics)
        return
    if path.is_file() or path.is_relative_to(ctx.home.resolve()):
        return
    near = sorted(str(item.relative_to(ctx.root.resolve())) for item in path.parent.glob("*.gguf"))
    yield Diagnostic(
        "deploy.no-file",
        f"there is no file `{engine.gguf}`",
        "the engine serves it, and no resource of the project makes it",
        did_you_mean(engine.gguf, near)
        or "put it there, or name what an export made (`mlctl show exports.NAME` says where)",
        path=("serve", "engine", "gguf"),
    )


def mismatches(
    deployments: Mapping[Address, DeploymentSpec],
    specs: Mapping[Address, Any],
    uses: Mapping[Address, Collection[Address]],
) -> Iterator[tuple[Address, Diagnostic]]:
    """Deployments whose engine is for another kind of model than the one that their evaluation judges."""
    for address, spec in sorted(deployments.items()):
        types = {item for item in _models(address, spec, specs, uses) if item is not None}
        rows = isinstance(spec.serve.engine, TorchEngine)
        if (rows and "causal_lm" in types) or (not rows and types - {"causal_lm"}):
            found = wrong_engine(spec, language=rows).diagnostics[0]
            yield address, Diagnostic(found.code, found.summary, found.why, found.fix, path=("serve", "engine"))


def _models(
    address: Address, spec: DeploymentSpec, specs: Mapping[Address, Any], uses: Mapping[Address, Collection[Address]]
) -> Iterator[str | None]:
    """The types of the models behind a deployment, as the trainings say that its evaluation judges."""
    wanted = f"model:{spec.model}"
    for gate in uses[address]:
        if gate.section == "evaluations" and gate in specs and wanted in set(specs[gate].provides()):
            for training in uses.get(gate, ()):
                if training.section == "training" and training in specs:
                    yield getattr(getattr(specs[training], "model", None), "type", None)
