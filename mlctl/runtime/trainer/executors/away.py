"""Ranks on machines that share no disk with this one: sent off with all they need, and followed through a bucket.

What comes back lands in the job's folder, under the names it has there when ranks work on this machine, so that whoever follows,
tracks and finishes a training sees no difference. A cluster only starts and ends machines, and says whether they are still wanted.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mlctl.files import atomic
from mlctl.runtime import secrets
from mlctl.runtime.trainer.executors.parcel import pack, send
from mlctl.runtime.trainer.executors.ranks import LOGS_FOLDER, SUBMITTED_FILE, End, trained
from mlctl.runtime.trainer.executors.remote import CURVE_FILE, WEIGHTS
from mlctl.runtime.trainer.executors.stream import Incoming
from mlctl.runtime.trainer.objects import UNREACHABLE, Objects, below, fetch_verified, job_place
from mlctl.runtime.trainer.plan import ENDED_FILE, ERRORS_FOLDER, PROGRESS_FILE
from mlctl.runtime.trainer.storage import newest_copy
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.recipe import Storage
from mlctl.types.jobs.train import CHECKPOINTS, JobLimit, TrainJob
from mlctl.types.secret import sealed_names

_POLL_SECONDS = 1.0  # between two looks into the bucket
_LOST_SECONDS = 120.0  # a cluster that has never heard of a job for so long has lost it
_LATE, _SAVING_SECONDS, _LATEST_SECONDS = 0.1, 180.0, 1200.0  # that a job of a limit gets to save and send
_LEAVE_SECONDS = 1800.0  # machines that were asked to stop save, send and leave by themselves


@dataclass(frozen=True, slots=True)
class Order:
    """What a cluster is to start: one program a node, on so many."""

    name: str  # by which the cluster knows it: lower case letters, digits and dashes, at most 52
    place: Storage  # of the job
    attempt: str
    nodes: int
    processes: int  # of each node
    labels: dict[str, str]  # who asked for it, by names without a prefix
    folder: Path  # for what is rendered
    limit: JobLimit | None = None  # by the budget

    @property
    def command(self) -> list[str]:
        """The arguments of the program on each node, but for those of torchrun."""
        options = [self.place.url, "--attempt", self.attempt, "--nodes", str(self.nodes)]
        for name, value in (("--endpoint-url", self.place.endpoint_url), ("--region", self.place.region)):
            options += [name, value] if value is not None else []
        options += ["--max-seconds", str(self.limit.seconds)] if self.limit is not None else []
        return ["-m", "mlctl.runtime.trainer.executors.remote", *options]

    @property
    def deadline(self) -> int | None:
        """Seconds after which a cluster ends it by force. The program ends by itself before, and saves; this holds where it
        does not, or has to wait for its machines."""
        if self.limit is None:
            return None
        return self.limit.seconds + round(min(_LATEST_SECONDS, max(_SAVING_SECONDS, self.limit.seconds * _LATE)))


@dataclass(frozen=True, slots=True)
class Seen:
    """What a cluster says of a job: whether it is over with it, and in which words."""

    over: bool
    words: str


class Cluster(Protocol):
    """Starts jobs, finds them by name, and ends them. All raise MlctlError."""

    ask_seconds: float  # between two questions how a job of which nothing is heard is doing

    def submit(self, order: Order) -> None:
        """Have a job started. It is found by its name from then on."""
        ...

    def find(self, name: str) -> Seen | None:
        """How a job is doing; None when there is none of that name."""
        ...

    def cancel(self, name: str) -> None:
        """End a job, and give its machines back. One that is gone already is fine."""
        ...


class Away:
    """An executor whose machines share no disk with this one."""

    restarts = 0  # the cluster starts ranks anew
    stop_seconds = 30.0
    outlives = True
    needs_plan = True

    def __init__(self, job: TrainJob, storage: Storage, nodes: int, cluster: Cluster) -> None:
        if job.recipe.layout.processes % nodes:  # of `strategy: auto`, which is decided late
            raise MlctlError.of(
                "executor.uneven",
                f"{job.recipe.layout.processes} processes cannot be shared evenly by {nodes} nodes",
                "each node runs as many as the others",
                "change `executor.nodes`, or write the processes under `strategy`",
            )
        self._job, self._nodes, self._cluster = job, nodes, cluster
        self._place = job_place(storage, job.tracking)

    def start(self, folder: Path) -> AwayAttempt:
        """Send the inputs, and have machines started. Raises MlctlError."""
        self._refuse_secrets()
        objects = Objects(self._place)
        objects.check()
        self._settle(folder)
        parcel = pack(folder, Path.cwd())
        attempt = uuid.uuid4().hex[:8]
        send(parcel, objects, f"run/{attempt}/manifest.json", tell)
        order = Order(
            name=job_name(self._job.tracking.address, self._job.tracking.object, attempt),
            place=self._place,
            attempt=attempt,
            nodes=self._nodes,
            processes=self._job.recipe.layout.processes // self._nodes,
            labels={"lineage": self._job.tracking.lineage, "address": self._job.tracking.address, "attempt": attempt},
            folder=folder,
            limit=self._job.limit,
        )
        noted = {"name": order.name, "attempt": attempt}
        atomic.write_json(folder / SUBMITTED_FILE, noted)  # a kill from here on leaves a name to look for
        self._cluster.submit(order)
        tell(f"submitted as `{order.name}`")
        return AwayAttempt(self._cluster, self._place, folder, noted)

    def rejoin(self, folder: Path) -> AwayAttempt | None:
        """The machines that an earlier program had started. Raises MlctlError."""
        noted = _noted(folder)
        if noted is None:
            return None
        if self._cluster.find(noted["name"]) is None and not self._has_ended(noted):
            # a launch that was cut short may come through yet: then it finds that nobody wants it
            Objects(below(self._place, "run", noted["attempt"])).put("stop", b"")
            return None
        (folder / PROGRESS_FILE).unlink(missing_ok=True)  # it comes again, from its beginning
        return AwayAttempt(self._cluster, self._place, folder, noted)

    def _refuse_secrets(self) -> None:
        """What a cluster is given is written to files, and shown by it to many. Raises MlctlError."""
        asked = self._job.executor.model_dump(mode="json")
        if names := sealed_names(secrets.known().masked(asked)):
            raise MlctlError.of(
                "training.remote-secret",
                f"`executor` holds {', '.join(f'`{name}`' for name in sorted(names))}",
                f"what {asked['type']} is given is kept in files, and is seen by whoever may look at the job",
                "name the variable under `executor.secrets`, which hands its value on without writing it down",
            )

    def _settle(self, folder: Path) -> None:
        """Let machines that were asked to stop send their checkpoint: the next ones go on from it. Raises MlctlError."""
        noted = _noted(folder)
        seen = None if noted is None else self._cluster.find(noted["name"])
        if noted is None or seen is None or seen.over:
            return
        tell(f"waiting for `{noted['name']}`, which was asked to stop")
        left = Objects(below(self._place, "run", noted["attempt"]))
        left.put("stop", b"")
        deadline = time.monotonic() + _LEAVE_SECONDS
        while not self._has_ended(noted) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
            seen = self._cluster.find(noted["name"])
            if seen is None or seen.over:
                return
        self._cluster.cancel(noted["name"])

    def _has_ended(self, noted: dict[str, Any]) -> bool:
        return Objects(below(self._place, "run", noted["attempt"])).get("ended.json") is not None


class AwayAttempt:
    """Ranks far away. A thread brings what they send, so that looking at the files costs nothing."""

    def __init__(self, cluster: Cluster, place: Storage, folder: Path, noted: dict[str, Any]) -> None:
        self._cluster, self._folder, self._noted = cluster, folder, noted
        self._job = Objects(place)
        self._checkpoints = Objects(below(place, CHECKPOINTS))
        self._run = Objects(below(place, "run", noted["attempt"]))
        self._progress = Incoming(self._run, "progress", self._add_progress)
        self._log = Incoming(self._run, "log/000", _print, last=noted.get("log"))
        self._over, self._end, self._broken = threading.Event(), End(True, "nothing is known of it"), list[Exception]()
        self._heard_at, self._since = 0.0, time.monotonic()
        self.word = ""  # what the cluster says of it
        self._lock = threading.Lock()
        threading.Thread(target=self._watch, name="away", daemon=True).start()

    @property
    def running(self) -> bool:
        """Until all is here that the ranks left. Raises what went wrong on the way."""
        if self._broken:
            raise self._broken[0]
        return not self._over.is_set()

    def ask_to_stop(self) -> None:
        """Leave word; machines that are not there yet are not waited for."""
        self._run.put("stop", b"")

    def kill(self) -> None:
        """Have the cluster end it, unless it has heard that it is to stop: then it saves, sends that and leaves by itself."""
        if not self._over.is_set() and self._run.get("stopping.json") is None:
            self._cluster.cancel(self._noted["name"])
            self._close(End(True, "it was cancelled"))

    def end(self) -> End:
        """As the machines told it, else as the cluster does."""
        return self._end

    def _watch(self) -> None:
        told = ""
        while not self._over.is_set():
            try:
                self._look()
                told = ""
            except MlctlError as error:
                code = error.diagnostics[0].code
                # a bucket or a cluster that does not answer may do so again, and the training goes on meanwhile
                if code != UNREACHABLE and not code.startswith("executor."):
                    self._fail(error)
                    return
                if told != error.diagnostics[0].summary:
                    told = error.diagnostics[0].summary
                    tell(f"{told}; trying again")
            except Exception as error:  # to be raised where somebody looks
                self._fail(error)
                return
            self._over.wait(_POLL_SECONDS)

    def _look(self) -> None:
        """Take what is new, and find out whether that was all."""
        if self._progress.receive():
            self._heard_at, self.word = time.monotonic(), ""  # whoever makes progress lives
        if self._log.receive():
            self._note(log=self._log.last)
        self._note_checkpoint()
        ended = self._run.get_json("ended.json")
        if ended is None and time.monotonic() - self._heard_at >= self._cluster.ask_seconds:
            self._heard_at = time.monotonic()
            seen = self._cluster.find(self._noted["name"])
            self.word = "not known to the cluster yet" if seen is None else seen.words
            lost = seen is None and time.monotonic() - self._since > _LOST_SECONDS
            if lost:  # should it come up after all, it finds that nobody wants it
                self._run.put("stop", b"")
            if (seen is not None and seen.over) or lost:
                ended = self._run.get_json("ended.json") or {"ended": None, "files": {}}
                words = "the cluster does not know it any more" if seen is None else f"the cluster says: {seen.words}"
                self._take(ended, words)
        elif ended is not None:
            self._take(ended, "the machine was lost")

    def _take(self, ended: dict[str, Any], words: str) -> None:
        """Bring all that is left: logs and errors, weights and curve, and last how the ranks ended."""
        self._progress.receive()
        self._log.receive()
        for prefix, place in (("errors/", self._folder / ERRORS_FOLDER), ("ranks/", self._folder / LOGS_FOLDER)):
            for name in self._run.names(prefix):
                path = place / name.removeprefix(prefix)
                path.parent.mkdir(parents=True, exist_ok=True)
                self._run.get_file(name, path)
        left = self._run.get_json("left.json") or {}
        if ended["ended"] is not None:
            self._bring(ended["files"])
            atomic.write_json(self._folder / ENDED_FILE, ended["ended"])
        self._close(End(True, "; ".join(filter(None, [left.get("why"), words])), limit=ended.get("limit")))
        if trained(self._folder):
            self._tidy()

    def _tidy(self) -> None:
        """Away with what was only on its way: all of it is here now. The checkpoints stay."""
        try:
            self._job.delete([*self._job.names("input/"), *self._job.names("run/")])
        except MlctlError as error:
            tell(f"what was sent stays in the bucket: {error.diagnostics[0].summary}")

    def _bring(self, files: dict[str, str]) -> None:
        """The weights and the curve, whole or not at all. Raises MlctlError."""
        inside = {
            name.removeprefix(f"{WEIGHTS}/"): digest for name, digest in files.items() if name.startswith(WEIGHTS)
        }
        if inside and not fetch_verified(self._run, f"results/{WEIGHTS}", inside, self._folder / WEIGHTS):
            self._note(over=True)  # the next try is another attempt
            raise MlctlError.of(
                "training.remote-damaged",
                "the weights that came back are not those that were sent",
                f"a file below {self._run.storage.url}/results does not match its digest",
                "run `mlctl apply` again: it goes on from the last checkpoint",
            )
        if CURVE_FILE in files:
            beside = self._folder / f".{CURVE_FILE}.new"
            self._run.get_file(f"results/{CURVE_FILE}", beside)
            beside.replace(self._folder / CURVE_FILE)

    def _note_checkpoint(self) -> None:
        """Keep the note of the newest checkpoint here, by which everybody tells how far a training is."""
        newest = newest_copy(self._checkpoints)
        path = self._folder / CHECKPOINTS / f"{newest}.json"
        if newest is None or path.exists():
            return
        facts = self._checkpoints.get_json(path.name)
        if facts is not None:
            path.parent.mkdir(exist_ok=True)
            atomic.write_json(path, facts)
        for old in path.parent.glob("step-*.json"):
            if old.name < path.name and not old.with_suffix("").exists():
                old.unlink()

    def _add_progress(self, data: bytes) -> None:
        with open(self._folder / PROGRESS_FILE, "ab") as stream:
            stream.write(data)

    def _note(self, **more: Any) -> None:
        with self._lock:
            self._noted.update(more)
            atomic.write_json(self._folder / SUBMITTED_FILE, self._noted)

    def _close(self, end: End) -> None:
        self._end = end
        self._note(over=True)
        self._over.set()

    def _fail(self, error: Exception) -> None:
        self._broken.append(error)
        self._over.set()


def job_name(address: str, object_key: str, attempt: str) -> str:
    """A name that clusters take, with what a person looks for first: `mlctl-churn-1f0c2d3e-9a8b7c6d`."""
    resource = address.partition(".")[2].lower()
    slug = (
        "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in resource)
        .strip("-")[:24]
        .strip("-")
    )
    identity = "".join(letter for letter in object_key.partition("#")[2].lower() if letter.isalnum())[:8]
    return "-".join(filter(None, ["mlctl", slug, identity, attempt]))


def tell(message: str) -> None:
    """A line for the log."""
    print(message, flush=True)


def _print(data: bytes) -> None:
    sys.stdout.write(data.decode(errors="replace"))
    sys.stdout.flush()


def _noted(folder: Path) -> dict[str, Any] | None:
    """What was submitted from a folder last, unless it is known to be over."""
    try:
        noted: dict[str, Any] = json.loads((folder / SUBMITTED_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return None if noted.get("over") else noted
