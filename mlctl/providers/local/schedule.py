"""The kind `schedules`: what runs at what time. mlctl has no daemon: `render` gives the line for the machine's own cron, `timers.py` a timer of systemd."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from mlctl.provider import Context, Desired, Family, Link, Observed, Outcome, Spec, diff_fields
from mlctl.providers.local import cron
from mlctl.types.address import Address
from mlctl.types.change import EdgeKind, FieldChange, FieldClass
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.state import Record
from mlctl.types.value import digest

_SECTIONS = {
    "retrain": "training", "retrain_on_alarm": "training", "monitor": "monitors", "materialize": "feature_views",
}  # fmt: skip
_THERE = Observed()


class ScheduleSpec(Spec):
    """When (`cron`, in the machine's local time) to do what (`run`) to which resources (`targets`)."""

    cron: str
    run: Literal["retrain", "retrain_on_alarm", "monitor", "materialize"]
    targets: Annotated[list[str], Field(min_length=1)]

    def links(self) -> Iterable[Link]:
        """Targets are named, not used: they have to exist, and a schedule goes after them."""
        for index, target in enumerate(self.targets):
            try:
                yield Link(("targets", index), Address.parse(target), EdgeKind.ORDER)
            except ValueError:
                continue  # `check` says so


class Schedule:
    """A schedule lives in the state alone: what it would run is an output."""

    section: ClassVar[str] = "schedules"
    family: ClassVar[Family] = Family.DEFINITION
    spec: ClassVar[type[Spec]] = ScheduleSpec
    identity: ClassVar[frozenset[str]] = frozenset()
    field_class: ClassVar[FieldClass] = FieldClass.DESIGN
    settings: ClassVar[frozenset[str]] = frozenset()

    def check(self, spec: ScheduleSpec, ctx: Context) -> Sequence[Diagnostic]:
        """The expression can be read, and the targets are of the kind that is run."""
        found = []
        try:
            cron.parse(spec.cron)
        except ValueError as error:
            found.append(
                Diagnostic(
                    "schedule.bad-cron",
                    f"`{spec.cron}` is not a time cron understands",
                    str(error),
                    "for example `0 3 * * *`: each day at 03:00",
                    path=("cron",),
                )
            )
        section = _SECTIONS[spec.run]
        for index, target in enumerate(spec.targets):
            if not target.startswith(f"{section}.") or not _is_address(target):
                summary, why = (
                    f"`{target}` cannot be a target of `run: {spec.run}`",
                    f"`run: {spec.run}` takes addresses of `{section}`",
                )
                found.append(
                    Diagnostic(
                        "schedule.wrong-target",
                        summary,
                        why,
                        f"write `{section}.NAME`, or change `run`",
                        path=("targets", index),
                    )
                )
            elif target in spec.targets[:index]:
                found.append(
                    Diagnostic(
                        "schedule.target-twice",
                        f"`{target}` is given twice",
                        "a second run right after the first does nothing",
                        "remove one",
                        path=("targets", index),
                    )
                )
        return found

    def read(self, prior: Record, ctx: Context) -> Observed | None:
        """The definition is in the state, so it is there as long as the state is."""
        return _THERE

    def diff(self, desired: Desired, prior: Record, seen: Observed) -> Sequence[FieldChange]:
        """Field by field."""
        return diff_fields(desired, prior, seen)

    def apply(self, desired: Desired, prior: Record | None, ctx: Context) -> Outcome:
        """Write down what will run. No clock: the same spec gives the same outputs."""
        spec: ScheduleSpec = desired.spec
        outputs = {
            "cron": " ".join(spec.cron.split()),
            "targets": list(spec.targets),
            "command": [*_chosen(ctx.environment), *arguments(spec.run, spec.targets)],
        }
        return Outcome(str(desired.address), {**outputs, "digest": digest(outputs)})

    def delete(self, prior: Record, ctx: Context) -> None:
        """There is nothing outside the state."""

    def describe(self, prior: Record) -> str:
        """The expression and the targets."""
        outputs = prior.outputs
        return (
            f"{outputs['cron']}  {', '.join(outputs['targets'])}"
            if outputs.get("cron") and outputs.get("targets")
            else ""
        )


def _chosen(environment: str) -> list[str]:
    """The option that chooses an environment: cron has nobody's MLCTL_ENV."""
    return [] if environment == "default" else ["-e", environment]


def arguments(run: str, targets: Sequence[str]) -> list[str]:
    """The arguments of the `mlctl` command that a schedule runs. Nobody is there to be asked."""
    if run in ("retrain", "retrain_on_alarm"):
        return ["retrain", *targets, *(["--on-alarm"] if run == "retrain_on_alarm" else []), "--auto-approve"]
    names = [Address.parse(target).name for target in targets]
    return ["features", "materialize", *names] if run == "materialize" else ["monitor", "run", *names]


def next_runs(expression: str, now: datetime, count: int = 3) -> list[datetime]:
    """The next times a schedule runs, in the time zone of `now`. Raises ValueError for an expression that is none."""
    return list(islice(cron.parse(expression).after(now), count))


def render(record: Record, root: Path, executable: str) -> str:
    """The crontab line of a schedule: from anywhere, with a log, and with nothing left for the shell or cron to read otherwise.

    The log lies beside the state, in a folder that exists for as long as the project is applied. Raises MlctlError.
    """
    if "command" not in record.outputs:
        raise MlctlError.of(
            "schedule.not-applied",
            f"{record.key.address} has no command yet",
            "a crontab line is made from what was applied",
            "run `mlctl apply`",
        )
    log = root / ".mlctl" / f"schedule-{re.sub(r'[^A-Za-z0-9_-]+', '_', record.key.address.name)}.log"
    command = (
        shlex.join([executable, "-C", str(root), *record.outputs["command"]]) + f" >> {shlex.quote(str(log))} 2>&1"
    )
    if "\n" in command or "\r" in command:
        raise MlctlError.of(
            "schedule.newline",
            "a path with a line break cannot stand in a crontab",
            f"the command is {command!r}",
            "move the project to a folder without one in its name",
        )
    return f"{record.outputs['cron']} " + command.replace("%", r"\%")  # cron turns a bare % into a line break


def _is_address(text: str) -> bool:
    try:
        Address.parse(text)
    except ValueError:
        return False
    return True
