"""The kind behind `stream_predictions`: a worker on this machine that predicts what a topic brings, and publishes it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from mlctl.launch import service
from mlctl.launch.inputs import check_there, model_of
from mlctl.processes import service as services
from mlctl.processes import worker
from mlctl.provider import Context, Desired, Family, Observed, Outcome, Spec, diff_fields
from mlctl.providers.faststream.brokers import broker_problems, event_source
from mlctl.providers.faststream.predictions_spec import StreamPredictionsSpec
from mlctl.providers.faststream.workers import observed
from mlctl.types import job as contract
from mlctl.types.address import Address
from mlctl.types.change import FieldChange, FieldClass
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.event import Progress
from mlctl.types.jobs.stream_predictions import STATUS_FILE, PredictionStreamJob
from mlctl.types.jobs.used_model import UsedModel, label, trainings_behind, views_behind
from mlctl.types.state import Record
from mlctl.types.value import digest

PROGRAM = "stream_predictions"
_WORKER = "worker"
_START_SECONDS = 150.0
_STOP_SECONDS = 60.0


class StreamPredictions:
    """One worker process for each block. Another model or block is another worker, which goes on where the last one was."""

    section: ClassVar[str] = "stream_predictions"
    family: ClassVar[Family] = Family.SERVICE
    spec: ClassVar[type[Spec]] = StreamPredictionsSpec
    identity: ClassVar[frozenset[str]] = frozenset()
    field_class: ClassVar[FieldClass] = FieldClass.SERVING
    settings: ClassVar[frozenset[str]] = frozenset()

    def check(self, spec: StreamPredictionsSpec, ctx: Context) -> Sequence[Diagnostic]:
        """What is wrong with a block alone."""
        return tuple(broker_problems(spec.broker, ctx))

    def check_together(
        self, specs: Mapping[Address, Any], uses: Mapping[Address, Collection[Address]], ctx: Context
    ) -> Iterable[tuple[Address, Diagnostic]]:
        """What the model reads is online, it is no language model, and a group's messages are one worker's."""
        mine = {address: spec for address, spec in sorted(specs.items()) if address.section == self.section}
        yield from _group_problems(mine)
        for address, spec in mine.items():
            for training in sorted(trainings_behind(address, spec.model, specs, uses)):
                if getattr(specs[training].model, "type", None) == "causal_lm":
                    yield address, _no_rows(spec.model)
                for view in sorted(views_behind(training, uses)):
                    if not specs[view].online:
                        yield address, _offline(spec.model, view)

    def read(self, prior: Record, ctx: Context) -> Observed | None:
        """What can be seen of the worker."""
        folder = ctx.folder(prior.key) / _WORKER
        if prior.id is None or not folder.is_dir():
            return None
        return observed(folder, STATUS_FILE, _doing)

    def diff(self, desired: Desired, prior: Record, seen: Observed) -> Sequence[FieldChange]:
        """Leaf by leaf; the version behind the alias comes in as an input."""
        return diff_fields(desired, prior, seen)

    def apply(self, desired: Desired, prior: Record | None, ctx: Context) -> Outcome:
        """Have exactly one worker run, of what is asked for. One that is to be replaced publishes first what it has in hand."""
        job = prediction_job(desired, ctx)
        params = job.model_dump(mode="json")
        folder = ctx.folder(desired.key) / _WORKER
        state = services.find(folder)
        if state.running and json.dumps(state.params, sort_keys=True) != json.dumps(
            ctx.secrets.masked(params), sort_keys=True
        ):
            ctx.progress(Progress("stopping the worker of the block as it was"))
            worker.stop(folder, _STOP_SECONDS)
        ctx.progress(Progress(f"predicting `{job.topic}`"))
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        service.start(PROGRAM, params, folder, ctx)
        service.wait_ready(folder, ctx, _START_SECONDS)
        outputs = {
            "topic": job.topic, "output": job.output, "group": job.group, "model": job.model.name, "version": job.model.version,
        }  # fmt: skip
        return Outcome(job.name, {**outputs, "digest": digest([job.topic, job.output, job.group])})

    def delete(self, prior: Record, ctx: Context) -> None:
        """Let the worker publish what it has in hand, and end. The file of dead letters stays, if it holds any: they are the users' data."""
        folder = ctx.folder(prior.key)
        worker.stop(folder / _WORKER, _STOP_SECONDS)
        shutil.rmtree(folder / _WORKER, ignore_errors=True)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()

    def log(self, prior: Record, ctx: Context) -> Path | None:
        """What the worker has printed."""
        path = ctx.folder(prior.key) / _WORKER / contract.LOG_FILE
        return path if path.exists() else None

    def describe(self, prior: Record) -> str:
        """What goes where, and by which model."""
        topic, output, model, version = (prior.outputs.get(name) for name in ("topic", "output", "model", "version"))
        return (
            f"{topic} to {output} by {label(str(model), str(version))}"
            if topic and output and model and version
            else ""
        )


