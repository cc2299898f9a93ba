"""From the block `observe` to what servers are told, and what of it would have no effect. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import PurePosixPath

from mlctl.provider import Context
from mlctl.providers.serving.spec.deployment import DeploymentSpec
from mlctl.providers.serving.spec.engines import TorchEngine
from mlctl.providers.serving.spec.target import KubernetesTarget
from mlctl.providers.serving.wanted import has_gateway
from mlctl.types.diagnostic import Diagnostic
from mlctl.types.jobs.observe import EXPLANATIONS_FOLDER, Explaining, Observation, TracesTo
from mlctl.types.secret import HIDDEN, sealed_names

_BY_SHAP = ("tree", "permutation")
_SECRET_HEADER = re.compile(
    r"(?i)(?:^|[-_])auth(?:orization)?$|authorization|(?:api|access|ingest(?:ion)?|insert|licen[sc]e|auth)[-_]?key|token|secret|password|cookie|dsn$|^x-honeycomb-team$"
)
_NEVER = "nothing of a request leaves the server in another way"


def observation(spec: DeploymentSpec, predictions: str) -> Observation:
    """What a server is told. `predictions` is the folder of its prediction log."""
    observe, rollout = spec.observe, spec.rollout
    traces, explain = observe.traces, observe.explain
    language = not isinstance(spec.serve.engine, TorchEngine)
    return Observation(
        unit_header=rollout.unit.lower() if rollout is not None and rollout.unit and has_gateway(spec) else None,
        traces=None
        if traces is None
        else TracesTo(endpoint=traces.endpoint, sample=traces.sample, headers=dict(traces.headers)),
        capture=observe.capture if language else "redacted",
        explain=None
        if explain is None
        else Explaining(
            per_minute=explain.per_minute,
            method=explain.method,
            tolerance=explain.tolerance,
            folder=(PurePosixPath(predictions).parent / EXPLANATIONS_FOLDER).as_posix(),
        ),
        json_logs=observe.logs == "json",
    )


def observe_problems(spec: DeploymentSpec, ctx: Context) -> Iterator[Diagnostic]:
    """What has no effect, and what everybody could read."""
    observe, rows = spec.observe, isinstance(spec.serve.engine, TorchEngine)
    if "capture" in observe.model_fields_set:
        if rows:
            yield _no_effect(
                ("capture",), "`capture` has no effect here", "a model that scores rows is sent no texts; `log.features` says what is kept of rows"
            )  # fmt: skip
        elif not spec.log.predictions and observe.traces is None:
            yield _no_effect(
                ("capture",), "`capture` has no effect here", f"there is neither a log nor traces: {_NEVER}"
            )
    if observe.explain is not None and not rows:
        yield _no_effect(
            ("explain",), "language models are not explained", "SHAP values are parts of one score, and a text has none"
        )
    elif observe.explain is not None and observe.explain.method in _BY_SHAP and find_spec("shap") is None:
        yield Diagnostic(
            "observe.no-shap",
            f"`method: {observe.explain.method}` needs the package `shap`, which is not installed",
            "trees, and models that are only asked, are explained by it",
            "pip install 'mlctl[explain]'",
            path=("observe", "explain", "method"),
        )
    elif observe.explain is not None and not (spec.log.predictions and spec.log.features):
        yield Diagnostic(
            "observe.nothing-to-explain",
            "`explain` has nothing to explain",
            "predictions are explained from the log, where their features have to be",
            "set `log: {predictions: true, features: true}`, or remove `explain`",
            path=("observe", "explain"),
        )
    if isinstance(spec.target, KubernetesTarget):
        yield from _on_cluster(spec, rows=rows)
    if observe.traces is not None:
        for name, value in observe.traces.headers.items():
            hidden = value == HIDDEN or HIDDEN in value or bool(sealed_names(ctx.secrets.masked(value)))
            if _SECRET_HEADER.search(name) and not hidden:
                yield Diagnostic(
                    "observe.header-in-the-clear",
                    f"the header `{name}` is not a secret",
                    "it would stand in the state, in plans and in job files as it is",
                    "take it from the environment, as in `${env.OTLP_KEY}`, or from a sensitive variable",
                    path=("observe", "traces", "headers", name),
                )


def _on_cluster(spec: DeploymentSpec, *, rows: bool) -> Iterator[Diagnostic]:
    """In a pod there is no log that outlives it, and in an engine's own image nothing of ours."""
    observe = spec.observe
    if observe.explain is not None:
        yield _no_effect(
            ("explain",),
            "predictions are not explained on a cluster",
            "they are explained from the log, and a pod has none",
        )
    if observe.traces is not None and not rows:
        yield _no_effect(
            ("traces",),
            "an engine in its own image sends no spans of ours",
            "mlctl's middleware is not in there",
            f"remove it, and give the engine its own option, such as `--otlp-traces-endpoint {observe.traces.endpoint}`",
        )
    if "capture" in observe.model_fields_set and not rows:
        yield _no_effect(
            ("capture",), "nothing is captured on a cluster", "mlctl's middleware is not in the engine's image"
        )
    if "logs" in observe.model_fields_set and not rows:
        yield _no_effect(("logs",), "`logs` has no effect on an engine in its own image", "it writes as it does")


def _no_effect(path: Sequence[str | int], what: str, why: str, fix: str = "remove it") -> Diagnostic:
    return Diagnostic("observe.no-effect", what, why, fix, path=("observe", *path))
