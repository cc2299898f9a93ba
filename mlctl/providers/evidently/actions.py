"""What follows a run of a monitor: a line in a file, a webhook, a trend page, the word to retrain; and the decision in the ledger.

Everything may be cut off at any moment. What was done is noted beside the run, in `actions.json`, and the next run of the
monitor makes up for what is missing there: an alarm reaches its webhook at least once, always under the same id, for as
long as its run is kept. Nothing here makes a run fail: what cannot be done is told, and the verdict stands.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.files.lock import FileLock
from mlctl.provider import Context
from mlctl.providers.evidently import keeping, webhook
from mlctl.providers.evidently import run as runs
from mlctl.providers.evidently.monitor import RUNS_FOLDER
from mlctl.providers.evidently.spec.actions import Webhook
from mlctl.stats.drift import Verdict
from mlctl.types.diagnostic import Diagnostic, MlctlError, Severity
from mlctl.types.job import JOB_FILE
from mlctl.types.secret import HIDDEN, shown
from mlctl.types.state import Record
from mlctl.types.value import digest

ACTIONS_FILE = "actions.json"
_LOCK_FILE = "actions.lock"


@dataclass(frozen=True)
class Taken:
    """What was done about one run, as it is kept, and what could not be."""

    done: Mapping[str, Any]
    warnings: Sequence[Diagnostic] = field(default_factory=tuple)


Draw = Callable[[Record, Context, Path], None]  # the trend over all runs that are kept, as a page


def settle(record: Record, result: runs.MonitorResult, ctx: Context, by: str, draw: Draw) -> Taken:
    """Do what the verdict asks for, and keep the decision. Repeatable: what is noted as done is not done again."""
    folder = ctx.folder(record.key) / RUNS_FOLDER / result.run
    with _alone(folder.parent.parent):
        return _Settling(record, result, ctx, folder, by, draw).run()


def make_up(record: Record, ctx: Context, by: str, draw: Draw, but: str = "") -> list[tuple[str, Taken]]:
    """Do what earlier runs have left undone, the oldest first; a webhook that is still down ends it. Gives the runs by name.

    `but` is a run that has just been seen to.
    """
    found: list[tuple[str, Taken]] = []
    with _alone(ctx.folder(record.key)):
        for result in runs.history(record, ctx):
            folder = ctx.folder(record.key) / RUNS_FOLDER / result.run
            if result.run == but or not _acts(folder) or _is_settled(_noted(folder)):
                continue
            taken = _Settling(record, result, ctx, folder, by, draw).run()
            found.append((result.run, taken))
            if not _is_settled(taken.done):
                break
    return found


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two commands do not act upon the same run at once."""
    lock = FileLock(folder / _LOCK_FILE)
    lock.acquire(blocking=True)
    try:
        yield
    finally:
        lock.release()