def prediction_job(desired: Desired, ctx: Context) -> PredictionStreamJob:
    """What the worker is told. Raises MlctlError."""
    spec: StreamPredictionsSpec = desired.spec
    name = ctx.made_as(desired.key).address.name
    model = model_of(desired)
    if model.is_language_model:
        raise MlctlError([_no_rows(spec.model)])
    check_there(model, desired, ctx)
    return PredictionStreamJob(
        name=name,
        model=_as_served(model),
        broker=event_source(spec.broker, ctx),
        topic=spec.topic,
        group=spec.group or f"mlctl-{ctx.project}-{ctx.environment}-{name}",
        output=spec.output.topic,
        key=spec.key,
        max_records=spec.batch.max_records,
        max_wait_seconds=spec.batch.max_wait,
        on_bad=spec.on_bad,
        dead_letters=None if spec.dead_letters is None else spec.dead_letters.topic,
    )


def _as_served(model: UsedModel) -> UsedModel:
    """The model without the snapshots that batches join: features come from the online store, and a newer snapshot is no news."""
    return model.model_copy(update={"views": []})


def _group_problems(mine: Mapping[Address, StreamPredictionsSpec]) -> Iterator[tuple[Address, Diagnostic]]:
    first: dict[str, Address] = {}
    for address, spec in mine.items():
        if spec.group is None:
            continue
        other = first.setdefault(digest([spec.broker.model_dump(mode="json"), spec.topic, spec.group]), address)
        if other != address:
            yield (
                address,
                Diagnostic(
                    "stream.group-taken",
                    f"{address} and {other} are both the group `{spec.group}` of `{spec.topic}`",
                    "a message goes to one worker of a group, so that each would get some",
                    "give each a `group` of its own, or leave it out",
                    path=("group",),
                ),
            )


def _no_rows(model: str) -> Diagnostic:
    return Diagnostic(
        "stream.language-model",
        f"`{model}` is a language model",
        "this worker answers messages with features, or with keys, by scores",
        "serve it by a deployment, or predict a dataset by `batch_predictions`",
        path=("model",),
    )


def _offline(model: str, view: Address) -> Diagnostic:
    return Diagnostic(
        "stream.view-offline",
        f"`{model}` reads {view}, which is not online",
        "the worker looks up the features of a key in the online store",
        f"set `online: true` on {view}",
        path=("model",),
    )


def _doing(status: Mapping[str, Any]) -> str:
    """What a worker says of itself, on one line."""
    lag = status.get("lag")
    parts = [
        f"{status.get('predicted', 0):,} predicted",
        "lag unknown" if lag is None else f"lag {lag:,}",
        f"{status.get('rate', 0.0):g}/s",
    ]
    parts += [f"{status['bad']:,} bad"] if status.get("bad") else []
    parts += [f"waiting: {status['waiting']}"] if status.get("waiting") else []
    return ", ".join(parts)
