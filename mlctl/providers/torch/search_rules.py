"""What is wrong with a search as it is written, and what the worker is told of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import ValidationError

from mlctl.provider import Context
from mlctl.providers.torch import search as asked
from mlctl.providers.torch.rules import check_training
from mlctl.providers.torch.spec import Galore, LowRank, Mlp, Python, TrainingSpec
from mlctl.types.diagnostic import Diagnostic, did_you_mean
from mlctl.types.jobs import search as job

_PLAIN = ("epochs", "max_steps", "batch_size", "precision")
_OPTIMIZER = ("type", "lr", "weight_decay", "momentum", "schedule", "max_grad_norm")
_DISTILL = ("alpha", "temperature", "beta")
_PARAMS = "model.params."


def check_search(spec: TrainingSpec, ctx: Context) -> Sequence[Diagnostic]:
    """Everything that can be told without a trial: nothing where the training has no `search`."""
    search = spec.search
    if search is None:
        return ()
    known = fields(spec)
    return [
        *_check_metric(spec, search),
        *_check_trials(search),
        *_check_pruner(spec, search),
        *(problem for name in search.space for problem in _check_field(spec, search, name, known, ctx)),
        *_check_alpha(spec, search),
    ]


def search_job(spec: TrainingSpec) -> job.Search | None:
    """What the worker is told."""
    search = spec.search
    if search is None:
        return None
    return job.Search(
        trials=search.trials or search.combinations,
        sampler=search.sampler,
        pruner=search.pruning,
        metric=search.metric,
        direction=search.wanted,
        space={name: _dimension(spec, name, item) for name, item in search.space.items()},
    )


def fields(spec: TrainingSpec) -> list[str]:
    """The fields of a training that a search may try values of, `model.params.` being the beginning of any."""
    found = [*_PLAIN, *(f"optimizer.{name}" for name in _OPTIMIZER)]
    if isinstance(spec.model, Mlp):
        found += ["model.hidden", "model.dropout"]
    if isinstance(spec.model, Python):
        found += [f"{_PARAMS}{name}" for name in spec.model.params] or [_PARAMS]
    if isinstance(spec.method, LowRank):
        found += ["method.r", "method.alpha", "method.dropout"]
    if isinstance(spec.method, Galore):
        found += ["method.rank", "method.update_every", "method.scale"]
    if spec.distill is not None:
        found += [f"distill.{name}" for name in _DISTILL]
    return found


def _dimension(spec: TrainingSpec, name: str, item: asked.Range | asked.Choices) -> job.RangeOf | job.OneOf:
    path = name.replace("distill.", "distillation.", 1) if name.startswith("distill.") else name
    if isinstance(item, asked.Choices):
        return job.OneOf(path=path, choices=item.choices)
    whole = isinstance(item.low, int) and isinstance(item.high, int) and type(_at(spec, name, item.low)) is int
    return job.RangeOf(path=path, low=item.low, high=item.high, log=item.log, integer=whole)


def _check_metric(spec: TrainingSpec, search: asked.Search) -> Iterator[Diagnostic]:
    known = (*job.LOWER_IS_BETTER, *job.HIGHER_IS_BETTER)
    own = isinstance(spec.model, Python) and spec.model.metrics is not None
    if search.metric not in known and not own:
        yield _problem(
            "metric",
            f"`{search.metric}` is not a metric that this training computes",
            "the trials are compared by it",
            did_you_mean(search.metric, known),
            "metric",
        )
    elif search.metric not in known and search.direction is None:
        yield _problem(
            "direction",
            f"whether more of `{search.metric}` is better is not known",
            "it is a metric of the project's own",
            "add `direction: minimize` or `direction: maximize`",
            "direction",
        )


def _check_trials(search: asked.Search) -> Iterator[Diagnostic]:
    ranges = [name for name, item in search.space.items() if isinstance(item, asked.Range)]
    if search.sampler != "grid":
        if search.trials is None:
            yield _problem(
                "trials",
                "`trials` is missing",
                f"a `{search.sampler}` search has no end of its own",
                "add `trials: 20`",
            )
        return
    for name in ranges:
        yield _problem(
            "grid",
            f"`{name}` is a range, which a grid cannot go through",
            "a grid tries every combination of choices",
            "give `choices`, or use `sampler: tpe`",
            "space",
            name,
        )
    if not ranges and search.trials is not None and search.trials > search.combinations:
        yield _problem(
            "trials",
            f"there are {search.combinations} combinations, fewer than {search.trials} trials",
            "a grid tries each once",
            "leave `trials` out",
            "trials",
        )


def _check_pruner(spec: TrainingSpec, search: asked.Search) -> Iterator[Diagnostic]:
    if search.pruner in (None, "none"):
        return
    if search.metric not in job.EPOCH_METRICS:
        yield _problem(
            "pruner",
            f"`pruner` has no effect with `metric: {search.metric}`",
            "a trial is ended early by what it tells after each epoch, and that is its losses",
            "leave `pruner` out, or compare by `val_loss`",
            "pruner",
        )
    elif spec.epochs == 1 and "epochs" not in search.space:
        yield _problem(
            "pruner",
            "`pruner` has no effect with `epochs: 1`",
            "a trial is ended early by what it tells after each epoch",
            "leave `pruner` out, or train for more epochs",
            "pruner",
        )


def _check_alpha(spec: TrainingSpec, search: asked.Search) -> Iterator[Diagnostic]:
    if "method.r" in search.space and "method.alpha" not in search.space and getattr(spec.method, "alpha", 0) is None:
        yield _problem(
            "alpha",
            "`method.r` is searched for, and `method.alpha` is not said",
            "without it alpha is twice the r of the block, in every trial",
            "give `method.alpha`, or search for it too",
            "space",
            "method.r",
        )


def _check_field(
    spec: TrainingSpec, search: asked.Search, name: str, known: Sequence[str], ctx: Context
) -> Iterator[Diagnostic]:
    path, item = ("space", name), search.space[name]
    if name not in known and not (name.startswith(_PARAMS) and _PARAMS in known):
        yield _problem(
            "field",
            f"`{name}` is no field that a search can try values of",
            "it is not a hyperparameter of this training, or changes nothing of what is learnt",
            did_you_mean(name, known),
            *path,
        )
        return
    if isinstance(item, asked.Range) and not (item.low < item.high and (item.low > 0 or not item.log)):
        why = "the logarithm of 0 does not exist" if item.low < item.high else "`low` has to be less than `high`"
        yield _problem("range", f"the range of `{name}` holds nothing", why, "widen it", *path)
        return
    values = item.choices if isinstance(item, asked.Choices) else [item.low, item.high]
    before = {(problem.code, problem.summary) for problem in check_training(spec, ctx)}
    for value in values:
        try:
            tried = _with(spec, name, value)
        except ValidationError as error:
            first = error.errors()[0]["msg"].removeprefix("Value error, ")
            yield _problem("value", f"`{name}` cannot be {value!r}", first, "take it out of the space", *path)
            continue
        for problem in check_training(tried, ctx):
            if (problem.code, problem.summary) not in before:
                summary = f"with `{name}: {value}`, {problem.summary}"
                yield _problem("value", summary, problem.why, "take it out of the space", *path)


def _with(spec: TrainingSpec, name: str, value: Any) -> TrainingSpec:
    """The training as one trial has it. Raises ValidationError."""
    values = spec.model_dump(mode="json", exclude={"search"}, exclude_unset=True)
    *blocks, last = name.split(".")
    around = values
    for block in blocks:
        around = around.setdefault(block, {})
    around[last] = value
    return TrainingSpec.model_validate(values)


def _at(spec: TrainingSpec, name: str, value: Any) -> Any:
    """A value of a field as the spec takes it."""
    found: Any = _with(spec, name, value)
    for part in name.split("."):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    return found


def _problem(code: str, summary: str, why: str, fix: str, *path: str) -> Diagnostic:
    return Diagnostic(f"search.{code}", summary, why, fix, path=("search", *path))
