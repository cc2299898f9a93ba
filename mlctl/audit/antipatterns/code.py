"""A1: a model is served that nobody could make again: from a notebook, from nowhere, from code that was never committed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mlctl.audit.case import Case, Subject
from mlctl.audit.finding import Finding, Pattern
from mlctl.types.diagnostic import Severity

PATTERN = Pattern("A1", "notebook-only deploy", "the model cannot be made again, mended, or explained")


def check(case: Case) -> Iterator[Finding]:
    """Each deployed model comes from a training whose code, data and packages are on record."""
    for deployment in case.all("deployments"):
        gates, trainings = case.uses(deployment, "evaluations"), case.trainings(deployment)
        if gates and not trainings:
            gate = gates[0]
            yield Finding(
                PATTERN,
                Severity.ERROR,
                f"the model of {deployment.address} was made outside of the project",
                (f"{gate.address} model: {gate.get('model')}",),
                "describe how it is made in `training`, and let the evaluation use `${training.NAME.model}`",
                gate.address,
                ("model",),
            )
        for training in trainings:
            yield from _on_record(case, training)
            yield from _notebook(case, training)


def _on_record(case: Case, training: Subject) -> Iterator[Finding]:
    found = case.provenance(training)
    if training.record is None or not found:
        return
    model = training.output("model")
    where = f"provenance.json beside {model}"
    missing = [
        what
        for what, value in (
            ("the digest of its data", found.get("data")),
            ("the digest of its packages", found.get("environment", {}).get("packages")),
        )
        if not value
    ]
    if missing:
        yield Finding(
            PATTERN,
            Severity.ERROR,
            f"{training.address} does not say what it was made of: {' and '.join(missing)}",
            (where,),
            f"mlctl apply --replace {training.address}",
            training.address,
        )
    code = found.get("code", {})
    if code.get("commit") is None:
        own = code.get("digest") is not None  # the project's own code had a part in it
        yield Finding(
            PATTERN,
            Severity.ERROR if own else Severity.WARNING,
            f"{training.address} was trained from {'code' if own else 'a project'} that no commit holds",
            (f"{where}: code.commit: none",),
            f"git init && git add . && git commit, then mlctl apply --replace {training.address}",
            training.address,
        )
    elif code.get("dirty"):
        kept = code.get("diff") is not None
        yield Finding(
            PATTERN,
            Severity.WARNING if kept else Severity.ERROR,
            f"{training.address} was trained from changes that were not committed"
            + (", which are kept beside the model" if kept else ""),
            (f"{where}: code.commit: {code['commit']}, dirty",),
            f"commit them, then mlctl apply --replace {training.address}",
            training.address,
        )


def _notebook(case: Case, training: Subject) -> Iterator[Finding]:
    entrypoint = training.get("model.entrypoint")
    if not isinstance(entrypoint, str):
        return
    module = case.root / entrypoint.partition(":")[0]
    notebook = module.with_suffix(".ipynb")
    if _time(notebook) > _time(module) > 0:
        yield Finding(
            PATTERN,
            Severity.WARNING,
            f"the notebook {notebook.name} is newer than {module.name}, which is what is trained",
            (f"{notebook.relative_to(case.root)}: changed later",),
            f"bring what was tried there to {module.relative_to(case.root)}",
            training.address,
            ("model", "entrypoint"),
        )


def _time(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
