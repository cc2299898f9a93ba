"""Judge a trained model on rows it has not seen, next to the champion, and register it when it passes."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.runtime.report import Report
from mlctl.types.diagnostic import MlctlError
from mlctl.types.job import JobResult, JobStatus
from mlctl.types.jobs.evaluate import EvaluateJob, LookJob, PromoteJob, WithdrawJob
from mlctl.types.jobs.train import Candidate
from mlctl.types.state import Gate
from mlctl.types.value import digest

RESULTS_FILE = "evaluation.json"
PAGE_FILE = "evaluation.html"


def main(params: dict[str, Any], report: Report) -> JobResult:
    """Evaluate; or point the alias back at a model that passed before; or take back what was registered; or only look."""
    if params["op"] == "promote":
        return _promote(PromoteJob.model_validate(params))
    if params["op"] == "withdraw":
        return _withdraw(WithdrawJob.model_validate(params))
    if params["op"] == "look":
        return _look(LookJob.model_validate(params))
    return _evaluate(EvaluateJob.model_validate(params), report)


def _look(job: LookJob) -> JobResult:
    from mlctl.runtime import tracking
    from mlctl.runtime.evaluate import registry

    with tracking.tracking_errors(job.tracking.uri):
        version = registry.aliased_version(tracking.connect(job.tracking), job.register_as)
    return JobResult(JobStatus.DONE, {"version": version})


def _evaluate(job: EvaluateJob, report: Report) -> JobResult:
    from mlctl.runtime import tracking
    from mlctl.runtime.evaluate import gate as verdicts
    from mlctl.runtime.evaluate import registry

    wrong = verdicts.wrong_task(job.require, job.candidate.task)
    if wrong:
        raise MlctlError.of(
            "eval.metric-task",
            f"`{wrong[0]}` does not go with a {job.candidate.task} model",
            f"the target is `{job.candidate.target}`",
            "ask for other metrics, or set `task` on the training",
        )
    with tracking.tracking_errors(job.tracking.uri):
        client = tracking.connect(job.tracking)
        if job.adopt:
            return _adopt(job, client, report)
        holder = registry.champion(client, job.register_as, job.tracking) if job.register_as is not None else None
        rival = holder.candidate if holder is not None and not _same(holder.candidate, job.candidate) else None
        results = _measure(job, rival, client, report)
        gate = Gate(results["gate"]["passed"], results["gate"]["summary"], tuple(results["gate"]["details"]))
        _log_metrics(client, job, results["metrics"])
        version = holder.version if holder is not None else None
        shown = _champion_at_hand(client, holder, report.folder) if not gate.passed else None
        if gate.passed:
            shown = job.candidate
            if job.register_as is not None:
                report.progress(f"registering {job.register_as.name}@{job.register_as.alias}")
                version = registry.register(client, job.candidate, job.register_as, job.tracking, results["metrics"])
    outputs = _outputs(job, gate, version, shown, results)
    return JobResult(JobStatus.DONE, outputs, gate)


def _adopt(job: EvaluateJob, client: Any, report: Report) -> JobResult:
    """Judge the model that holds an alias of somebody else's, and take both over when it passes. Raises MlctlError."""
    from mlctl.runtime.evaluate import registry

    registration = job.register_as
    if registration is None:
        raise ValueError("only an alias can be taken over")
    version = registry.adoptable(client, job.candidate, registration, job.tracking)
    results = _measure(job, None, client, report)
    gate = Gate(results["gate"]["passed"], results["gate"]["summary"], tuple(results["gate"]["details"]))
    if not gate.passed:
        raise MlctlError.of(
            "import.gate-failed",
            f"version {version} of `{registration.name}` does not pass {job.tracking.address}: {gate.summary}",
            "\n".join(gate.details),
            "lower the bars of the block to what the model reaches, import it, and raise them after that",
            address=job.tracking.address,
        )
    report.progress(f"taking over {registration.name}@{registration.alias}")
    registry.take_over(client, version, job.candidate, registration, job.tracking, results["metrics"])
    return JobResult(JobStatus.DONE, _outputs(job, gate, version, job.candidate, results), gate)


def _measure(job: EvaluateJob, rival: Candidate | None, client: Any, report: Report) -> dict[str, Any]:
    """Score candidate and rival on the same rows, hold the one against the other, and keep it all in the job's folder."""
    from mlctl.runtime.evaluate import gate as verdicts
    from mlctl.runtime.evaluate import metrics, registry
    from mlctl.runtime.evaluate.rows import find_leakage, join_for_champion, join_rows, judged_target, score_rows

    folder, candidate = report.folder, job.candidate
    report.progress("joining features")
    rows = join_rows(candidate, job.dataset, folder / "rows")
    leakage = find_leakage(rows, Path(candidate.keys)) if rows.count else None
    obstacles = [] if leakage is None else [str(leakage)]
    target = judged_target(rows, job.dataset, candidate.task)
    report.progress("scoring the candidate", 0, rows.count, "rows")
    score = score_rows(Path(candidate.model), candidate.serving["columns"], rows)
    found = metrics.score_metrics(candidate.task, target, score)
    curves = _curves(metrics, candidate.task, target, score, "candidate")
    champion_metrics = None
    if rival is not None and rows.count:
        report.progress("scoring the champion", 0, rows.count, "rows")
        try:
            rival = registry.at_hand(client, rival, folder)
            same = _same_rows(rival, candidate)
            others = rows if same else join_for_champion(rival, job.dataset, folder / "champion-rows")
            rival_target = judged_target(others, job.dataset, rival.task)
            rival_score = score_rows(Path(rival.model), rival.serving["columns"], others)
        except MlctlError as error:
            if any(bar.versus_champion for bar in job.require.values()):
                obstacles.append(f"the champion cannot be scored on these rows: {error.diagnostics[0].summary}")
        else:
            champion_metrics = metrics.score_metrics(rival.task, rival_target, rival_score)
            curves |= _curves(metrics, rival.task, rival_target, rival_score, "champion")
    gate = verdicts.judge(job.require, found, champion_metrics, obstacles)
    results = {
        "dataset": job.dataset.name, "rows": rows.count, "metrics": found, "champion_metrics": champion_metrics, "curves": curves,
        "leaked_rows": 0 if leakage is None else leakage.count,
        "gate": {"passed": gate.passed, "summary": gate.summary, "details": list(gate.details)},
    }  # fmt: skip
    atomic.write_json(folder / RESULTS_FILE, results)
    from mlctl.runtime.evaluate.page import page

    atomic.write_bytes(folder / PAGE_FILE, page(job.tracking.address, results).encode())
    for name in ("rows", "champion-rows"):
        shutil.rmtree(folder / name, ignore_errors=True)
    return results


