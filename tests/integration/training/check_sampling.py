"""Checks of what Optuna is asked; run in a process of its own by test_sampling.py."""

from __future__ import annotations

import sys
from typing import Any

from mlctl.runtime.trainer.search.sampling import Sampling, importances
from mlctl.runtime.trainer.search.trials import Trial
from mlctl.types.jobs.search import OneOf, RangeOf, Search

HIDDEN = OneOf(path="model.hidden", choices=[[4], [8, 8]])
SPACE = {
    "lr": RangeOf(path="optimizer.lr", low=1e-4, high=1e-1, log=True),
    "batch": RangeOf(path="batch_size", low=8, high=64, integer=True),
    "hidden": HIDDEN,
}


def search(**changed: Any) -> Search:
    values = {"trials": 30, "sampler": "tpe", "pruner": "median", "metric": "val_loss", "direction": "minimize"}
    return Search.model_validate({**values, "space": SPACE, **changed})


def went(params: dict[str, Any]) -> float:
    return float(abs(params["lr"] - 0.01) + len(params["hidden"]) * 0.001)


def run(count: int, over: list[Trial] | None = None, *, seed: int = 3) -> list[Trial]:
    sampling, over = Sampling(search(), seed, 2), list(over or [])
    while len(over) < count:
        params = sampling.next(over)
        value = went(params)
        over.append(Trial(len(over), params, "done", value, [(1, value * 2), (2, value)]))
    return over


def tree_of_parzen() -> None:
    """Trials follow from the seed and the trials before, also after a kill, and get better."""
    first = run(30)
    assert run(30) == first
    assert run(30, first[:17]) == first
    assert run(1, seed=4)[0].params != first[0].params
    for trial in first:
        lr, batch = trial.params["lr"], trial.params["batch"]
        assert isinstance(lr, float)
        assert 1e-4 <= lr <= 1e-1
        assert isinstance(batch, int)
        assert 8 <= batch <= 64
        assert trial.params["hidden"] in ([4], [8, 8])
    early, late = (sum(trial.value or 0.0 for trial in part) for part in (first[:10], first[-10:]))
    assert late < early
    shares = importances(Sampling(search(), 3, 2).study(first))
    assert max(shares, key=lambda name: shares[name]) == "lr"
    assert importances(Sampling(search(), 3, 2).study(first[:4])) == {}


def grid() -> None:
    """Every combination once, in the order of the choices."""
    space = {"hidden": HIDDEN, "type": OneOf(path="optimizer.type", choices=["sgd", "adamw"])}
    sampling, over = Sampling(search(sampler="grid", pruner="none", trials=4, space=space), 3, 2), list[Trial]()
    for number in range(4):
        over.append(Trial(number, sampling.next(over), "done", 0.5))
    found = [(trial.params["hidden"], trial.params["type"]) for trial in over]
    assert found == [([4], "sgd"), ([4], "adamw"), ([8, 8], "sgd"), ([8, 8], "adamw")]


def median() -> None:
    """A trial that does worse than half of the others is ended, one that does better is not."""
    others = run(12)
    sampling = Sampling(search(), 3, 2)
    assert sampling.hopeless(others, Trial(12, others[0].params, told=[(1, 99.0)]))
    assert not sampling.hopeless(others, Trial(12, others[0].params, told=[(1, 0.0)]))
    assert not sampling.hopeless(others, Trial(12, others[0].params))
    unpruned = Sampling(search(pruner="none"), 3, 2)
    assert not unpruned.hopeless(others, Trial(12, others[0].params, told=[(1, 99.0)]))


def halved(over: list[Trial]) -> list[Trial]:
    """Nine epochs a trial, each ended as soon as Hyperband says so."""
    sampling, over = Sampling(search(sampler="random", pruner="hyperband"), 3, 9), list(over)
    while len(over) < 40:
        trial = Trial(len(over), sampling.next(over), "done")
        for epoch in range(1, 10):
            trial.told.append((epoch, went(trial.params) + 1 / epoch))
            if epoch < 9 and sampling.hopeless(over, trial):
                trial.status = "pruned"
                break
        trial.value = trial.told[-1][1]
        over.append(trial)
    return over


def hyperband() -> None:
    """Many are ended at the rungs, and a kill forgets nothing that later trials are judged by."""
    whole = halved([])
    ended = [len(trial.told) for trial in whole if trial.status == "pruned"]
    assert 8 < len(ended) < 40
    assert set(ended) <= {1, 3}
    assert halved(whole[:23]) == whole


if __name__ == "__main__":
    {"tree_of_parzen": tree_of_parzen, "grid": grid, "median": median, "hyperband": hyperband}[sys.argv[1]]()
