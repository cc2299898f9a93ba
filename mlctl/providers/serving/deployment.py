"""The kind behind `deployments`: one HTTP server on this machine that serves a registered model, replaced without a gap."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import mlctl
from mlctl.estimate.workload import Workload
from mlctl.files import atomic
from mlctl.processes import service
from mlctl.provider import Condition, Context, Desired, Family, Input, Observed, Outcome, Spec, diff_fields
from mlctl.providers.serving import behind_gateway, controllers, gatewayed, parity
from mlctl.providers.serving.admission import row_fields, serve_problems
from mlctl.providers.serving.adoption import running_release
from mlctl.providers.serving.advised import advised
from mlctl.providers.serving.behind_gateway import Served
from mlctl.providers.serving.client import health
from mlctl.providers.serving.engines.job import language_model_job
from mlctl.providers.serving.engines.rules import engine_problems, file_problems, mismatches
from mlctl.providers.serving.holding import holding
from mlctl.providers.serving.kubernetes import kept as on_cluster
from mlctl.providers.serving.kubernetes import transportable
from mlctl.providers.serving.kubernetes.rules import target_problems
from mlctl.providers.serving.observing import observation, observe_problems
from mlctl.providers.serving.port import holder
from mlctl.providers.serving.releases import PROVENANCE_FILE, Release, converge, releases, stop_all
from mlctl.providers.serving.rollout_rules import reward_port_problems, rollout_problems
from mlctl.providers.serving.spec.deployment import DeploymentSpec
from mlctl.providers.serving.together import offline_problems, parity_problems, port_problems
from mlctl.providers.serving.wanted import has_gateway, models_of
from mlctl.types import job as contract
from mlctl.types.address import Address, ObjectKey
from mlctl.types.change import FieldChange, FieldClass
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.estimate import Estimate
from mlctl.types.jobs.llm import AnyServerJob
from mlctl.types.jobs.server import Batching, PredictionLog, ServedFeatures, ServedModel, ServerJob, server_url
from mlctl.types.state import Record
from mlctl.types.value import Json, digest

_HEALTH_SECONDS = 1.0


class Deployment:
    """Serves `name@alias` on a port. Any change of the block or of the model is a new process that takes the port over."""

    section: ClassVar[str] = "deployments"
    family: ClassVar[Family] = Family.SERVICE
    spec: ClassVar[type[Spec]] = DeploymentSpec
    identity: ClassVar[frozenset[str]] = frozenset()
    field_class: ClassVar[FieldClass] = FieldClass.SERVING
    settings: ClassVar[frozenset[str]] = frozenset()

    def check(self, spec: DeploymentSpec, ctx: Context) -> Sequence[Diagnostic]:
        """Refuse fields that would have no effect."""
        here = (
            []
            if on_cluster.is_target(spec)
            else [*rollout_problems(spec), *engine_problems(spec), *file_problems(spec, ctx)]
        )
        found = [*serve_problems(spec.serve, ctx), *here, *target_problems(spec, ctx), *observe_problems(spec, ctx)]
        said = {name: getattr(spec.log, name) for name in ("features", "keep") if name in spec.log.model_fields_set}
        found += [
            Diagnostic(
                "deploy.log-without-predictions",
                f"`{name}` has no effect without `predictions: true`",
                "it is about the log of predictions, and they are not logged",
                f"set `predictions: true`, or remove `{name}`",
                path=("log", name),
            )
            for name, value in said.items()
            if value and not spec.log.predictions
        ]
        return found

    def check_together(
        self, specs: Mapping[Address, Any], uses: Mapping[Address, Collection[Address]], ctx: Context
    ) -> Iterable[tuple[Address, Diagnostic]]:
        """A port is one deployment's, and what a model reads is online."""
        mine = {address: spec for address, spec in specs.items() if address.section == self.section}
        here = {address: spec for address, spec in mine.items() if not on_cluster.is_target(spec)}
        return [
            *port_problems(here),
            *offline_problems(mine, specs, uses),
            *parity_problems(mine, specs, uses),
            *reward_port_problems(here),
            *mismatches(mine, specs, uses),
        ]

    def read(self, prior: Record, ctx: Context) -> Observed | None:
        """The lock of the recorded release tells whether it lives, its health answer whether it works and has the port.

        Of a deployment with a gateway its controller is looked at in the same way.
        """
        if on_cluster.stands(prior):
            return on_cluster.read(prior, ctx)
        if prior.id == gatewayed.ID:
            return advised(behind_gateway.read(prior, ctx), prior, ctx)
        if prior.complete and prior.gate is not None and not prior.gate.open:
            return Observed(condition=Condition.BROKEN, detail=f"a release is held back: {prior.gate.summary}")
        if prior.id is None:
            return None
        folder = ctx.folder(prior.key) / "releases" / prior.id
        if not folder.is_dir():
            return None
        state, url = service.find(folder), str(prior.outputs.get("url", ""))
        if not state.running:
            who = holder(int(prior.outputs["port"])) if prior.outputs.get("port") else ""
            return Observed(
                condition=Condition.BROKEN,
                detail=f"the server is not running: {state.epitaph()}" + (f"; its port is taken: {who}" if who else ""),
            )
        found = health(url, _HEALTH_SECONDS)
        if found is None:
            return Observed(
                condition=Condition.BROKEN, detail=f"the server (pid {state.pid}) runs and does not answer at {url}"
            )
        name = _name(prior.key, ctx)
        if (found.deployment, found.release) != (name, prior.id):
            return Observed(
                condition=Condition.BROKEN,
                detail=f"release {found.release} of {found.deployment} answers at {url}, and release {prior.id} of {name} should",
            )
        return Observed()

    def diff(self, desired: Desired, prior: Record, seen: Observed) -> Sequence[FieldChange]:
        """Leaf by leaf; the version behind the alias comes in as an input."""
        return diff_fields(desired, prior, seen)

    def apply(self, desired: Desired, prior: Record | None, ctx: Context) -> Outcome:
        """Have what is asked for answer, here or on a cluster; what stands elsewhere is removed once it does."""
        if on_cluster.is_target(desired.spec):
            outcome = on_cluster.apply(desired, prior, _served(desired, ctx), ctx)
            if prior is not None:
                self._end_here(prior, ctx)
            return outcome
        outcome = self._apply_here(desired, prior, ctx)
        if outcome.gate is None or outcome.gate.open:
            on_cluster.leave(prior, desired, ctx)
        return outcome

    def _apply_here(self, desired: Desired, prior: Record | None, ctx: Context) -> Outcome:
        """Have exactly one server run, the one asked for. The old one serves until the new one does.

        A release whose gate does not pass is held back: what runs stays as it is. With a strategy the controller does that.
        """
        if has_gateway(desired.spec):
            return behind_gateway.apply(desired, prior, _name(desired.key, ctx), _served(desired, ctx), ctx)
        evaluation, job = _wanted(desired, ctx)
        facts, folder = _facts(desired, evaluation, job, ctx), ctx.folder(desired.key)
        judged = None
        if desired.spec.require is not None and isinstance(job, ServerJob):
            rule = desired.spec.require.feature_parity
            judged = parity.judge(rule, job, evaluation.outputs, folder / "parity", ctx)
            facts["feature_parity"] = judged.facts
            if not judged.gate.passed:
                parity.hold(job, facts, folder, ctx)
                running = {} if prior is None else dict(prior.outputs)
                outputs = {**running, "feature_parity": judged.facts}
                return Outcome(None if prior is None else prior.id, outputs, judged.gate)
        controller = controllers.folder_of(desired.key, ctx)
        left = gatewayed.has_port(job.host, job.port, controller)  # by the gateway of a block that had a strategy
        with holding(job.host, job.port, folder / "releases", wanted=left):
            controllers.end(controller, job.deployment, desired.spec.serve.timeout, ctx)
            release = converge(job, folder / "releases", facts, ctx, str(desired.address), port_held=left)
        parity.release_held(folder)
        return _outcome(release, job, judged)

    def approved(self, prior: Record, ctx: Context) -> Outcome:
        """Start the release that the gate held back, when it does not run already."""
        if on_cluster.stands(prior):
            return on_cluster.approved(prior, ctx)
        if prior.id == gatewayed.ID or behind_gateway.has_held(prior, ctx):
            return behind_gateway.approved(prior, ctx)
        folder, address = ctx.folder(prior.key), str(prior.key.address)
        job, facts = parity.held(folder, ctx, address)
        approval = None if prior.gate is None else prior.gate.approval
        if approval is not None:
            facts["approved"] = {"who": approval.who, "why": approval.why, "at": approval.at}
        release = converge(job, folder / "releases", facts, ctx, address)
        outcome = _outcome(release, job)
        return Outcome(
            outcome.id, {**outcome.outputs, "feature_parity": prior.outputs.get("feature_parity")}, prior.gate
        )

    def adopt(self, desired: Desired, id: str, ctx: Context) -> Outcome:
        """Take over the server at an address when it is one of this environment and serves what is asked for."""
        if on_cluster.is_target(desired.spec):
            return on_cluster.adopt(desired, id, _served(desired, ctx), ctx)
        if has_gateway(desired.spec):
            return behind_gateway.adopt(desired, id, _name(desired.key, ctx), _served(desired, ctx), ctx)
        evaluation, job = _wanted(desired, ctx)
        release = running_release(id, job, ctx.folder(desired.key) / "releases", str(desired.address), ctx.secrets)
        facts = _facts(desired, evaluation, job, ctx)
        atomic.write_json(release.folder / PROVENANCE_FILE, {**facts, "release": release.name, "adopted": True})
        return _outcome(release, job)

    def delete(self, prior: Record, ctx: Context) -> None:
        """Let all servers finish and remove their folders. The prediction log stays: it is the users' data, and not made again."""
        on_cluster.delete(prior, ctx)
        self._end_here(prior, ctx)

    def estimate(self, desired: Desired, made: Sequence[Record], ctx: Context) -> Estimate | None:
        """Memory and money, and what an engine can do. Raises MlctlError for one that cannot start."""
        from mlctl.providers.serving.estimates import estimate

        return estimate(desired, made, ctx)

    def workload(self, desired: Desired, made: Sequence[Record], ctx: Context) -> Workload | None:
        """How an engine would do on other devices."""
        from mlctl.providers.serving.workload import workload

        return workload(desired, made, ctx)

    def manifests(self, desired: Desired, ctx: Context) -> list[dict[str, Any]]:
        """The objects of a deployment on a cluster, for those who bring them there by themselves. Raises MlctlError."""
        return on_cluster.manifests(desired, _served(desired, ctx), ctx)

    def _end_here(self, prior: Record, ctx: Context) -> None:
        folder = ctx.folder(prior.key)
        behind_gateway.delete(prior, _name(prior.key, ctx), ctx)
        stop_all(releases(folder / "releases"))
        for name in ("releases", "parity"):
            shutil.rmtree(folder / name, ignore_errors=True)
        parity.release_held(folder)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()

    def log(self, prior: Record, ctx: Context) -> Path | None:
        """What the current server, or the controller, has printed."""
        if prior.id == gatewayed.ID:
            return gatewayed.log(controllers.folder_of(prior.key, ctx))
        path = ctx.folder(prior.key) / "releases" / (prior.id or "") / contract.LOG_FILE
        return path if path.exists() else None

    def describe(self, prior: Record) -> str:
        """Where it is, and what it serves."""
        url, model, version = (prior.outputs.get(field) for field in ("url", "model", "version"))
        return f"{url}  {model} v{version}" if url and model and version else ""


