"""From the block of a deployment, and the models that it serves, to what a cluster is asked for. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mlctl.providers.serving.engines.render import TEMPLATE_FILE, Facts, render
from mlctl.providers.serving.kubernetes.asked import Asked, Monitored, Route, Scale, pod_params
from mlctl.providers.serving.kubernetes.naming import Owner
from mlctl.providers.serving.kubernetes.pods import MODEL_FOLDER, Pods
from mlctl.providers.serving.kubernetes.workloads import CONFIG_MARK
from mlctl.providers.serving.spec.deployment import DeploymentSpec
from mlctl.providers.serving.spec.engines import LlmEngine
from mlctl.providers.serving.spec.target import KubernetesTarget
from mlctl.providers.serving.wanted import wanted
from mlctl.types.jobs.llm import EngineJob, LlmJob
from mlctl.types.jobs.rollout import GatewaySpec, Revision, Stepwise, Strategy, Wanted
from mlctl.types.jobs.server import ServerJob
from mlctl.types.value import digest

_ANYWHERE = "0.0.0.0"  # noqa: S104 (in a pod; who may reach it is the cluster's to say)
_PYTHON = "python3"  # of an engine's image
_WINDOW = "2m"  # over which Prometheus takes rates


def revision(
    job: ServerJob | EngineJob,
    model: str,
    version: str,
    storage: str,
    spec: DeploymentSpec,
    target: KubernetesTarget,
    *,
    seal: Callable[[Any], Any],
    token: str | None = None,
) -> Revision:
    """One version on a cluster. What its pods are made of is its identity; how many there are is not."""
    pods = Pods(target, storage, seal_job(job, seal), spec.serve.port, spec.serve.timeout)
    params = pod_params(pods.spec(CONFIG_MARK, token), pods.files(), storage, model)
    return Revision(
        digest=digest([params, target.start_timeout if target.kserve is None else None]),
        model=model,
        version=version,
        program="server" if isinstance(job, ServerJob) else "llm_server",
        params=params,
    )


def server_in_pod(job: ServerJob, spec: DeploymentSpec, target: KubernetesTarget) -> ServerJob:
    """What the server is told in a pod: where the model lies there, and that whoever reaches the pod may connect."""
    folder = job.model.folder.rstrip("/")
    transformations = [
        item.model_copy(update={"root": MODEL_FOLDER + item.root.removeprefix(folder)})
        for item in job.serving.transformations
    ]
    return job.model_copy(
        update={
            "host": _ANYWHERE,
            "port": spec.serve.port,
            "model": job.model.model_copy(update={"folder": MODEL_FOLDER}),
            "serving": job.serving.model_copy(update={"transformations": transformations}),
            "log": None,
            "behind_gateway": target.route is not None,
        }
    )


def engine_in_pod(engine: LlmEngine, job: LlmJob, target: KubernetesTarget) -> EngineJob:
    """How an engine is started in its own image: by the same options as on a machine."""
    python = getattr(engine, "python", None) or _PYTHON
    template = job.engine.files.get(TEMPLATE_FILE)
    name = job.model.name
    facts = Facts(name, job.deployment, MODEL_FOLDER, target.gpus > 0, python, chat_template=template)
    return render(engine, facts)


def seal_job(job: ServerJob | EngineJob, seal: Callable[[Any], Any]) -> ServerJob | EngineJob:
    """The job with every secret in it sealed: pods put the values in by themselves."""
    return type(job).model_validate(seal(job.model_dump(mode="json")))


def asked(
    owner: Owner,
    spec: DeploymentSpec,
    target: KubernetesTarget,
    revisions: Mapping[str, Revision],
    token: str | None = None,
) -> Asked:
    """All that is asked of a cluster. `revisions` has those of `models_of`; `token` the variable with whom to let in."""
    secret = None if token is None else target.secrets[token]
    return Asked(
        name=owner.name,
        namespace=owner.namespace,
        lineage=owner.lineage,
        address=owner.address,
        mode="deployment" if target.kserve is None else target.kserve.mode,
        port=spec.serve.port,
        start_seconds=target.start_timeout,
        drain_seconds=spec.serve.timeout,
        wanted=_wanted(owner, spec, revisions),
        scale=_scale(spec, target),
        route=None
        if target.route is None
        else Route(
            gateway=target.route.gateway.name,
            gateway_namespace=target.route.gateway.namespace,
            hostnames=target.route.hostnames,
            path=target.route.path,
            timeout_seconds=spec.serve.timeout,
        ),
        allow_from=None if target.network is None else target.network.allow_from,
        monitored=None
        if target.monitor is None
        else Monitored(
            labels=target.monitor.labels,
            interval_seconds=target.monitor.interval,
            token=None if secret is None else (secret.secret, secret.key),
        ),
    )


def _wanted(owner: Owner, spec: DeploymentSpec, revisions: Mapping[str, Revision]) -> Wanted:
    """As for one machine; but nobody is there to end an old version later, so that it ends when the new one answers all."""
    if spec.rollout is not None and spec.rollout.all_at_once is None:
        kept = spec.model_copy(update={"rollout": spec.rollout.model_copy(update={"keep_old": 0.0})})
        made = wanted(owner.address, owner.name, kept, revisions)
        return made.model_copy(update={"strategy": _by_hand(made.strategy)})
    gateway = GatewaySpec(
        type="envoy",
        host=spec.serve.host,
        port=spec.serve.port,
        timeout_seconds=spec.serve.timeout,
        max_body_bytes=spec.serve.max_body,
    )
    strategy = Stepwise(type="all_at_once", steps=[], keep_old_seconds=0.0)
    return Wanted(
        serial=0, deployment=owner.name, address=owner.address, gateway=gateway, unit=None, revision=revisions[spec.model],
        strategy=strategy,
    )  # fmt: skip


def _by_hand(strategy: Strategy) -> Strategy:
    """Every step waits for a person, that of a shadow too: it has no other end here."""
    if not isinstance(strategy, Stepwise):
        return strategy
    return strategy.model_copy(update={"steps": [step.model_copy(update={"confirm": True}) for step in strategy.steps]})


def _scale(spec: DeploymentSpec, target: KubernetesTarget) -> Scale:
    rule = target.autoscale
    if rule is None:
        return Scale(replicas=target.replicas or 1, least=target.replicas or 1, most=target.replicas or 1)
    triggers = [
        {"serverAddress": rule.prometheus or "", "query": query, "threshold": f"{most:g}"}
        for query, most in _queries(spec, rule.qps, rule.queue, rule.gpu)
    ]
    return Scale(least=rule.min, most=rule.max, cpu=rule.cpu, triggers=triggers)


def _queries(
    spec: DeploymentSpec, qps: float | None, queue: float | None, gpu: float | None
) -> list[tuple[str, float]]:
    """What Prometheus is asked, for the pods of a version (`@PODS@`), and how much of it is one pod's."""
    vllm = spec.serve.engine.type == "vllm"
    requests = "vllm:request_success_total" if vllm else "mlctl_requests_total"
    waiting = "vllm:num_requests_waiting" if vllm else "mlctl_waiting_requests"
    found = []
    if qps is not None:
        found.append((f"sum(rate({requests}{{@PODS@}}[{_WINDOW}]))", qps))
    if queue is not None:
        found.append((f"sum({waiting}{{@PODS@}})", queue))
    if gpu is not None:
        found.append(("sum(DCGM_FI_DEV_GPU_UTIL{@PODS@})", gpu))
    return found
