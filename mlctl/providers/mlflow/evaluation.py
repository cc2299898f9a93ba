"""The kind `evaluations`: a gate that a trained model passes on rows it has not seen, and the registry behind it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from mlctl.files import atomic
from mlctl.launch import job
from mlctl.launch.job import JobState
from mlctl.processes import worker
from mlctl.provider import Condition, Context, Desired, Family, Input, Observed, Outcome, Spec, diff_fields
from mlctl.providers.mlflow import registry
from mlctl.providers.mlflow.bars import bar_problems, champion_unheld
from mlctl.providers.mlflow.spec import EvaluationSpec
from mlctl.types import job as contract
from mlctl.types.address import Address, ObjectKey
from mlctl.types.change import FieldChange, FieldClass
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.jobs import evaluate as jobs
from mlctl.types.jobs.evaluate import EvaluateJob, LookJob, PromoteJob, Registration, WithdrawJob
from mlctl.types.jobs.tracking import TrackingTarget, tracking_settings
from mlctl.types.jobs.train import Candidate, TableInput, candidate_of
from mlctl.types.ownership import differs
from mlctl.types.state import Record
from mlctl.types.value import Json, digest

_MODEL = re.compile(
    r"\$\{\s*training\.[^{}]+\.model\s*\}"
)  # of a module or an instance too: `training.eu.churn["lr=0.1"]`


class Evaluation:
    """Evaluates once for each content key; its alias is looked at, and put back, whenever the evaluation is asked for again."""

    section: ClassVar[str] = "evaluations"
    family: ClassVar[Family] = Family.BUILD
    spec: ClassVar[type[Spec]] = EvaluationSpec
    identity: ClassVar[frozenset[str]] = frozenset()
    field_class: ClassVar[FieldClass] = FieldClass.EVALUATION
    settings: ClassVar[frozenset[str]] = frozenset({"tracking"})
    judges: ClassVar[bool] = True

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
            found += bar_problems(name, bar, registered=spec.register_as is not None)
        kinds = [names & spec.require.keys() for names in jobs.METRICS.values() if names & spec.require.keys()]
        if len(kinds) > 1:
            one, other = sorted(kinds[0])[0], sorted(kinds[1])[0]
            found.append(
                Diagnostic(
                    "eval.mixed-metrics",
                    f"`{one}` and `{other}` never go together",
                    "metrics of classes, of numbers and of language models exclude each other",
                    "keep those that fit the target",
                    path=("require",),
                )
            )
        if spec.generation is not None and not jobs.ANSWER_METRICS & spec.require.keys():
            found.append(
                Diagnostic(
                    "eval.generation-unused",
                    "`generation` has no effect",
                    f"it is for {' and '.join(sorted(jobs.ANSWER_METRICS))}, and `require` names neither",
                    "remove it, or require one of them",
                    path=("generation",),
                )
            )
        return found or champion_unheld(spec)

    def check_together(
        self, specs: Mapping[Address, Any], uses: Mapping[Address, Collection[Address]], ctx: Context
    ) -> Iterable[tuple[Address, Diagnostic]]:
        """No model is judged by the dataset that it is trained on: whatever the split, its rows have been seen."""
        for address, spec in specs.items():
            if address.section != self.section:
                continue
            for other in sorted(uses[address]):
                data = getattr(specs.get(other), "data", None) if other.section == "training" else None
                if data is not None and spec.dataset in (getattr(data, "labels", None), getattr(data, "dataset", None)):
                    yield (
                        address,
                        Diagnostic(
                            "eval.leakage",
                            f"{other} is trained on `{spec.dataset}`, which is to judge it",
                            "a model that is judged by what it has seen looks better than it is",
                            "judge it by a dataset that is held back; the training's own `split` gives `val_loss` meanwhile",
                            path=("dataset",),
                        ),
                    )

    def read(self, prior: Record, ctx: Context) -> Observed | None:
        """Whether the result is there, and the alias points where this evaluation put it, or left it when the gate failed."""
        folder = ctx.folder(prior.key)
        if not prior.complete:
            running = job.state(folder) is JobState.RUNNING
            return Observed(condition=Condition.RUNNING, detail="evaluating") if running else None
        if job.state(folder) is not JobState.DONE:
            return None
        if (prior.outputs.get("serving") or {}).get("join_key") is not None:  # as 0.1 wrote it: no server can read that
            return Observed(
                condition=Condition.BROKEN, detail="it was recorded before keys could be of several columns"
            )
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
        if cached and prior is not None and prior.gate is not None and prior.gate.approval is not None:
            return self.approved(prior, ctx)  # a person has decided; what is asked for is the alias
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

    def approved(self, prior: Record, ctx: Context) -> Outcome:
        """A person let a candidate pass that the gate held back: register it and put the alias on it. A repeat finds it so."""
        wanted = _judged(prior, ctx)
        outputs = {**prior.outputs, **wanted.candidate.outputs(), "candidate": None}
        if wanted.register_as is None:
            return Outcome(prior.id, {**outputs, "digest": digest([None, wanted.candidate.digest])}, prior.gate)
        outputs |= _promote(wanted, wanted.register_as, {**outputs, "version": None}, ctx.folder(prior.key), ctx)
        return Outcome(f"{outputs['name']}/{outputs['version']}", outputs, prior.gate)

    def adopt(self, desired: Desired, id: str, ctx: Context) -> Outcome:
        """Take over `models:/NAME@ALIAS`: the registered model, and the version under the alias when it passes."""
        wanted, address = evaluate_job(desired, ctx), str(desired.address)
        registration = wanted.register_as
        if registration is None:
            raise MlctlError.of(
                "import.bad-id",
                f"{address} registers no model",
                "what is taken over is the registered model and its alias",
                "add `register: {name: ..., alias: ...}`",
                address=address,
            )
        asked = f"models:/{registration.name}@{registration.alias}"
        if id != asked:
            raise differs(f"`{id}`", address, [("register", id, asked)])
        params = wanted.model_copy(update={"adopt": True})
        result = job.run("evaluate", params.model_dump(mode="json"), ctx.folder(desired.key), ctx)
        return Outcome(f"{registration.name}/{result.outputs['version']}", dict(result.outputs), result.gate)

    def delete(self, prior: Record, ctx: Context) -> None:
        """Take back the versions it registered, and its alias if that points at one, then remove its folder."""
        folder = ctx.folder(prior.key)
        worker.stop(folder, job.STOP_GRACE_SECONDS)
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
        asked, rate = prior.spec.get("require", {}), outputs.get("base_rate")
        beside = {"accuracy": f" (base rate {rate:.4f})"} if isinstance(rate, int | float) else {}
        shown = [
            f"{name} {value:.4f}{beside.get(name, '')}"
            for name, value in (outputs.get("metrics") or {}).items()
            if name in asked
        ]
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
                min=bar.min,
                max=bar.max,
                versus_champion=bar.not_worse_than is not None,
                versus_base=bar.better_than is not None,
                margin=bar.margin or 0.0,
            )
            for name, bar in spec.require.items()
        },
        generation=jobs.Generation(**(spec.generation.model_dump() if spec.generation is not None else {})),
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
            try:
                return candidate_of(item.outputs)
            except ValueError:
                raise MlctlError.of(
                    "eval.not-judged",
                    f"{address} makes a model that evaluations do not know how to judge",
                    "they judge models of rows with a target, and language models; what a dataset function of the project gives is its own",
                    "judge it in the training, by `metrics` of the model",
                    address=str(desired.address),
                ) from None
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


def _judged(prior: Record, ctx: Context) -> EvaluateJob:
    """What a finished evaluation was asked, from its own folder. Raises MlctlError."""
    stored = atomic.read_object(ctx.folder(prior.key) / contract.JOB_FILE) or {}
    try:
        return EvaluateJob.model_validate(stored["params"])
    except (KeyError, ValueError):
        raise MlctlError.of(
            "eval.result-gone",
            f"the files of {prior.key.address} are gone",
            "they say which model it judged",
            "run `mlctl apply` to evaluate it again, then approve it",
            address=str(prior.key.address),
        ) from None


def _failed(folder: Path) -> bool:
    """Whether the gate of a finished evaluation failed."""
    gate = json.loads((folder / contract.RESULT_FILE).read_bytes())["gate"]
    return gate is not None and not gate["passed"]


def _registration(values: Mapping[str, Any]) -> Registration | None:
    stored = values.get("register")
    return None if stored is None else Registration.model_validate(stored)


def _target(key: ObjectKey, values: Mapping[str, Any], ctx: Context) -> TrackingTarget:
    uri, experiment = tracking_settings(values.get("project_tracking"), ctx.project)
    made = ctx.made_as(key)
    return TrackingTarget(
        uri=uri, experiment=experiment, lineage=ctx.lineage, address=str(made.address), object=str(made)
    )
