"""What a trial is to try, and whether it is worth going on with: Optuna, asked in such a way that a kill changes no answer.

Optuna's study is made anew from the trials on disk for every question, with a sampler whose seed is the search's and the number of
the trial. So each trial follows from the seed and the trials before it alone, whenever and how often a search was cut off.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from mlctl.runtime.trainer.order import mix
from mlctl.runtime.trainer.search.trials import Trial
from mlctl.types.jobs.search import OneOf, Search
from mlctl.types.value import Json

optuna.logging.set_verbosity(optuna.logging.WARNING)
_STATES = {"done": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
_RUNG = "completed_rung_"  # what Hyperband notes of a trial, by which it judges later ones
_FEW = 5  # trials, from which nothing can be told
_STUDY = "search"  # Hyperband draws a trial's bracket from the name of the study


class Sampling:
    """The answers for one search."""

    def __init__(self, search: Search, seed: int, epochs: int) -> None:
        self._search, self._seed, self._epochs = search, seed, epochs
        self._space = {name: _distribution(item) for name, item in sorted(search.space.items())}

    def next(self, over: Sequence[Trial]) -> dict[str, Json]:
        """The hyperparameters of the trial after these."""
        if self._search.sampler == "grid":
            names = list(self._search.space)
            grid = itertools.product(*(_choices(self._search, name) for name in names))
            return dict(zip(names, next(itertools.islice(grid, len(over), None)), strict=True))
        asked = self.study(over).ask(self._space)
        return {name: self._value(name, asked.params[name]) for name in self._search.space}

    def hopeless(self, over: Sequence[Trial], trial: Trial) -> bool:
        """Whether a trial does so badly after its last epoch that it is not worth going on. Notes what later ones are judged by."""
        if self._search.pruner == "none" or not trial.told:
            return False
        study = self.study(over)
        study.enqueue_trial(self._encoded(trial))
        asked = study.ask(self._space)
        pruned = False
        for epoch, value in trial.told:
            asked.report(value, epoch)
            pruned = asked.should_prune()
        kept = study.trials[-1].system_attrs
        trial.rungs = {name: value for name, value in kept.items() if name.startswith(_RUNG)}
        return pruned

    def study(self, over: Sequence[Trial]) -> optuna.Study:
        """Optuna's view of trials that are over."""
        study = optuna.create_study(
            study_name=_STUDY, direction=self._search.direction, sampler=self._sampler(len(over)), pruner=self._pruner()
        )
        for trial in over:
            study.add_trial(
                create_trial(
                    state=_STATES[trial.status],
                    value=trial.value if trial.status != "failed" else None,
                    params=self._encoded(trial),
                    distributions=self._space,
                    intermediate_values=dict(trial.told),
                    system_attrs=trial.rungs,
                )
            )
        return study

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        seed = mix(self._seed, number) % 2**32
        if self._search.sampler == "tpe":
            return optuna.samplers.TPESampler(seed=seed)
        return optuna.samplers.RandomSampler(seed=seed)

    def _pruner(self) -> optuna.pruners.BasePruner:
        if self._search.pruner == "median":
            return optuna.pruners.MedianPruner()
        if self._search.pruner == "hyperband":
            return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=max(self._epochs, 2))
        return optuna.pruners.NopPruner()

    def _encoded(self, trial: Trial) -> dict[str, Any]:
        """As Optuna keeps them: it takes no list for a choice."""
        return {
            name: json.dumps(value) if isinstance(self._search.space[name], OneOf) else value
            for name, value in trial.params.items()
        }

    def _value(self, name: str, value: Any) -> Json:
        return json.loads(value) if isinstance(self._search.space[name], OneOf) else value


def importances(study: optuna.Study) -> Mapping[str, float]:
    """How much each field decided, from 0 to 1; empty where that cannot be told, as of few trials that all came to the same."""
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    if sum(trial.state is TrialState.COMPLETE for trial in study.trials) < _FEW:
        return {}
    try:
        return dict(get_param_importances(study, evaluator=PedAnovaImportanceEvaluator()))
    except (RuntimeError, ValueError):
        return {}


def _distribution(item: Any) -> BaseDistribution:
    if isinstance(item, OneOf):
        return CategoricalDistribution([json.dumps(choice) for choice in item.choices])
    if item.integer:
        return IntDistribution(int(item.low), int(item.high), log=item.log)
    return FloatDistribution(item.low, item.high, log=item.log)


def _choices(search: Search, name: str) -> list[Json]:
    item = search.space[name]
    if not isinstance(item, OneOf):
        raise TypeError(f"a grid has no ranges: {name}")
    return item.choices
