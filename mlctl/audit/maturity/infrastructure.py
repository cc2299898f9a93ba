"""The section "infrastructure" of the ML Test Score."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mlctl.audit.case import Case, Subject, live
from mlctl.audit.maturity.check import Check, Seen, every, some

_DRILL_DAYS = 90
_GRADUAL = ("canary", "blue_green", "shadow", "ab", "bandit")


def reproduced(case: Case) -> Seen:
    """Somebody trained a model again and got the same."""
    made = [item for item in case.decisions if item.kind == "check" and item.inputs.get("check") == "reproduce"]
    passed = [item for item in made if item.verdict == "passed"]
    return Seen(bool(passed), f"reproductions: {len(passed)} of {len(made)} passed" if made else "reproductions: none")


def _tests(case: Case) -> Seen:
    folder = case.root / "tests"
    found = sum(1 for _ in folder.rglob("test_*.py")) if folder.is_dir() else 0
    return Seen(found > 0, f"tests/test_*.py: {found or 'none'}")


def in_ci(case: Case) -> Seen:
    """A pipeline of the code host plans or applies this project."""
    found = [path for path in _pipelines(case.root) if _runs_mlctl(path)]
    return Seen(bool(found), f"pipelines that run mlctl: {', '.join(path.name for path in found) or 'none'}")


def _pipelines(root: Path) -> Iterator[Path]:
    """Pipelines of the project's folder, and of the repository that holds it."""
    for folder in (root, *root.parents):
        yield from sorted((folder / ".github" / "workflows").glob("*.y*ml"))
        if (folder / ".gitlab-ci.yml").is_file():
            yield folder / ".gitlab-ci.yml"
        if (folder / ".git").exists():
            return


def _runs_mlctl(path: Path) -> bool:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    return any(command in text for command in ("mlctl plan", "mlctl apply", "mlctl -C"))


def gated(case: Case) -> Seen:
    """An evaluation stands in front of each deployment."""
    return every(
        case.all("deployments"), lambda item: bool(case.uses(item, "evaluations")), "deployments behind an evaluation"
    )


def _debuggable(case: Case) -> Seen:
    logs = ("log.predictions", "log.features")
    return every(
        case.all("deployments"),
        lambda item: all(item.get(path) for path in logs),
        "deployments that log their features",
    )


def _gradual(case: Case) -> Seen:
    def has(deployment: Subject) -> bool:
        return any(deployment.get(f"rollout.{name}") for name in _GRADUAL)

    return every(case.all("deployments"), has, "deployments that roll out by steps")


def drilled(case: Case) -> Seen:
    """The way back of each living deployment was taken lately, on purpose or not."""

    def lately(deployment: Subject) -> bool:
        made = case.last("rollout", deployment.address, "undone", "rolled back")
        return made is not None and case.days_since(made.at) <= _DRILL_DAYS

    return every(live(case), lately, f"deployments rolled back in {_DRILL_DAYS} days")


def registered(case: Case) -> Seen:
    """Models that are served come from trainings of the project, through the registry."""
    return every(
        case.all("deployments"),
        lambda item: bool(case.trainings(item)),
        "deployments of models that the project trains",
    )


def deployed(case: Case) -> Seen:
    """Something was deployed by `apply`."""
    return some(case.all("deployments"), lambda item: item.output("version") is not None, "deployments made by apply")


CHECKS = (
    Check("reproducible", "Training again gives the same model", "mlctl models reproduce NAME@VERSION", reproduced),
    Check("unit-tests", "The project's own code is tested", "write tests/test_*.py", _tests),
    Check("integration-test", "The whole pipeline runs in CI", "mlctl init --ci github", in_ci),
    Check("quality-gate", "A model is judged before it is served", "add an evaluation with `register`", gated),
    Check("debugging", "One prediction can be followed", "set `log: {predictions: true, features: true}`", _debuggable),
    Check("canary", "A new version is tried on few first", "add a `rollout` with steps and gates", _gradual),
    Check("rollback", "The way back is drilled", "mlctl rollout undo NAME", drilled),
)
