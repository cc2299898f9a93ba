"""The kind `evaluations`: a gate that a trained model passes on rows it has not seen, and the registry behind it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from mlctl.launch import job, process
from mlctl.launch.job import JobState
from mlctl.provider import Condition, Context, Desired, Family, Input, Observed, Outcome, Spec, diff_fields
from mlctl.providers.mlflow import registry
from mlctl.providers.mlflow.spec import Bar, EvaluationSpec
from mlctl.types import job as contract
from mlctl.types.change import FieldChange, FieldClass
from mlctl.types.diagnostic import Diagnostic, MlctlError, did_you_mean
from mlctl.types.jobs import evaluate as jobs
from mlctl.types.jobs.evaluate import EvaluateJob, LookJob, PromoteJob, Registration, WithdrawJob
from mlctl.types.jobs.tracking import TrackingTarget, tracking_settings
from mlctl.types.jobs.train import Candidate, TableInput
from mlctl.types.state import Record
from mlctl.types.value import Json, digest

_MODEL = re.compile(r"\$\{\s*training\.[A-Za-z_][A-Za-z0-9_-]*\.model\s*\}")
_METRICS = sorted(jobs.BINARY_METRICS | jobs.REGRESSION_METRICS)
_SHARES = jobs.BINARY_METRICS - {"log_loss"}


class Evaluation:
    """Evaluates once for each content key; its alias is looked at, and put back, whenever the evaluation is asked for again."""

    section: ClassVar[str] = "evaluations"
    family: ClassVar[Family] = Family.BUILD
    spec: ClassVar[type[Spec]] = EvaluationSpec
    identity: ClassVar[frozenset[str]] = frozenset()
    field_class: ClassVar[FieldClass] = FieldClass.EVALUATION
    settings: ClassVar[frozenset[str]] = frozenset({"tracking"})

    def check(self, spec: EvaluationSpec, ctx: Context) -> Sequence[Diagnostic]:
        """The model is a training's, metrics are known, and no bar is empty or beyond reach."""
        found = []
        if not _MODEL.fullmatch(spec.model):
            found.append(
                Diagnostic(
                    "eval.not-a-training",
                    f"`model` is {spec.model!r}",
                    "an evaluation judges the model of a training, and checks its rows against the training's",
                    "write `model: ${training.NAME.model}`",
                    path=("model",),
                )
            )
        for name, bar in spec.require.items():
            found += _check_bar(name, bar, registered=spec.register_as is not None)
        names = set(spec.require)
        if names & jobs.BINARY_METRICS and names & jobs.REGRESSION_METRICS:
            one, other = sorted(names & jobs.BINARY_METRICS)[0], sorted(names & jobs.REGRESSION_METRICS)[0]
            found.append(
                Diagnostic(
                    "eval.mixed-metrics",
                    f"`{one}` and `{other}` never go together",
                    "the one is for classes, the other for numbers",
                    "keep those that fit the target",
                    path=("require",),
                )
            )
        return found

    def read(self, prior: Record, ctx: Context) -> Observed | None:
        """Whether the result is there, and the alias points where this evaluation put it, or left it when the gate failed."""
        folder = ctx.folder(prior.key)
        if not prior.complete:
            running = job.state(folder) is JobState.RUNNING
            return Observed(condition=Condition.RUNNING, detail="evaluating") if running else None
        if job.state(folder) is not JobState.DONE:
            return None
        registration = _registration(prior.spec)
        if registration is None:
            return Observed()
        target = _target(prior.key, prior.spec, ctx)
        database = target.database(ctx.root)
        if ctx.deep and (database is None or database.exists()):
            now = _ask(target, registration, ctx)
        elif database is None:
            return Observed()  # a server is asked when the evaluation is applied, or deeply, and not on every plan
        else:
            now = registry.aliased_version(database, registration.name, registration.alias)
        if now == prior.outputs.get("version"):
            return Observed()
        where = f"points at version {now}" if now is not None else "is gone"
        return Observed({"alias_version": now}, Condition.BROKEN, f"{registration.name}@{registration.alias} {where}")

    def diff(self, desired: Desired, prior: Record, seen: Observed) -> Sequence[FieldChange]:
        """Leaf by leaf; an alias that was moved shows as `alias_version`."""
        changes = diff_fields(desired, prior, seen)
        version = prior.outputs.get("version")
        return [
            FieldChange("alias_version", version, version, change.observed, FieldClass.EVALUATION)
            if change.path == "alias_version"
            else change
            for change in changes
        ]

    def apply(self, desired: Desired, prior: Record | None, ctx: Context) -> Outcome:
        """Evaluate, or take the verdict that is there and see to it that the alias agrees with it."""
        folder = ctx.folder(desired.key)
        cached = job.state(folder) is JobState.DONE
        wanted = evaluate_job(desired, ctx)
        if cached and _failed(folder):
            # asked for again, so something has changed that is not part of the key: the champion it was held against
            (folder / contract.RESULT_FILE).unlink(missing_ok=True)
            cached = False
        result = job.run("evaluate", wanted.model_dump(mode="json"), folder, ctx)
        outputs: dict[str, Json] = dict(result.outputs)
        if cached and result.gate is not None and result.gate.passed and wanted.register_as is not None:
            outputs |= _promote(wanted, wanted.register_as, outputs, folder, ctx)
        version = outputs["version"]
        return Outcome(None if version is None else f"{outputs['name']}/{version}", outputs, result.gate)

    def delete(self, prior: Record, ctx: Context) -> None:
        """Take back the versions it registered, and its alias if that points at one, then remove its folder."""
        folder = ctx.folder(prior.key)
        process.stop(folder, job.STOP_GRACE_SECONDS)
        registration, target = _registration(prior.spec), _target(prior.key, prior.spec, ctx)
        database = target.database(ctx.root)
        if registration is not None and (
            database is None or registry.may_hold(database, registration.name, target.object)
        ):
            withdrawal = WithdrawJob(tracking=target, register_as=registration)
            job.run("evaluate", withdrawal.model_dump(mode="json"), folder / "withdraw", ctx)
        job.discard(folder)

    def log(self, prior: Record, ctx: Context) -> Path | None:
        """The log of the program."""
        path = ctx.folder(prior.key) / contract.LOG_FILE
        return path if path.exists() else None

    def describe(self, prior: Record) -> str:
        """What is registered, and the metrics it passed with."""
        outputs = prior.outputs
        name, alias, version = (outputs.get(field) for field in ("name", "alias", "version"))
        named = f"{name}@{alias} v{version}" if name and alias and version else ""
        asked = prior.spec.get("require", {})
        shown = [f"{name} {value:.4f}" for name, value in (outputs.get("metrics") or {}).items() if name in asked]
        return "  ".join([*([named] if named else []), *shown])


