"""The kind behind `streams`: a worker on this machine that keeps what a topic brings, and the windows over it fresh online."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ValidationError

from mlctl.files import atomic
from mlctl.launch import service
from mlctl.processes import service as services
from mlctl.processes import worker
from mlctl.provider import Context, Desired, Family, Input, Observed, Outcome, Spec, diff_fields
from mlctl.providers.faststream.brokers import broker_problems, event_source
from mlctl.providers.faststream.rules import view_problems
from mlctl.providers.faststream.spec import StreamSpec
from mlctl.providers.faststream.workers import observed
from mlctl.types import job as contract
from mlctl.types.address import Address, ObjectKey
from mlctl.types.change import FieldChange, FieldClass
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.event import Progress
from mlctl.types.jobs.features import MaterializeParams
from mlctl.types.jobs.stream import STATUS_FILE, StreamJob, log_folder
from mlctl.types.state import Record
from mlctl.types.value import digest

PROGRAM = "stream"
_WORKER = "worker"
_START_SECONDS = 150.0
_STOP_SECONDS = 60.0


class Stream:
    """One worker process for each stream. The event log is the view's, and stays when the stream goes."""

    section: ClassVar[str] = "streams"
    family: ClassVar[Family] = Family.SERVICE
    spec: ClassVar[type[Spec]] = StreamSpec
    identity: ClassVar[frozenset[str]] = frozenset()
    field_class: ClassVar[FieldClass] = FieldClass.SERVING
    settings: ClassVar[frozenset[str]] = frozenset()
    # a worker has all events itself: snapshots that hold more of them are news to none
    used_by_definition: ClassVar[frozenset[str]] = frozenset({"feature_views"})

    def check(self, spec: StreamSpec, ctx: Context) -> Sequence[Diagnostic]:
        """What is wrong with a block alone."""
        return tuple(broker_problems(spec.broker, ctx))

    def check_together(
        self, specs: Mapping[Address, Any], uses: Mapping[Address, Collection[Address]], ctx: Context
    ) -> Iterable[tuple[Address, Diagnostic]]:
        """A view is one stream's, is served online, and its source has a key."""
        return view_problems(self.section, specs)

    def read(self, prior: Record, ctx: Context) -> Observed | None:
        """What can be seen of the worker."""
        folder = ctx.folder(prior.key) / _WORKER
        if prior.id is None or not folder.is_dir():
            return None
        return observed(folder, STATUS_FILE, _doing)

    def diff(self, desired: Desired, prior: Record, seen: Observed) -> Sequence[FieldChange]:
        """Leaf by leaf; the view comes in as an input."""
        return diff_fields(desired, prior, seen)

    def apply(self, desired: Desired, prior: Record | None, ctx: Context) -> Outcome:
        """Have exactly one worker run, of what is asked for. One that is to be replaced keeps first what it has in hand."""
        view = desired.input("feature_views", desired.spec.view)
        job = stream_job(desired, view, ctx)
        wanted = ctx.secrets.masked(job.model_dump(mode="json"))
        folder = ctx.folder(desired.key) / _WORKER
        state = services.find(folder)
        if state.running and not _same(state.params, wanted):
            ctx.progress(Progress("stopping the worker of the block as it was"))
            worker.stop(folder, _STOP_SECONDS)
        ctx.progress(Progress(f"listening to `{job.topic}`"))
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        service.start(PROGRAM, job.model_dump(mode="json"), folder, ctx)
        service.wait_ready(folder, ctx, _START_SECONDS)
        outputs = {"view": job.view.view, "topic": job.topic, "group": job.group, "log": job.log}
        return Outcome(job.stream, {**outputs, "digest": digest(outputs)})

    def delete(self, prior: Record, ctx: Context) -> None:
        """Let the worker keep what it has in hand, and end. The event log stays: it is the users' data, and comes from nowhere again."""
        folder = ctx.folder(prior.key)
        worker.stop(folder / _WORKER, _STOP_SECONDS)
        shutil.rmtree(folder, ignore_errors=True)

    def log(self, prior: Record, ctx: Context) -> Path | None:
        """What the worker has printed."""
        path = ctx.folder(prior.key) / _WORKER / contract.LOG_FILE
        return path if path.exists() else None

    def describe(self, prior: Record) -> str:
        """What comes from where."""
        topic, view = prior.outputs.get("topic"), prior.outputs.get("view")
        return f"{topic} into {view}" if topic and view else ""


def stream_job(desired: Desired, view: Input, ctx: Context) -> StreamJob:
    """What the worker is told. Raises MlctlError for a view that was not made by a job of this version."""
    spec: StreamSpec = desired.spec
    address = str(desired.address)
    params = _definition(view.key, ctx, address)
    if not params.source.key:
        raise MlctlError.of(
            "stream.no-key",
            f"the source of {view.key.address} has no key",
            "a broker sends some events twice, and only a key tells that",
            "give the dataset a `key`: the columns that name an event",
            address=address,
        )
    name = ctx.made_as(desired.key).address.name
    return StreamJob(
        stream=name,
        broker=event_source(spec.broker, ctx),
        topic=spec.topic,
        group=spec.group or f"mlctl-{ctx.project}-{ctx.environment}-{name}",
        lateness_seconds=spec.lateness,
        log=log_folder(params.snapshot, params.view),
        view=params.model_copy(update={"log": None}),  # the worker has the log itself, and all of it
        served_until=view.outputs["evidence"]["online_until"],
    )


def _definition(key: ObjectKey, ctx: Context, address: str) -> MaterializeParams:
    """How the view was computed: the job that made it says so, to the last detail."""
    folder = ctx.folder(key)
    for name in ("materialize", "adopt"):
        stored = (atomic.read_object(folder / name / contract.JOB_FILE) or {}).get("params", {})
        try:
            return MaterializeParams.model_validate(stored.get("wanted", stored))
        except ValidationError:
            continue
    raise MlctlError.of(
        "stream.view-unknown",
        f"how {key.address} was computed is not known here",
        "the job that made it is gone, or was of another version of mlctl",
        "run `mlctl features materialize`",
        address=address,
    )


def _same(params: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> bool:
    """Whether a worker is what is asked for. Up to when the view was served when it was made is news to none that runs."""
    old, new = ({**(item or {}), "served_until": None} for item in (params, wanted))
    return json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True)


def _doing(status: Mapping[str, Any]) -> str:
    """What a worker says of itself, on one line."""
    lag = status.get("lag")
    parts = [
        f"{status.get('events', 0):,} events",
        "lag unknown" if lag is None else f"lag {lag:,}",
        f"online until {str(status['last_step'])[:19]}Z" if status.get("last_step") else "no step is over yet",
    ]
    parts += [f"{status[name]:,} {name}" for name in ("late", "bad") if status.get(name)]
    return ", ".join(parts)
