"""What a deployment on a cluster may not say: fields that nothing in the cluster carries out. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from mlctl.provider import Context
from mlctl.providers.serving.kubernetes.pods import needed_variables
from mlctl.providers.serving.rollout_rules import rollout_problems
from mlctl.providers.serving.spec.deployment import DeploymentSpec
from mlctl.providers.serving.spec.engines import (
    LlmEngine,
    SglangEngine,
    TensorRtLlmEngine,
    TgiEngine,
    TorchEngine,
    TritonEngine,
    VllmEngine,
    XllamacppEngine,
)
from mlctl.providers.serving.spec.rollout import Canary, Rollout
from mlctl.providers.serving.spec.target import KubernetesTarget
from mlctl.types.diagnostic import Diagnostic

_ENDLESS = "rollout.endless"  # a shadow that nothing ends: here a person does, as with every other step
_OF_MIDDLEWARE = (
    "concurrency",
    "cache",
    "max_body",
    "read_timeout",
)  # what engines of language models have no place for
_LOWEST_PORT = 1024  # a process that is not root may listen on


def target_problems(spec: DeploymentSpec, ctx: Context) -> Iterator[Diagnostic]:
    """Everything that is wrong with a deployment on a cluster; nothing for one on this machine."""
    target = spec.target
    if not isinstance(target, KubernetesTarget):
        return
    yield from (item for item in rollout_problems(spec) if item.code != _ENDLESS)
    yield from _serving(spec, target, ctx)
    if spec.rollout is not None and spec.rollout.all_at_once is None:
        yield from _rollout(spec, spec.rollout, target)
    if spec.gates:
        yield _problem(
            ("gates",),
            "gates are not asked on a cluster",
            "what they judge is counted by mlctl's own gateway and servers, and nobody is there to ask them between two commands",
            "remove `gates`; let the steps wait for a person (`pause: confirm`), who looks at what Prometheus has",
        )
    if target.kserve is not None:
        yield from _kserve(spec, target, target.kserve.mode)


def _serving(spec: DeploymentSpec, target: KubernetesTarget, ctx: Context) -> Iterator[Diagnostic]:
    serve, engine = spec.serve, spec.serve.engine
    if "host" in serve.model_fields_set:
        yield _problem(
            ("serve", "host"),
            "`host` has no effect on a cluster",
            "pods listen on the address they are given",
            "remove it",
        )
    if serve.port < _LOWEST_PORT:
        yield _problem(
            ("serve", "port"),
            f"port {serve.port} cannot be had in a pod that does not run as root",
            "ports below 1024 are for root",
            "choose one above, such as 8080; what clients see is the Gateway's port",
        )
    if spec.require is not None:
        yield _problem(
            ("require",),
            "`require` is not carried out on a cluster",
            "the gate asks the store and the server from this machine",
            "remove it, or check the features by a deployment on this machine",
        )
    if "log" in spec.model_fields_set and spec.log.predictions:
        yield _problem(
            ("log",),
            "predictions are not logged on a cluster",
            "a pod's files go with it, and nothing collects them",
            "set `log: {predictions: false}`, or remove `log`",
        )
    if serve.cache is not None and serve.cache.url is None:
        yield _problem(
            ("serve", "cache"),
            "each pod would keep answers of its own",
            "equal requests reach different pods, so that a client could get an old answer after a new one",
            "give the `url` of a Redis that all pods share, or remove `cache`",
        )
    if isinstance(engine, LlmEngine):
        yield from _engine(spec, engine)
        yield from _devices(engine, target.gpus)
    elif isinstance(engine, TorchEngine) and target.shared_memory is not None:
        yield _problem(
            ("target", "shared_memory"),
            "`shared_memory` has no effect here",
            "the server of such models uses none",
            "remove it",
        )
    yield from _secrets(spec, target, ctx)


def _engine(spec: DeploymentSpec, engine: LlmEngine) -> Iterator[Diagnostic]:
    if isinstance(engine, XllamacppEngine):
        yield _problem(
            ("serve", "engine"),
            "there is no image of `xllamacpp`",
            "it is started by a program of mlctl, for single small machines",
            "use `vllm`, or `engine: {command: [...]}` with an image of your own",
        )
    if isinstance(engine, VllmEngine) and engine.lora is not None:
        yield _problem(
            ("serve", "engine", "lora"),
            "adapters are not loaded in pods",
            "they are loaded into a running engine by the program that watches it, which is not in the engine's image",
            "remove `lora`: the merged model is served",
        )
    if "start_timeout" in engine.model_fields_set:
        yield _problem(
            ("serve", "engine", "start_timeout"),
            "`start_timeout` has no effect on a cluster",
            "pods have their own",
            "set `target.start_timeout`",
        )
    for name in _OF_MIDDLEWARE:
        if name in spec.serve.model_fields_set:
            yield _problem(
                ("serve", name),
                f"`{name}` has no effect with an engine in its own image",
                "it is kept by mlctl's middleware, which is not in there",
                "remove it; limit requests at the Gateway",
            )
    if spec.serve.auth is not None and not isinstance(engine, VllmEngine):
        yield _problem(
            ("serve", "auth"),
            f"nothing asks for the token in front of `{engine.type}`",
            "the engine has no tokens of its own, and mlctl's middleware is not in its image",
            "remove it, and have the Gateway ask who comes in",
        )


def _devices(engine: LlmEngine, gpus: int) -> Iterator[Diagnostic]:
    """What an engine computes with, against what each pod has."""
    parallel = getattr(engine, "tensor_parallel", 1)
    if isinstance(engine, SglangEngine | TgiEngine | TensorRtLlmEngine | TritonEngine) and not gpus:
        yield _problem(
            ("target",),
            f"`{engine.type}` needs a GPU, and pods have none",
            "it does not compute on processors",
            "set `gpus: 1`",
        )
    elif parallel > max(gpus, 1):
        yield _problem(
            ("target",),
            f"`tensor_parallel: {parallel}` wants as many GPUs, and a pod has {gpus or 'none'}",
            "each has a part of every layer",
            f"set `gpus: {parallel}`, or lower `tensor_parallel`",
        )
    if isinstance(engine, VllmEngine):
        unused = "threads" if gpus else "gpu_memory"
        if getattr(engine, unused) is not None:
            where = "a GPU" if gpus else "processors"
            yield _problem(
                ("serve", "engine", unused), f"`{unused}` has no effect here", f"vLLM computes on {where}", "remove it"
            )


def _secrets(spec: DeploymentSpec, target: KubernetesTarget, ctx: Context) -> Iterator[Diagnostic]:
    """A secret of the block has to be in a Secret of the cluster: its value never leaves this machine."""
    sealed = ctx.secrets.masked(spec.serve.model_dump(mode="json"))
    for name in needed_variables(sealed):
        if name not in target.secrets:
            yield _problem(
                ("target",),
                f"the cluster is not told where the secret `{name}` is kept",
                "mlctl sends no values of secrets to a cluster: pods take them from a Secret of their namespace",
                f"put it there (`kubectl create secret`), and name its place: `secrets: {{{name}: SECRET/KEY}}`",
            )
    for name, value in target.env.items():
        if ctx.secrets.masked(value) != value:
            yield _problem(
                ("target", "env", name),
                f"`{name}` is a secret",
                "what stands in `env` stands in the objects of the cluster, for everybody who may see them",
                f"put it into a Secret, and write `secrets: {{{name}: SECRET/KEY}}`",
            )


def _rollout(spec: DeploymentSpec, rollout: Rollout, target: KubernetesTarget) -> Iterator[Diagnostic]:
    if rollout.bandit is not None:
        yield _problem(
            ("rollout", "bandit"),
            "there are no bandits on a cluster",
            "nobody is there between two commands who would take rewards and move the shares",
            "use `ab` with fixed shares, or serve on one machine",
        )
    for name, why in (
        ("keep_old", "nobody is there to end it later: the old version ends when the new one answers all requests"),
        ("gateway", "the cluster's own Gateway is used"),
    ):
        if name in rollout.model_fields_set:
            yield _problem(("rollout", name), f"`{name}` has no effect on a cluster", why, "remove it")
    if target.route is None and target.kserve is None and rollout.blue_green is None:
        yield _problem(
            ("target",),
            f"`{rollout.strategy}` needs a route",
            "only a Gateway can share requests among versions",
            "add `route: {gateway: NAMESPACE/NAME}`",
        )
    if rollout.unit is not None and target.kserve is None and (target.route is None or not target.route.bucketed):
        yield _problem(
            ("rollout", "unit"),
            "an HTTPRoute cannot keep units at their version by itself",
            "it draws each request anew, and has no hash of a header",
            "have a filter of the Gateway put each unit's place into a header, and say so by `route: {bucketed: true}` "
            "(docs/guides/kubernetes.md)",
        )
    if rollout.unit is None and target.route is not None and target.route.bucketed:
        yield _problem(
            ("target", "route", "bucketed"),
            "`bucketed` has no effect without `rollout.unit`",
            "nothing is kept together",
            "remove it",
        )
    if rollout.ab is not None and len(rollout.ab.arms) > _MOST_ARMS:
        yield _problem(
            ("rollout", "ab", "arms"), f"{len(rollout.ab.arms)} arms do not fit into one route", "an HTTPRoute has at most 16 rules",
            f"use at most {_MOST_ARMS} arms",
        )  # fmt: skip
    yield from _steps(rollout)


_MOST_ARMS = 7  # two rules each, and one for requests of no unit


def _steps(rollout: Rollout) -> Iterator[Diagnostic]:
    """Each step waits for a person: nobody else is there to end it."""
    waits: list[tuple[tuple[str | int, ...], object, object]] = []
    if rollout.canary is not None:
        waits = [
            (("rollout", "canary", "steps", place), step.pause, step.gate)
            for place, step in enumerate(rollout.canary.steps)
        ]
    if rollout.blue_green is not None:
        rules = rollout.blue_green
        waits = [(("rollout", "blue_green"), rules.preview or "confirm", rules.pre or rules.post)]
    if rollout.shadow is not None:
        waits = [(("rollout", "shadow"), rollout.shadow.length or "confirm", rollout.shadow.gate)]
    for path, pause, gate in waits:
        if gate is not None:
            yield _problem(path, "no gate is asked on a cluster", "nobody is there between two commands", "remove it")
        elif pause != "confirm":
            yield _problem(
                path,
                "nothing ends this step on a cluster",
                "nobody is there between two commands to see that a time has passed",
                "let it wait for `mlctl rollout promote`: `pause: confirm` (of a blue-green, `preview: confirm`; of a shadow, no `for`)",
            )


def _kserve(spec: DeploymentSpec, target: KubernetesTarget, mode: str) -> Iterator[Diagnostic]:
    """KServe makes pods and routes by itself; what it does not take from us has no effect."""
    yield from _kserve_rollout(spec, mode)
    yield from _kserve_fields(target, mode)
    if mode == "llm":
        yield from _kserve_llm(spec, target)


def _kserve_rollout(spec: DeploymentSpec, mode: str) -> Iterator[Diagnostic]:
    strategy = "all_at_once" if spec.rollout is None else spec.rollout.strategy
    able = {"standard": ("all_at_once",), "knative": ("all_at_once", "canary"), "llm": ("all_at_once", "canary", "ab")}[
        mode
    ]
    if strategy not in able:
        why = {
            "standard": "in this mode it ignores `canaryTrafficPercent`, and has nothing else to share requests by",
            "knative": "it can give a share of the requests to the newest version, and nothing else",
            "llm": "it shares requests by weights, and has no copies and no previews",
        }[mode]
        yield _problem(
            ("rollout",),
            f"KServe carries out no `{strategy}` in the mode `{mode}`",
            why,
            f"use {' or '.join(f'`{name}`' for name in able)}, another mode, or no `kserve`",
        )
    if mode == "knative" and spec.rollout is not None and spec.rollout.canary is not None:
        yield from _kserve_steps(spec.rollout.canary)
    if spec.rollout is not None and spec.rollout.unit is not None:
        yield _problem(
            ("rollout", "unit"),
            "KServe keeps no unit at its version",
            "it draws each request anew",
            "remove it, or `kserve`",
        )


def _kserve_steps(canary: Canary) -> Iterator[Diagnostic]:
    for place, step in enumerate(canary.steps):
        if step.weight is not None and step.weight != int(step.weight):
            yield _problem(
                ("rollout", "canary", "steps", place, "weight"), f"KServe knows no share of {step.weight:g} %",
                "`canaryTrafficPercent` is a whole number", "round it",
            )  # fmt: skip
        if step.mirror:
            yield _problem(
                ("rollout", "canary", "steps", place, "mirror"), "KServe sends no copies", "it has no field for it", "remove it"
            )  # fmt: skip


def _kserve_fields(target: KubernetesTarget, mode: str) -> Iterator[Diagnostic]:
    for name, why in (
        ("route", "KServe makes the route, at the Gateway of its own configuration"),
        ("monitor", "KServe has annotations for Prometheus of its own"),
    ):
        if getattr(target, name) is not None:
            yield _problem(("target", name), f"`{name}` has no effect with `kserve`", why, "remove it")
    if target.models.fetch_image is not None:
        yield _problem(
            ("target", "models", "fetch_image"),
            "`fetch_image` has no effect with `kserve`",
            "it fetches models by its own",
            "remove it",
        )
    if target.models.endpoint_url is not None:
        yield _problem(
            ("target", "models", "endpoint_url"), "pods are not told `endpoint_url` with `kserve`",
            "it takes where buckets are from annotations of a service account's Secret", "use a bucket on AWS, or no `kserve`",
        )  # fmt: skip
    if target.autoscale is not None and (mode != "standard" or target.autoscale.prometheus is not None):
        why = {
            "standard": "it makes the autoscaler itself, which takes `cpu` and does not ask Prometheus",
            "knative": "Knative counts requests under way, and takes `cpu` from another autoscaler only",
            "llm": "of a language model it is told a number of `replicas`",
        }[mode]
        fix = "set `cpu` alone" if mode == "standard" else "set `replicas`"
        yield _problem(("target", "autoscale"), f"KServe does not scale by this in the mode `{mode}`", why, fix)


def _kserve_llm(spec: DeploymentSpec, target: KubernetesTarget) -> Iterator[Diagnostic]:
    if not isinstance(spec.serve.engine, VllmEngine):
        yield _problem(
            ("target", "kserve"),
            "an LLMInferenceService runs vLLM",
            f"and the engine here is `{spec.serve.engine.type}`",
            "set `engine: vllm`",
        )
    for name in ("shared_memory", "network"):
        if getattr(target, name) is not None:
            yield _problem(
                ("target", name), f"`{name}` has no effect here", "the template of KServe has its own", "remove it"
            )


def _problem(path: tuple[str | int, ...], summary: str, why: str, fix: str) -> Diagnostic:
    return Diagnostic("deploy.not-on-kubernetes", summary, why, fix, path=path)