def evaluate_job(desired: Desired, ctx: Context) -> EvaluateJob:
    """The parameters of the worker program. Raises MlctlError."""
    spec: EvaluationSpec = desired.spec
    return EvaluateJob(
        tracking=_target(desired.key, desired.values, ctx),
        candidate=_candidate(desired),
        dataset=TableInput.of(spec.dataset, desired.input("datasets", spec.dataset).outputs),
        require={
            name: jobs.Bar(
                min=bar.min, max=bar.max, versus_champion=bar.not_worse_than is not None, margin=bar.margin or 0.0
            )
            for name, bar in spec.require.items()
        },
        register_as=_registration(desired.values),
    )


def _ask(target: TrackingTarget, registration: Registration, ctx: Context) -> str | None:
    """Which version the alias points at, by MLflow's own word. The worker's folder is no object's: looking leaves nothing."""
    with TemporaryDirectory(prefix="mlctl-look-") as folder:
        look = LookJob(tracking=target, register_as=registration)
        found = job.run("evaluate", look.model_dump(mode="json"), Path(folder), ctx).outputs["version"]
    return None if found is None else str(found)


def _candidate(desired: Desired) -> Candidate:
    """The training whose model the spec names."""
    for address, item in desired.inputs.items():
        if isinstance(item, Input) and address.section == "training" and item.outputs["model"] == desired.spec.model:
            return Candidate.model_validate({name: item.outputs[name] for name in Candidate.model_fields})
    raise MlctlError.of(
        "eval.not-a-training",
        f"no training put out the model {desired.spec.model!r}",
        "an evaluation judges the model of a training",
        "write `model: ${training.NAME.model}`",
        address=str(desired.address),
    )


