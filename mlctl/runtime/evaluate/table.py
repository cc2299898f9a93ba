"""Models of rows of features: scores on the same rows, next to the champion's."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from mlctl.runtime.evaluate import held_out, metrics, registry
from mlctl.runtime.evaluate.measured import Measured
from mlctl.runtime.evaluate.rows import find_leakage, join_for_champion, join_rows, judged_target, score_rows
from mlctl.runtime.report import Report
from mlctl.runtime.trainer.tabular import remarks
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.evaluate import EvaluateJob
from mlctl.types.jobs.train import Candidate, TableCandidate


def measure(
    job: EvaluateJob, candidate: TableCandidate, rival: Candidate | None, client: Any, report: Report
) -> Measured:
    """Score candidate and rival. Raises MlctlError when the candidate cannot be scored."""
    folder = report.folder
    report.progress("joining features")
    rows = join_rows(candidate, job.dataset, folder / "rows")
    leakage = find_leakage(rows, Path(candidate.keys)) if rows.count else None
    obstacles = [] if leakage is None else [str(leakage)]
    target = judged_target(rows, job.dataset, candidate.task)
    report.progress("scoring the candidate", 0, rows.count, "rows")
    score = score_rows(Path(candidate.model), candidate.serving["columns"], rows)
    found = metrics.score_metrics(candidate.task, target, score)
    facts: dict[str, Any] = {"held_out": held_out.keep(folder, candidate.task, target, score)}
    if rows.count and candidate.task == "binary":
        facts["base_rate"] = round(remarks.base_rate(target), 6)
        facts["warnings"] = remarks.one_class(candidate.target, candidate.task, score, target, "rows")
    curves = _curves(candidate.task, target, score, "candidate")
    champion = None
    if rival is not None and rows.count:
        report.progress("scoring the champion", 0, rows.count, "rows")
        try:
            rival = _alike(registry.at_hand(client, rival, folder))
            same = _read(rival) == _read(candidate)
            others = rows if same else join_for_champion(rival, job.dataset, folder / "champion-rows")
            rival_target = judged_target(others, job.dataset, rival.task)
            rival_score = score_rows(Path(rival.model), rival.serving["columns"], others)
        except MlctlError as error:
            if any(bar.versus_champion for bar in job.require.values()):
                obstacles.append(f"the champion cannot be scored on these rows: {error.diagnostics[0].summary}")
        else:
            champion = metrics.score_metrics(rival.task, rival_target, rival_score)
            curves |= _curves(rival.task, rival_target, rival_score, "champion")
    for name in ("rows", "champion-rows"):
        shutil.rmtree(folder / name, ignore_errors=True)
    leaked = 0 if leakage is None else leakage.count
    return Measured(rows.count, found, champion, None, obstacles, leaked, curves, facts)


def _alike(rival: Candidate) -> TableCandidate:
    if not isinstance(rival, TableCandidate):
        raise MlctlError.of(
            "eval.other-kind", "it is a language model", "the candidate reads rows of features", "register it elsewhere"
        )
    return rival


def _curves(task: str, target: Any, score: Any, name: str) -> dict[str, Any]:
    """ROC and calibration points, where both classes are there."""
    if task != "binary" or not len(target) or target.min() == target.max():
        return {}
    return {name: {"roc": metrics.roc_curve(target, score), "calibration": metrics.calibration(target, score)}}


def _read(candidate: TableCandidate) -> tuple[Any, ...]:
    """What the rows of a model are made from; where its copy of the code is kept makes no difference."""
    made = [item.model_dump(exclude={"root"}) for item in candidate.transformations]
    return candidate.views, made, candidate.target, candidate.serving["columns"]