def _served(desired: Desired, ctx: Context) -> dict[str, Served]:
    """All models that are to be served beside or after each other, each with its server. Raises MlctlError."""
    found = {}
    for model in models_of(desired.spec):
        evaluation, job = _wanted(desired, ctx, model)
        found[model] = Served(evaluation, job, _facts(desired, evaluation, job, ctx))
    return found


def _wanted(desired: Desired, ctx: Context, model: str = "") -> tuple[Input, AnyServerJob]:
    """The evaluation behind a model, or the only one, and the server that is asked for. Raises MlctlError."""
    evaluation = _evaluation(desired, model or desired.spec.model)
    predictions = _relative(ctx.folder(desired.key) / "predictions", ctx)
    name = _name(desired.key, ctx)
    text = transportable.language_model if on_cluster.is_target(desired.spec) else language_model_job
    job = text(name, desired, evaluation.outputs, predictions, ctx) or server_job(
        name, desired.spec, evaluation.outputs, predictions
    )
    if not ctx.path(job.model.folder).is_dir():
        raise MlctlError.of(
            "deploy.model-gone",
            f"the model folder `{job.model.folder}` does not exist",
            f"{evaluation.key.address} registered it as {job.model.name} version {job.model.version}",
            "run `mlctl plan --refresh=deep`",
            address=str(desired.address),
        )
    return evaluation, job