def _promote(
    wanted: EvaluateJob, registration: Registration, outputs: Mapping[str, Json], folder: Path, ctx: Context
) -> dict[str, Json]:
    """Put the alias back on a model that passed before, unless it is seen to be there; gives the outputs that changed."""
    database = wanted.tracking.database(ctx.root)
    if database is not None:
        now = registry.aliased_version(database, registration.name, registration.alias)
        if now is not None and now == outputs["version"]:
            return {}
    promotion = PromoteJob(
        tracking=wanted.tracking, candidate=wanted.candidate, register_as=registration, metrics=outputs["metrics"]
    )
    job.discard(folder / "promote")  # an earlier promotion says nothing about the alias now
    result = job.run("evaluate", promotion.model_dump(mode="json"), folder / "promote", ctx)
    version = result.outputs["version"]
    return {"version": version, "digest": digest([registration.name, version])}


def _check_bar(name: str, bar: Bar, *, registered: bool) -> list[Diagnostic]:
    path = ("require", name)
    if name not in _METRICS:
        return [
            Diagnostic(
                "eval.unknown-metric", f"there is no metric `{name}`", "", did_you_mean(name, _METRICS), path=path
            )
        ]
    found = []
    if bar.min is None and bar.max is None and bar.not_worse_than is None:
        found.append(
            Diagnostic(
                "eval.empty-bar",
                f"`{name}` asks for nothing",
                "every model would pass",
                "add `min`, `max` or `not_worse_than: champion`",
                path=path,
            )
        )
    if bar.margin is not None and bar.not_worse_than is None:
        found.append(
            Diagnostic(
                "eval.margin-unused",
                f"the margin of `{name}` has no effect",
                "it is the distance allowed to a champion",
                "add `not_worse_than: champion`, or remove `margin`",
                path=(*path, "margin"),
            )
        )
    if bar.not_worse_than is not None and not registered:
        found.append(
            Diagnostic(
                "eval.no-champion",
                f"`{name}` is compared with a champion, and there is none",
                "the champion is the model that holds the alias under `register`",
                "add `register: {name: ..., alias: champion}`",
                path=(*path, "not_worse_than"),
            )
        )
    if bar.min is not None and bar.max is not None and bar.min > bar.max:
        found.append(
            Diagnostic(
                "eval.impossible-bar",
                f"`{name}` cannot be both at least {bar.min:g} and at most {bar.max:g}",
                "",
                "correct one of them",
                path=path,
            )
        )
    for field, value in (("min", bar.min), ("max", bar.max)):
        if value is not None and name in _SHARES and not 0 <= value <= 1:
            found.append(
                Diagnostic(
                    "eval.impossible-bar",
                    f"`{name}` lies between 0 and 1, never at {value:g}",
                    "",
                    "write it as a share, such as 0.75",
                    path=(*path, field),
                )
            )
    return found


def _failed(folder: Path) -> bool:
    """Whether the gate of a finished evaluation failed."""
    gate = json.loads((folder / contract.RESULT_FILE).read_bytes())["gate"]
    return gate is not None and not gate["passed"]


def _registration(values: Mapping[str, Any]) -> Registration | None:
    stored = values.get("register")
    return None if stored is None else Registration.model_validate(stored)


def _target(key: Any, values: Mapping[str, Any], ctx: Context) -> TrackingTarget:
    uri, experiment = tracking_settings(values.get("project_tracking"), ctx.project)
    return TrackingTarget(
        uri=uri, experiment=experiment, lineage=ctx.lineage, address=str(key.address), object=str(key)
    )
