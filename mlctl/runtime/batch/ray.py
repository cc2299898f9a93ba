"""Parts of a batch at once, by actors of a Ray cluster that each hold the model. They write the parts themselves."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mlctl.runtime.batch.parts import Part
from mlctl.runtime.batch.stopping import Stopped
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.batch import BatchJob, RayBatch

_STORE_BYTES = 100_000_000  # nothing is kept in Ray's own store; the least it takes is 75 MB
_WAIT_SECONDS = 0.5


def make_all(
    job: BatchJob, asked: RayBatch, folder: Path, todo: Sequence[Part], done: Callable[[int], None], stopped: Callable[[], bool]
) -> None:  # fmt: skip
    """Make all parts. Ray starts an actor that died anew, and its part with it. Raises MlctlError, Stopped."""
    import ray

    _connect(asked)
    try:
        scorer = ray.remote(num_cpus=asked.cpus_per_worker, max_restarts=3, max_task_retries=3)(_Worker)
        count = min(asked.workers, len(todo))
        workers = [scorer.remote(job.model_dump(mode="json"), str(folder.resolve()), os.getcwd()) for _ in range(count)]
        waiting = list(todo)
        busy: dict[Any, tuple[Any, Part]] = {}
        for worker in workers:
            _hand(worker, waiting, busy)
        while busy:
            ready, _ = ray.wait(list(busy), num_returns=1, timeout=_WAIT_SECONDS)
            for found in ready:
                worker, part = busy.pop(found)
                _taken(ray.get(found))
                done(part.stop - part.start)
                _hand(worker, waiting, busy)
            if stopped():
                raise Stopped
    except ray.exceptions.RayError as error:
        raise MlctlError.of(
            "batch.ray-failed",
            "Ray gave up on a part",
            str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__,
            "see the log; parts that are made stay, and `mlctl apply` makes the others",
        ) from error
    finally:
        ray.shutdown()


def _connect(asked: RayBatch) -> None:
    import ray

    if asked.address is None:
        cpus = max(os.cpu_count() or 1, int(asked.workers * asked.cpus_per_worker + 0.999))
        ray.init(num_cpus=cpus, include_dashboard=False, object_store_memory=_STORE_BYTES, log_to_driver=False)
        return
    try:
        ray.init(address=asked.address, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise MlctlError.of(
            "batch.no-cluster",
            f"the Ray cluster at {asked.address} does not answer",
            str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__,
            "start it, or leave `address` out for one of this machine",
        ) from None


def _hand(worker: Any, waiting: list[Part], busy: dict[Any, tuple[Any, Part]]) -> None:
    if waiting:
        part = waiting.pop(0)
        busy[worker.make.remote(part.index, part.start, part.stop)] = (worker, part)


def _taken(problem: dict[str, str] | None) -> None:
    if problem is not None:
        raise MlctlError.of(problem["code"], problem["summary"], problem["why"], problem["fix"])


class _Worker:
    """An actor: one process with the model."""

    def __init__(self, job: dict[str, Any], folder: str, project: str) -> None:
        os.chdir(project)
        self._job, self._folder = BatchJob.model_validate(job), Path(folder)
        self._scorer: Any = None

    def make(self, index: int, start: int, stop: int) -> dict[str, str] | None:
        """Write one part; what is wrong, if anything is."""
        from mlctl.runtime.batch.table import TableScorer

        try:
            if self._scorer is None:
                self._scorer = TableScorer(self._job, self._folder, threads=1)
            self._scorer.make(Part(index, start, stop), lambda rows: None)
        except MlctlError as error:
            first = error.diagnostics[0]
            return {"code": first.code, "summary": first.summary, "why": first.why, "fix": first.fix}
        return None