def _curves(metrics: Any, task: str, target: Any, score: Any, name: str) -> dict[str, Any]:
    """ROC and calibration points, where both classes are there."""
    if task != "binary" or not len(target) or target.min() == target.max():
        return {}
    return {name: {"roc": metrics.roc_curve(target, score), "calibration": metrics.calibration(target, score)}}


def _log_metrics(client: Any, job: EvaluateJob, metrics: dict[str, float]) -> None:
    """Add the figures to the training's run, for whoever compares runs there; the verdict does not depend on it."""
    from mlflow.entities import Metric
    from mlflow.exceptions import MlflowException

    name, now = _metric_prefix(job.tracking.address), int(time.time() * 1000)
    try:
        client.log_batch(
            job.candidate.run_id, metrics=[Metric(f"{name}.{item}", value, now, 0) for item, value in metrics.items()]
        )
    except MlflowException as error:  # the run was removed by hand
        print(f"metrics were not added to run {job.candidate.run_id}: {error}", flush=True)


def _metric_prefix(address: str) -> str:
    """`gate["lr=0.1"]` as MLflow takes it in a name of a metric: `gate/lr:0.1`."""
    name = address.partition(".")[2].replace('["', "/").replace('"]', "").replace("=", ":")
    return re.sub(r"[^A-Za-z0-9_.:/ -]", "_", name)


def _outputs(
    job: EvaluateJob, gate: Gate, version: str | None, shown: Candidate | None, results: dict[str, Any]
) -> dict[str, Any]:
    """What dependents read: the candidate when it passed, else the champion that stays."""
    name = job.register_as.name if job.register_as is not None else None
    failed = (
        None
        if gate.passed
        else {"digest": job.candidate.digest, "model": job.candidate.model, "run_id": job.candidate.run_id}
    )
    return {
        "name": name,
        "version": version,
        "alias": job.register_as.alias if job.register_as is not None else None,
        "model": shown.model if shown is not None else None,
        "model_uri": shown.model_uri if shown is not None else None,
        "run_id": shown.run_id if shown is not None else None,
        "serving": shown.serving if shown is not None else None,
        "views": [view.model_dump(mode="json") for view in shown.views] if shown is not None else [],
        "training_profile": shown.training_profile if shown is not None else None,
        "metrics": results["metrics"],
        "champion_metrics": results["champion_metrics"],
        "rows": results["rows"],
        "passed": gate.passed,
        "candidate": failed,
        "digest": digest([name, version] if name is not None else [None, shown.digest if shown is not None else None]),
    }


def _champion_at_hand(client: Any, holder: Any, folder: Path) -> Candidate | None:
    """The champion that stays when the candidate fails, or None when there is none that works."""
    from mlctl.runtime.evaluate import registry

    try:
        return registry.at_hand(client, holder.candidate, folder) if holder is not None else None
    except MlctlError:
        return None


def _promote(job: PromoteJob) -> JobResult:
    from mlctl.runtime import tracking
    from mlctl.runtime.evaluate import registry

    with tracking.tracking_errors(job.tracking.uri):
        client = tracking.connect(job.tracking)
        version = registry.register(client, job.candidate, job.register_as, job.tracking, job.metrics)
    return JobResult(JobStatus.DONE, {"version": version})


def _withdraw(job: WithdrawJob) -> JobResult:
    from mlctl.runtime import tracking
    from mlctl.runtime.evaluate import registry

    with tracking.tracking_errors(job.tracking.uri):
        registry.withdraw(tracking.connect(job.tracking), job.register_as, job.tracking)
    return JobResult(JobStatus.DONE)


def _same(one: Candidate, other: Candidate) -> bool:
    return (one.run_id, one.digest) == (other.run_id, other.digest)


def _same_rows(one: Candidate, other: Candidate) -> bool:
    """Whether two models read the same rows, so that one join serves both."""
    return _read(one) == _read(other)


def _read(candidate: Candidate) -> tuple[Any, ...]:
    """What the rows of a model are made from; where its copy of the code is kept makes no difference."""
    made = [item.model_dump(exclude={"root"}) for item in candidate.transformations]
    return candidate.views, made, candidate.target, candidate.serving["columns"]
