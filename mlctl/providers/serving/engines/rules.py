"""Offline rules over engines of language models: fields without effect, and engines for models of another kind. Pure but for what is installed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from mlctl.providers.serving.engines.capability import obstacles, planned_machine
from mlctl.providers.serving.engines.job import wrong_engine
from mlctl.providers.serving.spec.deployment import DeploymentSpec
from mlctl.providers.serving.spec.engines import TorchEngine
from mlctl.types.address import Address
from mlctl.types.diagnostic import Diagnostic


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
