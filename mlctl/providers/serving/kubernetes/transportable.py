"""Whether a model can be served away from this machine, and what its server is told there. Raises MlctlError for what cannot."""

from __future__ import annotations

from collections.abc import Mapping

from mlctl.provider import Context, Desired
from mlctl.providers.serving.engines.capability import Machine
from mlctl.providers.serving.engines.job import is_language_model, llm_job
from mlctl.providers.serving.kubernetes.asking import engine_in_pod, server_in_pod
from mlctl.providers.serving.spec.deployment import DeploymentSpec
from mlctl.providers.serving.spec.engines import LlmEngine, TorchEngine
from mlctl.providers.serving.spec.target import KubernetesTarget
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.features import SqliteOnline
from mlctl.types.jobs.llm import EngineJob, LlmJob
from mlctl.types.jobs.server import ServerJob
from mlctl.types.value import Json


def in_pod(
    job: ServerJob | LlmJob, spec: DeploymentSpec, target: KubernetesTarget, address: str
) -> ServerJob | EngineJob:
    """What the server of a model is told in a pod."""
    if isinstance(job, ServerJob):
        _refuse_files_of_this_machine(job, address)
        return server_in_pod(job, spec, target)
    engine = spec.serve.engine
    if not isinstance(engine, LlmEngine):
        raise TypeError(f"`{engine.type}` runs no language model")
    if target.kserve is not None and target.kserve.mode == "llm" and job.engine.files:
        raise MlctlError.of(
            "deploy.own-template",
            f"`{job.model.name}` was trained on bare prompts, and KServe's template asks it as if in a conversation",
            "how it is to be asked is a file that the template has no place for",
            "remove `kserve`, or train it on conversations",
            address=address,
        )
    return engine_in_pod(engine, job, target)


def language_model(
    name: str, desired: Desired, outputs: Mapping[str, Json], predictions: str, ctx: Context
) -> LlmJob | None:
    """The server of a language model; None for a model of rows. Whether this machine could run the engine does not matter.

    Raises MlctlError when model and engine do not go together.
    """
    spec: DeploymentSpec = desired.spec
    if isinstance(spec.serve.engine, TorchEngine) and not is_language_model(outputs):
        return None
    gpus = spec.target.gpus if isinstance(spec.target, KubernetesTarget) else 0
    return llm_job(name, spec, outputs, predictions, ctx.root, Machine(gpus), lambda path: "")


def _refuse_files_of_this_machine(job: ServerJob, address: str) -> None:
    store = job.serving.store
    if store is not None and job.serving.views and isinstance(store.online, SqliteOnline):
        raise MlctlError.of(
            "deploy.store-out-of-reach",
            "the online store is a file of this machine",
            f"`{job.model.name}` looks up features in it, and pods cannot reach it",
            "use Redis or DynamoDB (`feature_store: {online: ...}`)",
            address=address,
        )
    folder = job.model.folder.rstrip("/")
    for item in job.serving.transformations:
        if item.root != folder and not item.root.startswith(f"{folder}/"):
            raise MlctlError.of(
                "deploy.code-out-of-reach",
                f"the function of {item.view} is a file of this project",
                f"`{job.model.name}` was trained before models kept a copy of such code",
                "train it again",
                address=address,
            )
