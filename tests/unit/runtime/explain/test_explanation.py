from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

from mlctl.runtime.explain.explanation import LOGIT, Explained, failed, line
from mlctl.runtime.explain.worker import Explainer, Sampler
from mlctl.types.jobs.observe import Explaining, Observation
from mlctl.types.jobs.server import Batching, PredictionLog, ServedFeatures, ServedModel, ServerJob

ROW = {
    "request_id": "r",
    "trace_id": "t",
    "model": "shops",
    "version": "1",
    "score": 0.7,
    "features": {"a": 1.0, "b": None},
}


def test_parts_that_add_up_are_kept_with_what_is_left_over() -> None:
    found = line(ROW, Explained(0.4, {"a": 0.2, "b": 0.101}), 0.7, 0.01)
    assert (found["values"], found["refused"]) == ({"a": 0.2, "b": 0.101}, None)
    assert found["residual"] == pytest.approx(0.001)


@pytest.mark.parametrize("parts", [{"a": 0.2, "b": 0.2}, {"a": math.nan, "b": 0.1}, {"a": math.inf, "b": 0.1}])
def test_parts_that_do_not_add_up_are_refused_and_not_kept(parts: dict[str, float]) -> None:
    found = line(ROW, Explained(0.4, parts), 0.7, 0.01)
    assert found["values"] is None
    assert "add up" in found["refused"]


def test_a_tiny_score_is_explained_as_well_as_where_it_started_allows() -> None:
    """Else rare events, whose scores are next to nothing, are explained only where they are likely."""
    assert line(ROW, Explained(0.003, {"a": -0.00299}), 0.00002, 0.01)["refused"] is None
    assert line(ROW, Explained(0.003, {"a": -0.0029}), 0.00002, 0.01)["refused"] is not None
    assert line(ROW, Explained(0.003, {"a": math.inf}), 0.00002, 0.01)["refused"] is not None


def test_log_odds_are_held_against_the_probability() -> None:
    found = line(ROW, Explained(0.0, {"a": math.log(7 / 3), "b": 0.0}, LOGIT), 0.7, 1e-9)
    assert (found["refused"], found["link"]) == (None, "logit")
    assert line(ROW, Explained(-800.0, {"a": 0.0}, LOGIT), 0.7, 0.01)["values"] is None


def test_why_there_is_none_is_kept() -> None:
    assert failed(ROW, "the model failed")["refused"] == "the model failed"


def test_at_most_so_many_a_minute_go_through_whatever_comes() -> None:
    sampler = Sampler(60, 0.0, random.Random(1))
    rows = [{"number": number} for number in range(1000)]
    taken = [len(sampler.take(rows, float(second))) for second in range(1, 121)]
    assert sum(taken) <= 121
    assert min(taken) >= 1
    quiet = Sampler(60, 0.0, random.Random(1))
    assert len(quiet.take(rows, 3600.0)) == 10  # an hour of silence is no leave for an hour's worth


def test_which_go_through_is_chance() -> None:
    first = [
        Sampler(60, 0.0, random.Random(seed)).take([{"n": n} for n in range(20)], 0.5)[0]["n"] for seed in range(50)
    ]
    assert len(set(first)) > 10


def job(folder: Path) -> ServerJob:
    explain = Explaining(per_minute=6, method="auto", tolerance=0.01, folder=str(folder / "explanations"))
    return ServerJob(
        deployment="api", host="127.0.0.1", port=1, model=ServedModel(name="shops", version="1", folder="m"),
        serving=ServedFeatures(columns=["a", "b"]), batching=Batching(max_size=1, max_wait_seconds=0), timeout_seconds=1.0,
        log=PredictionLog(folder=str(folder), features=True), observe=Observation(explain=explain),
    )  # fmt: skip


def test_the_background_is_of_the_first_rows_and_outlives_a_restart(tmp_path: Path) -> None:
    told = job(tmp_path)
    assert told.observe.explain is not None
    first = Explainer(told, told.observe.explain, tmp_path)
    assert not first.learn([ROW] * 5)
    assert first.learn([ROW] * 5)
    second = Explainer(told, told.observe.explain, tmp_path)
    assert second.learn([])
    assert (tmp_path / "background.json").stat().st_mode & 0o077 == 0


def test_only_predictions_of_this_version_with_their_features_are_explained(tmp_path: Path) -> None:
    told = job(tmp_path)
    assert told.observe.explain is not None
    explainer = Explainer(told, told.observe.explain, tmp_path)
    assert explainer.eligible(ROW)
    for changed in ({"version": "2"}, {"model": "x"}, {"features": None}, {"score": None}, {"features": {"a": 1.0}}):
        assert not explainer.eligible({**ROW, **changed})


def test_a_server_that_is_not_observed_is_told_nothing_of_it(tmp_path: Path) -> None:
    told = job(tmp_path).model_copy(update={"observe": Observation()})
    assert "observe" not in told.model_dump(mode="json")
    assert ServerJob.model_validate(told.model_dump(mode="json")) == told
