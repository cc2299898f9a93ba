"""A4: the world moves away from the training data, and nobody is told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from mlctl.audit.case import Case, Subject
from mlctl.audit.finding import Finding, Pattern
from mlctl.types.diagnostic import Severity

PATTERN = Pattern("A4", "no drift monitoring", "the model rots silently, and customers find out first")
_ANSWERS = ("data", "responses")  # parts that see what is asked and answered
_TRUTH = ("labels", "proxies", "judge")  # parts that see whether answers are right
_MISSED = 3  # times in a row that are more than an outage of a moment
_STAMP = "%Y%m%dT%H%M%S.%fZ"


def check(case: Case) -> Iterator[Finding]:
    """Each deployment has a monitor that runs, compares with what was trained on, and learns of outcomes."""
    for deployment in case.all("deployments"):
        monitors = case.users(deployment, "monitors")
        if not monitors:
            yield Finding(
                PATTERN,
                Severity.ERROR,
                f"nobody watches {deployment.address}",
                (f"monitors with deployment: {deployment.address.name}: none",),
                f"add `monitors: {{{deployment.address.name}_drift: {{deployment: {deployment.address.name}, reference: "
                "${training.NAME.training_profile}, data: {methods: [ks, psi]}}}`",
                deployment.address,
            )
            continue
        yield from _parts(deployment, monitors)
        for monitor in monitors:
            yield from _runs(case, monitor)
            yield from _reference(case, deployment, monitor)


def _parts(deployment: Subject, monitors: list[Subject]) -> Iterator[Finding]:
    asked = {part for monitor in monitors for part in (*_ANSWERS, *_TRUTH) if monitor.get(part)}
    names = ", ".join(str(monitor.address) for monitor in monitors)
    if not asked & set(_ANSWERS):
        yield Finding(
            PATTERN,
            Severity.ERROR,
            f"no monitor of {deployment.address} looks at what it is asked and what it answers",
            (f"{names}: neither {' nor '.join(f'`{part}`' for part in _ANSWERS)}",),
            "add `data` (or `responses` for a language model) to one of them",
            monitors[0].address,
        )
    if not asked & set(_TRUTH):
        yield Finding(
            PATTERN,
            Severity.ERROR,
            f"no monitor of {deployment.address} learns whether its answers were right",
            (f"{names}: none of {', '.join(f'`{part}`' for part in _TRUTH)}",),
            "add `labels` with the dataset that outcomes come to, or `proxies`: no test without labels sees concept drift",
            monitors[0].address,
        )


def _runs(case: Case, monitor: Subject) -> Iterator[Finding]:
    schedules = [item for item in case.all("schedules") if str(monitor.address) in (item.get("targets") or [])]
    if not schedules:
        yield Finding(
            PATTERN,
            Severity.WARNING,
            f"nothing runs {monitor.address}",
            (f"schedules with run: monitor and {monitor.address} in targets: none",),
            f'add `schedules: {{watch: {{cron: "0 * * * *", run: monitor, targets: [{monitor.address}]}}}}`, and its crontab line',
            monitor.address,
        )
        return
    from mlctl.providers.local.schedule import next_runs

    folder = monitor.output("runs")
    last = _last_run(case.root / folder) if isinstance(folder, str) else None
    made = None if monitor.record is None else monitor.record.provenance.get("at")
    since = last or (datetime.fromisoformat(str(made)) if made else None)
    # as cron reads it, in local time; times are not always as far from each other: weekdays, hours of a day
    due = [] if since is None else next_runs(str(schedules[0].get("cron")), since.astimezone(), _MISSED)
    if len(due) == _MISSED and due[-1] < case.now:
        seen = f"last on {last:%Y-%m-%d %H:%M} UTC" if last is not None else "never"
        yield Finding(
            PATTERN,
            Severity.ERROR,
            f"{monitor.address} has missed more than two of its times",
            (f"runs: {seen}", f"{schedules[0].address} cron: {schedules[0].get('cron')}"),
            "install its line: mlctl schedule render | crontab -",
            monitor.address,
        )


def _reference(case: Case, deployment: Subject, monitor: Subject) -> Iterator[Finding]:
    trained = {training.address for training in case.trainings(deployment)}
    compared = {training.address for training in case.uses(monitor, "training")}
    if monitor.get("data") and trained and not compared & trained:
        yield Finding(
            PATTERN,
            Severity.WARNING,
            f"{monitor.address} compares with something else than {deployment.address} was trained on",
            (
                f"{monitor.address} reference: {monitor.get('reference')}",
                f"trained by {', '.join(map(str, sorted(trained)))}",
            ),
            f"reference: ${{{min(trained)}.training_profile}}",
            monitor.address,
            ("reference",),
        )


def _last_run(folder: Path) -> datetime | None:
    found = None
    for path in folder.glob("*/result.json"):
        try:
            moment = datetime.strptime(path.parent.name, _STAMP).replace(tzinfo=UTC)
        except ValueError:
            continue
        found = moment if found is None else max(found, moment)
    return found
