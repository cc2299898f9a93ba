"""When ranks are started anew, and what is said of their end."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlctl.runtime import secrets
from mlctl.runtime.trainer.executors import failures, ranks
from mlctl.runtime.trainer.executors.failures import End, end_of
from mlctl.runtime.trainer.executors.ranks import Ranks
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.executors import SlurmExecutor
from mlctl.types.jobs.recipe import CheckpointParams, Layout, MlpModel, OptimizerParams, PythonModel, Recipe
from mlctl.types.jobs.tracking import TrackingTarget
from mlctl.types.jobs.train import TableData, TableInput, TrainJob
from mlctl.types.secret import Secrets


class Scripted:
    """An executor whose attempts do, at once, what a test says."""

    stop_seconds = 0.0
    needs_plan = False

    def __init__(
        self, folder: Path, acts: list[Callable[[Path], End]], restarts: int, *, outlives: bool = False
    ) -> None:
        self.folder, self.acts, self.restarts, self.outlives = folder, acts, restarts, outlives
        self.started = 0

    def start(self, folder: Path) -> Over:
        self.started += 1
        return Over(self.acts.pop(0)(folder))

    def rejoin(self, folder: Path) -> None:
        return None


class Over:
    """An attempt that has ended."""

    running, word = False, ""

    def __init__(self, end: End) -> None:
        self._end = end

    def ask_to_stop(self) -> None: ...

    def kill(self) -> None: ...

    def end(self) -> End:
        return self._end


def killed(folder: Path) -> End:
    return End(True, "rank 1 was ended by SIGKILL")


def saved(step: int) -> Callable[[Path], End]:
    def act(folder: Path) -> End:
        (folder / "checkpoints").mkdir(exist_ok=True)
        (folder / "checkpoints" / f"step-{step:010d}.json").write_text("{}")
        return killed(folder)

    return act


def ended(status: str) -> Callable[[Path], End]:
    def act(folder: Path) -> End:
        (folder / "ranks-ended.json").write_text(json.dumps({"status": status}))
        return End(False, "the ranks left with exit code 0")

    return act


def raised(folder: Path) -> End:
    note_error(folder, 0, "ValueError", "the flux capacitor is empty")
    return killed(folder)


def note_error(folder: Path, rank: int, kind: str, message: str, time: float = 1.0) -> None:
    (folder / "errors").mkdir(exist_ok=True)
    fact = {"rank": rank, "time": time, "type": kind, "message": message, "at": "model.py:3"}
    (folder / "errors" / f"rank-{rank}.json").write_text(json.dumps(fact))


def note_exits(folder: Path, node: int, *found: tuple[int, int, float]) -> None:
    (folder / "errors").mkdir(exist_ok=True)
    items = [{"rank": rank, "code": code, "time": time} for rank, code, time in found]
    (folder / "errors" / f"node-{node}.json").write_text(json.dumps({"failures": items}))


@pytest.fixture
def job() -> TrainJob:
    table = TableInput(name="labels", files=["l.csv"], format="csv", digest="d", columns={})
    data = TableData(
        labels=table, views=[], view_digests={}, store=None, columns=None, target="y", task=None, split_by="time", test_share=0.2
    )  # fmt: skip
    recipe = Recipe(
        model=MlpModel(hidden=[4]), layout=Layout(strategy="ddp", data=2), precision="fp32", epochs=1, batch_size=8,
        optimizer=OptimizerParams(type="adamw", lr=0.1), checkpoint=CheckpointParams(every="5 steps", keep=2), seed=0,
    )  # fmt: skip
    tracking = TrackingTarget(
        uri="sqlite:///x", experiment="e", lineage="l", address="training.t", object="training.t#1"
    )
    return TrainJob(tracking=tracking, data=data, recipe=recipe)


def followed(job: TrainJob, executor: Scripted, monkeypatch: pytest.MonkeyPatch) -> tuple[Ranks, list[dict[str, Any]]]:
    """The ranks at their end, and the lines on the way to it."""
    monkeypatch.setattr(ranks, "executor_of", lambda _: executor)
    made = ranks.start_ranks(job, executor.folder)
    lines = [line for line in made.lines() if line is not None]
    return made, lines


def test_a_death_is_tried_again_and_an_error_is_not(
    job: TrainJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = Scripted(tmp_path, [killed, raised, ended("done")], 3)
    made, lines = followed(job, executor, monkeypatch)
    assert executor.started == 2
    assert [(line["type"], line["why"], line["left"]) for line in lines] == [
        ("restarted", "rank 1 was ended by SIGKILL", 2)
    ]
    (found,) = made.failure().diagnostics
    assert (found.code, found.summary) == (
        "training.rank-failed",
        "rank 0 failed: ValueError: the flux capacitor is empty",
    )


def test_tries_are_counted_from_the_last_checkpoint(
    job: TrainJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = Scripted(tmp_path, [killed, saved(5), saved(10), killed, ended("done")], 1)
    made, _ = followed(job, executor, monkeypatch)
    assert executor.started == 4
    assert [item.code for item in made.failure().diagnostics] == ["training.rank-died"]


def test_none_is_tried_again_where_none_is_allowed(
    job: TrainJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = Scripted(tmp_path, [killed, ended("done")], 0)
    followed(job, executor, monkeypatch)
    assert executor.started == 1


def test_a_stop_that_nobody_here_asked_for_is_followed_by_another_start(
    job: TrainJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = Scripted(tmp_path, [ended("preempted"), ended("done")], 1)
    _, lines = followed(job, executor, monkeypatch)
    assert [line["why"] for line in lines] == ["they were asked to stop"]
    assert ranks.trained(tmp_path)


def test_a_line_that_a_kill_cut_short_costs_no_other(
    job: TrainJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def torn(folder: Path) -> End:
        (folder / "ranks.jsonl").write_bytes(b'{"type": "saved", "step": 5}\n{"type": "st')
        return killed(folder)

    def after(folder: Path) -> End:
        with open(folder / "ranks.jsonl", "ab") as stream:
            stream.write(b'{"type": "resumed", "step": 5}\n')
        return ended("done")(folder)

    _, lines = followed(job, Scripted(tmp_path, [torn, after], 1), monkeypatch)
    assert [line["type"] for line in lines] == ["saved", "restarted", "resumed"]


def test_ranks_of_another_recipe_are_not_taken_over(
    job: TrainJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    class Left(Over):
        running = False

        def ask_to_stop(self) -> None:
            asked.append("stop")

    executor = Scripted(tmp_path, [ended("done")], 0, outlives=True)
    executor.rejoin = lambda folder: Left(End(True, ""))  # type: ignore[method-assign,return-value,assignment]
    monkeypatch.setattr(ranks, "executor_of", lambda _: executor)
    ranks.start_ranks(job, tmp_path)
    assert executor.started == 1
    assert ranks.find(job, tmp_path) is not None
    assert asked == []
    other = job.model_copy(update={"recipe": job.recipe.model_copy(update={"seed": 1})})
    assert ranks.find(other, tmp_path) is None
    assert asked == ["stop"]
    assert not (tmp_path / "placed.json").exists()


def test_ranks_of_another_layout_are_stopped_by_the_executor_that_started_them(
    job: TrainJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spread = job.model_copy(update={"executor": SlurmExecutor(nodes=2)})
    asked = []

    def executor_of(made: TrainJob) -> Scripted:
        asked.append((made.executor, made.recipe.layout.processes))
        return Scripted(tmp_path, [ended("done")], 0, outlives=True)

    monkeypatch.setattr(ranks, "executor_of", executor_of)
    ranks.start_ranks(spread, tmp_path)
    alone = job.recipe.model_copy(update={"layout": Layout(strategy="single")})
    ranks.stop_left(job.model_copy(update={"recipe": alone}), tmp_path)
    assert asked[-1] == (SlurmExecutor(nodes=2), 2)  # one process could not be shared by two nodes


def test_the_note_of_where_ranks_are_holds_no_secret(
    job: TrainJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "correct-horse-battery"
    monkeypatch.setattr(secrets, "known", lambda: Secrets({"var.token": secret}))
    model = PythonModel(file="m.py", function="build", params={"token": secret}, closure=["m.py"], code_digest="d")
    job = job.model_copy(update={"recipe": job.recipe.model_copy(update={"model": model})})
    executor = Scripted(tmp_path, [ended("done")], 0, outlives=True)
    executor.rejoin = lambda folder: Over(End(True, ""))  # type: ignore[method-assign,return-value,assignment]
    monkeypatch.setattr(ranks, "executor_of", lambda _: executor)
    ranks.start_ranks(job, tmp_path)
    assert secret not in (tmp_path / "placed.json").read_text()
    assert ranks.find(job, tmp_path) is not None  # and it is known as the same training


def test_a_start_that_failed_halfway_is_looked_for_the_next_time(
    job: TrainJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(folder: Path) -> End:
        raise MlctlError.of("executor.slurm-refused", "Socket timed out")

    executor = Scripted(tmp_path, [killed, refused], 1, outlives=True)
    monkeypatch.setattr(ranks, "executor_of", lambda _: executor)
    made = ranks.start_ranks(job, tmp_path)
    with pytest.raises(MlctlError, match="Socket timed out"):
        list(made.lines())
    assert not made.running
    made.wait()
    assert (tmp_path / "placed.json").exists()  # the job may be in the queue all the same


def test_the_first_to_die_is_named(tmp_path: Path) -> None:
    note_exits(tmp_path, 0, (0, -15, 2.0), (1, -9, 1.0))
    note_error(tmp_path, 0, "RuntimeError", "Connection closed by peer [127.0.0.1]:29")
    assert failures.own_error(tmp_path) is None
    assert end_of(tmp_path, {0: 1}) == End(True, "rank 1 was ended by SIGKILL")


def test_a_host_that_is_gone_counts_more_than_those_who_miss_it(tmp_path: Path) -> None:
    note_error(tmp_path, 0, "DistBackendError", "Connection reset by peer")
    note_exits(tmp_path, 0, (0, 1, 1.0))
    assert end_of(tmp_path, {0: 1, 1: 255}, several=True) == End(True, "the agent of host 2 left with exit code 255")
    assert end_of(tmp_path, {0: 1, 1: -9}, several=True) == End(True, "the agent of host 2 was ended by SIGKILL")


def test_code_that_ends_its_process_is_not_a_death(tmp_path: Path) -> None:
    (tmp_path / "errors").mkdir()
    (tmp_path / "errors" / "rank-0.began").write_text("1")
    assert end_of(tmp_path, {0: 0}) == End(False, "rank 0 left with exit code 0")
    note_exits(tmp_path, 0, (0, 13, 1.0))
    assert end_of(tmp_path, {0: 1}) == End(False, "rank 0 left with exit code 13")
    (found,) = failures.explained(tmp_path, end_of(tmp_path, {0: 1})).diagnostics
    assert found.code == "training.rank-left"


def test_ranks_that_the_budget_ended_are_not_started_anew(
    job: TrainJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spent(folder: Path) -> End:
        ended("preempted")(folder)
        return End(True, "it was asked to stop", limit=7200.0)

    executor = Scripted(tmp_path, [spent, ended("done")], 3)
    made, lines = followed(job, executor, monkeypatch)
    assert (executor.started, lines) == (1, [])
    (found,) = made.failure().diagnostics
    assert (found.code, found.summary) == ("budget.reached", "it was ended after 2.0 h: the budget allows no more")


def test_an_error_of_the_code_is_told_also_at_the_end_of_a_budget(
    job: TrainJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failed(folder: Path) -> End:
        return replace(raised(folder), limit=7200.0)

    made, _ = followed(job, Scripted(tmp_path, [failed], 3), monkeypatch)
    assert [item.code for item in made.failure().diagnostics] == ["training.rank-failed"]