def _facts(desired: Desired, evaluation: Input, job: AnyServerJob, ctx: Context) -> dict[str, Json]:
    """Where a release comes from, to be kept in its folder."""
    return {
        "deployment": str(desired.address), "model": job.model.name, "version": job.model.version, "run_id": evaluation.outputs.get("run_id"),
        "evaluation": str(evaluation.key), "evaluation_digest": evaluation.digest, "job_digest": digest(ctx.secrets.masked(job.model_dump(mode="json"))),
        "lineage": ctx.lineage, "mlctl": mlctl.__version__, "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }  # fmt: skip


def _outcome(release: Release, job: AnyServerJob, judged: parity.Judged | None = None) -> Outcome:
    url = server_url(job.host, job.port)
    predictions = None if job.log is None else job.log.folder
    return Outcome(
        release.name,
        {
            "url": url,
            "port": job.port,
            "model": job.model.name,
            "version": job.model.version,
            "predictions": predictions,
            **({} if judged is None else {"feature_parity": judged.facts}),
            "digest": digest([url, predictions]),
        },
        None if judged is None else judged.gate,
    )


def _name(key: ObjectKey, ctx: Context) -> str:
    """What a server calls itself: the name it was made under, so that one that was moved in the project is not started anew."""
    return ctx.made_as(key).address.name


def server_job(name: str, spec: DeploymentSpec, evaluation: Mapping[str, Json], predictions: str) -> ServerJob:
    """What the server process is told. Two equal jobs are the same server."""
    serving = evaluation["serving"]
    return ServerJob(
        deployment=name,
        host=spec.serve.host,
        port=spec.serve.port,
        model=ServedModel(name=evaluation["name"], version=str(evaluation["version"]), folder=evaluation["model"]),
        serving=ServedFeatures.model_validate(
            {
                **{field: serving.get(field) for field in ("columns", "store")},
                **{field: serving.get(field) or [] for field in ("keys", "views", "transformations")},
            }
        ),
        batching=Batching(max_size=spec.serve.batching.max_size, max_wait_seconds=spec.serve.batching.max_wait),
        timeout_seconds=spec.serve.timeout,
        log=PredictionLog(folder=predictions, features=spec.log.features, keep_days=spec.log.days)
        if spec.log.predictions
        else None,
        observe=observation(spec, predictions),
        **row_fields(spec.serve, serving["columns"]),
    )


def _evaluation(desired: Desired, model: str) -> Input:
    """The evaluation that provides a model. Raises MlctlError when none does, or no version has ever passed it."""
    name, _, alias = model.partition("@")
    for item in desired.inputs.values():
        if (
            isinstance(item, Input)
            and item.key.address.section == "evaluations"
            and (item.outputs.get("name"), item.outputs.get("alias")) == (name, alias)
        ):
            if item.outputs.get("version") is None:
                raise MlctlError.of(
                    "deploy.no-champion",
                    f"`{model}` has no version yet",
                    f"no model has ever passed {item.key.address}",
                    "look at the evaluation's verdict with `mlctl show`",
                    address=str(desired.address),
                )
            return item
    raise MlctlError.of(
        "deploy.unknown-model",
        f"no evaluation registers `{model}`",
        "a deployment serves what an evaluation has let pass",
        "add `register: {name: ..., alias: ...}` to an evaluation",
        address=str(desired.address),
    )


def _relative(path: Path, ctx: Context) -> str:
    """A path as it stands in state: from the project folder."""
    return Path(os.path.relpath(path, ctx.root)).as_posix()