class _Settling:
    """One run on its way."""

    def __init__(
        self, record: Record, result: runs.MonitorResult, ctx: Context, folder: Path, by: str, draw: Draw
    ) -> None:
        self.record, self.result, self.ctx, self.folder, self.by, self.draw = record, result, ctx, folder, by, draw
        self.done: dict[str, Any] = _noted(folder)
        self.warnings: list[Diagnostic] = []
        asked = record.spec.get("on_alarm")
        alarmed = result.verdict is Verdict.ALARM and _acts(folder)
        self.asked: Mapping[str, Any] = asked if alarmed and isinstance(asked, Mapping) else {}

    def run(self) -> Taken:
        """All that is not done yet. The decision comes last, since it tells what came of the rest; all of that ends in bounded time."""
        self.done.setdefault("id", alarm_id(self.record, self.result.run, self.ctx))
        if self.asked.get("file") and not self.done.get("file"):
            self._note(file=self._line(str(self.asked["file"])))
        if self.asked.get("report") and not self.done.get("report"):
            self._note(report=self._trend())
        told = self.asked.get("webhook")
        if isinstance(told, Mapping) and not (self.done.get("webhook") or {}).get("delivered"):
            self._note(webhook=self._post(told))
        if self.asked.get("retrain"):
            self._note(retrain=str(self.asked["retrain"]))
        if not self.done.get("decision"):
            self._note(decision=self._keep())
        return Taken(dict(self.done), tuple(self.warnings))

    def _note(self, **facts: Any) -> None:
        self.done.update(facts)
        try:
            atomic.write_json(self.folder / ACTIONS_FILE, self.ctx.secrets.hidden(self.done))
        except OSError as error:
            self._warn("monitor.not-noted", "what was done about the alarm could not be noted", error)

    def _line(self, name: str) -> str | None:
        try:
            path = self.ctx.path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            append(path, self._body())
        except (OSError, MlctlError) as error:  # a link may lead out of the project by now
            self._warn("monitor.file-refused", f"the alarm could not be written to `{name}`", error)
            return None
        return name

    def _trend(self) -> str | None:
        path = self.ctx.folder(self.record.key) / runs.TREND_FILE
        try:
            self.draw(self.record, self.ctx, path)
        except OSError as error:
            self._warn("monitor.no-trend", "the trend could not be drawn", error)
            return None
        return os.path.relpath(path, self.ctx.root)

    def _post(self, told: Mapping[str, Any]) -> dict[str, Any]:
        if missing := self.ctx.secrets.missing(dict(told)):
            names = ", ".join(f"`{name}`" for name in sorted(missing))
            sent = webhook.Delivery(False, 0, None, f"{names} is not set")
        else:
            opened = Webhook.model_validate(self.ctx.secrets.opened(dict(told)))
            sent = webhook.deliver(
                opened.url, self._body(), id=str(self.done["id"]), headers=opened.headers, timeout=opened.timeout,
                retries=opened.retries, secrets=self.ctx.secrets, wait=self.ctx.stop.wait,
            )  # fmt: skip
        if not sent.delivered:
            self._warn(
                "monitor.webhook-failed", "nobody was told of the alarm: the webhook did not take it", sent.error
            )
        return sent.to_json()

    def _keep(self) -> str | None:
        done = {name: value for name, value in self.done.items() if name != "decision"}
        try:
            return keeping.keep(self.record, self.result, self.ctx, done, self.by)
        except OSError as error:
            self._warn("monitor.not-kept", "the decision could not be kept in the ledger", error)
            return None

    def _body(self) -> dict[str, Any]:
        """What an alarm says to others. No secret of the project is in it."""
        outputs = self.result.outputs
        told = {
            "id": self.done["id"], "type": "mlctl.monitor.alarm", "project": self.ctx.project,
            "environment": self.ctx.environment, "monitor": str(self.record.key.address),
            "deployment": f"deployments.{self.record.outputs['deployment']}", "run": self.result.run, "at": outputs["until"],
            "verdict": outputs["verdict"], "summary": outputs["summary"], "alarms": outputs["alarms"],
            "digest": outputs.get("digest", []), "report": outputs["report"], "retrain": self.asked.get("retrain"),
        }  # fmt: skip
        found: dict[str, Any] = self.ctx.secrets.hidden(told)
        return found

    def _warn(self, code: str, summary: str, why: object) -> None:
        fix = "the verdict stands; the next run of the monitor tries again"
        self.warnings.append(
            Diagnostic(
                code,
                f"{self.record.key.address}: {summary}",
                str(self.ctx.secrets.hidden(str(why))),
                fix,
                Severity.WARNING,
            )
        )


def alarm_id(record: Record, run: str, ctx: Context) -> str:
    """Names an alarm for good, in every environment and state."""
    return digest([ctx.lineage, ctx.environment, str(ctx.made_as(record.key)), run])[:16]


def append(path: Path, value: Mapping[str, Any]) -> None:
    """One more line at the end of a file, on the disk when this returns. A line that a kill left torn is ended first."""
    data = json.dumps(value, ensure_ascii=False, allow_nan=False, default=str).encode("utf-8", "surrogatepass") + b"\n"
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        length = os.fstat(handle).st_size
        if length and os.pread(handle, 1, length - 1) != b"\n":
            data = b"\n" + data
        if os.write(handle, data) != len(data):
            raise OSError(f"only a part of the line fitted into {path}")
        os.fsync(handle)
        if not length:
            atomic.sync_folder(path.parent)  # the file is new: its name has to be there after a loss of power too
    finally:
        os.close(handle)


def _noted(folder: Path) -> dict[str, Any]:
    return atomic.read_object(folder / ACTIONS_FILE) or {}


def _acts(folder: Path) -> bool:
    """Whether the run was made to be acted upon."""
    job = atomic.read_object(folder / JOB_FILE) or {}
    return bool((job.get("params") or {}).get("acts"))


def _is_settled(done: Mapping[str, Any]) -> bool:
    """Whether nothing is left to do: the decision is kept, and a webhook that was asked has answered."""
    told = done.get("webhook")
    return bool(done.get("decision")) and (told is None or bool(told.get("delivered")))


def text(done: Mapping[str, Any]) -> list[str]:
    """What was done, for a person."""
    lines = []
    if done.get("file"):
        lines.append(f"written to {done['file']}")
    if (told := done.get("webhook")) is not None:
        lines.append(
            "told the webhook"
            if told["delivered"]
            else f"the webhook did not take it: {shown(told['error']) or HIDDEN}"
        )
    if done.get("report"):
        lines.append(f"trend in {done['report']}")
    if done.get("retrain"):
        lines.append(f"asks for {done['retrain']}: run `mlctl retrain --on-alarm`")
    if done.get("decision"):
        lines.append(f"decision {done['decision']}")
    return lines
