"""Judge a trained model on rows it has not seen, next to the champion, and register it when it passes."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.runtime.report import Report
from mlctl.types.diagnostic import MlctlError
from mlctl.types.job import JobResult, JobStatus
from mlctl.types.jobs.evaluate import METRICS, EvaluateJob, LookJob, PromoteJob, WithdrawJob
from mlctl.types.jobs.train import Candidate, TableCandidate, TextCandidate
from mlctl.types.state import Gate
from mlctl.types.value import digest

RESULTS_FILE = "evaluation.json"
PAGE_FILE = "evaluation.html"
_NOTHING_PASSED: dict[str, Any] = {
    "model": None, "model_uri": None, "run_id": None, "serving": None, "views": [], "training_profile": None
}  # fmt: skip


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
            f"its metrics are {', '.join(sorted(METRICS[job.candidate.task]))}",
            "ask for other metrics, or set `task` on the training"
            if isinstance(job.candidate, TableCandidate)
            else "ask for other metrics",
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
    """Measure candidate and rival on the same rows, hold the one against the other, and keep it all in the job's folder."""
    from mlctl.runtime.evaluate import gate as verdicts

    candidate = job.candidate
    if isinstance(candidate, TextCandidate):
        from mlctl.runtime.evaluate.text import measure as measure_text

        found = measure_text(job, candidate, rival, client, report)
    else:
        from mlctl.runtime.evaluate.table import measure as measure_table

        found = measure_table(job, candidate, rival, client, report)
    gate = verdicts.judge(job.require, found.metrics, found.champion, found.obstacles, base=found.base)
    gate = replace(gate, details=(*gate.details, *(item["text"] for item in found.facts.get("warnings", ()))))
    results = {
        "dataset": job.dataset.name, "rows": found.rows, "metrics": found.metrics, "champion_metrics": found.champion,
        "base_metrics": found.base, "curves": found.curves, "leaked_rows": found.leaked, **found.facts,
        "gate": {"passed": gate.passed, "summary": gate.summary, "details": list(gate.details)},
    }  # fmt: skip
    atomic.write_json(report.folder / RESULTS_FILE, results)
    from mlctl.runtime.evaluate.page import page

    atomic.write_bytes(report.folder / PAGE_FILE, page(job.tracking.address, results).encode())
    return results


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
        **(shown.outputs() if shown is not None else _NOTHING_PASSED),
        "metrics": results["metrics"],
        "champion_metrics": results["champion_metrics"],
        **({"base_metrics": results["base_metrics"]} if results["base_metrics"] is not None else {}),
        "rows": results["rows"],
        **({"base_rate": results["base_rate"]} if "base_rate" in results else {}),
        **({"held_out": results["held_out"]} if "held_out" in results else {}),  # of the candidate, as `metrics` are
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
