"""What a search does with trials that are over: ranks that a kill left at work, and values that are no number."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlctl.types.job import JobResult, JobStatus
from mlctl.types.jobs.search import RangeOf, Search

pytestmark = [
    pytest.mark.tools,
    pytest.mark.filterwarnings("ignore"),  # of libraries, as they are imported
]


@pytest.fixture
def searching(tmp_path: Path) -> Any:
    from mlctl.runtime.trainer.search import run
    from mlctl.runtime.trainer.search.trials import Trials

    made: Any = object.__new__(run._Searching)
    made.search = Search(
        trials=3, sampler="random", pruner="median", metric="roc_auc", direction="maximize",
        space={"lr": RangeOf(path="optimizer.lr", low=0.1, high=1.0)},
    )  # fmt: skip
    made.trials, made.run_id = Trials(tmp_path), "run"
    made.stop, made.report = SimpleNamespace(set=False), SimpleNamespace(progress=lambda *_, **__: None)
    made.client = SimpleNamespace(get_run=lambda _: None)
    made._job_of = lambda trial: f"job of {trial.number}"
    return made


def test_ranks_of_a_trial_that_was_over_when_a_kill_came_are_ended(
    searching: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlctl.runtime.trainer.search import run

    stopped: list[tuple[Any, Path]] = []
    monkeypatch.setattr(run, "stop_left", lambda job, folder: stopped.append((job, folder)))
    monkeypatch.setattr(run.tracking, "runs_below", lambda *_: [])
    pruned, cut_off = searching.trials.begin({"lr": 0.2}), searching.trials.begin({"lr": 0.3})
    pruned.status = "pruned"
    for trial in (pruned, cut_off):
        (searching.trials.folder(trial) / "placed.json").write_text("{}")
    searching._settle()
    assert stopped == [("job of 0", searching.trials.folder(pruned))]  # the other one is gone on with


def test_a_trial_whose_metric_is_no_number_is_not_compared(searching: Any) -> None:
    from mlctl.runtime.trainer.search import run

    outputs = {"metrics": {"roc_auc": math.nan}}
    searching.train = lambda *_: JobResult(JobStatus.DONE, outputs)
    trial = searching.trials.begin({"lr": 0.2})
    assert searching._try(trial) is None
    assert (trial.status, trial.value, trial.error) == ("failed", None, "its roc_auc is nan")
    assert searching.trials.best("maximize") is None
    sampling = run.sampling.Sampling(searching.search, 0, 2)
    assert sampling.next(searching.trials.over)["lr"] > 0  # the sampler can do with it
