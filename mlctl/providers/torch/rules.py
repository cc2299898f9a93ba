"""What is wrong with a training as it is written: fields that contradict each other, or that would have no effect."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlctl.provider import Context
from mlctl.providers.torch.base import check_base
from mlctl.providers.torch.entrypoint import check_entrypoint
from mlctl.providers.torch.executor_rules import check_executor
from mlctl.providers.torch.problem import problem
from mlctl.providers.torch.rules_engine import (
    check_distill,
    check_engine,
    check_memory,
    check_optimizer,
    check_strategy,
)
from mlctl.providers.torch.spec import CausalLm, Corpus, Data, Python, TrainingSpec
from mlctl.providers.torch.strategies import DataParallel, PipelineParallel, ThreeD
from mlctl.types.diagnostic import Diagnostic

_TEXT = ("messages", "prompt", "completion", "text")
_OF_TEXT = (*_TEXT, "max_length", "packing", "loss_on", "split")


def check_training(spec: TrainingSpec, ctx: Context) -> Sequence[Diagnostic]:
    """Everything that can be told without running anything."""
    found = [
        *(_check_table(spec.data) if isinstance(spec.data, Data) else _check_corpus(spec, spec.data)),
        *_check_data_and_model(spec),
        *check_engine(spec),
        *check_strategy(spec),
        *_check_batch(spec),
        *check_optimizer(spec),
        *check_memory(spec),
        *check_distill(spec),
        *_check_ends(spec),
        *check_executor(spec, ctx),
    ]
    if isinstance(spec.model, Python):
        found += check_entrypoint(spec.model, ctx)
    if isinstance(spec.model, CausalLm):
        found += check_base(spec, spec.model, ctx)
    return found


def _check_table(data: Data) -> Iterator[Diagnostic]:
    if data.service is not None and data.features:
        yield problem(
            "features-unused",
            "`features` has no effect beside `service`",
            "the service says which features the model reads, and in which order",
            "remove `features`, or add its views to the service",
            *("data", "features"),
        )
    if data.columns is not None and (data.features or data.service is not None):
        given = "service" if data.service is not None else "features"
        yield problem(
            "columns-unused",
            f"`columns` has no effect beside `{given}`",
            "the model reads the features; the labels only give key, time and target",
            f"remove `columns`, or remove `{given}`",
            *("data", "columns"),
        )
    if data.columns is not None and data.target in data.columns:
        yield problem(
            "target-leak",
            f"the target `{data.target}` is among its own features",
            "the model would only learn to copy it",
            "take it out of `columns`",
            *("data", "columns"),
        )
    for name, many in (("columns", data.columns or []), ("features", data.features)):
        for item in sorted({item for item in many if many.count(item) > 1}):
            yield problem("duplicate", f"`{item}` stands twice in `{name}`", "", "name it once", "data", name)


def _check_corpus(spec: TrainingSpec, data: Corpus) -> Iterator[Diagnostic]:
    if not isinstance(spec.model, CausalLm):
        for name in sorted(data.model_fields_set & set(_OF_TEXT)):
            yield problem(
                "text-field-unused",
                f"`{name}` has no effect for a model of type `{spec.model.type}`",
                "it says how text becomes tokens, for a language model",
                f"remove `{name}`",
                *("data", name),
            )
        return
    given = [name for name in _TEXT if getattr(data, name) is not None]
    if given not in (["messages"], ["prompt", "completion"], ["text"]):
        yield problem(
            "text-columns",
            f"`data` names {', '.join(f'`{name}`' for name in given) or 'no column of text'}",
            "a language model learns from one of three: conversations, prompts with completions, or plain text",
            "write `messages: COLUMN`, or `prompt: COLUMN` and `completion: COLUMN`, or `text: COLUMN`",
            "data",
        )
    if data.loss_on == "completions" and data.text is not None:
        yield problem(
            "no-completions",
            "plain text has no completions for the loss to be on",
            "it is not known which part of a text answers another",
            "remove `loss_on`, or give `messages`, or `prompt` and `completion`",
            *("data", "loss_on"),
        )


def _check_data_and_model(spec: TrainingSpec) -> Iterator[Diagnostic]:
    model, data = spec.model, spec.data
    own = isinstance(model, Python) and model.dataset is not None
    wanted = Corpus if isinstance(model, CausalLm) or own else Data
    if not isinstance(data, wanted):
        fix = (
            "write `data: {dataset: NAME, ...}`"
            if wanted is Corpus
            else "write `data: {labels: NAME, target: COLUMN, ...}`"
        )
        if isinstance(model, Python) and not own:
            fix += ", or name the function that reads the files by `model.dataset`"
        what = "rows with a target" if wanted is Data else "a dataset as it is"
        yield problem("data-and-model", f"a model of type `{model.type}` learns from {what}", "", fix, "data")
    if spec.task is not None and not isinstance(data, Data):
        yield problem(
            "task-unused", "`task` has no effect without a target", "it says what the target is", "remove it", "task"
        )
    if own and isinstance(model, Python) and model.loss is None:
        yield problem(
            "loss-missing",
            "a model with its own dataset needs its own loss",
            "without a target of a table nobody can say what it is to foretell",
            "add `loss: src/FILE.py:FUNCTION`, called with (outputs, targets)",
            "model",
        )


def _check_batch(spec: TrainingSpec) -> Iterator[Diagnostic]:
    strategy = spec.strategy
    if isinstance(strategy, DataParallel):
        shares = strategy.processes
    elif isinstance(strategy, ThreeD):
        shares = strategy.data
    else:
        shares = 1
    if spec.batch_size < shares:
        yield problem(
            "batch-too-small",
            f"a batch of {spec.batch_size} rows cannot be shared by {shares} processes",
            "`batch_size` counts the rows of all processes together",
            f"set `batch_size` to at least {shares}",
            "batch_size",
        )
        return
    own = spec.batch_size // shares
    micro = spec.micro_batch_size
    if micro is not None and micro > own:
        yield problem(
            "micro-batch-too-large",
            f"`micro_batch_size` {micro} is more than the {own} rows of a batch that a process has",
            "it says in how many parts a process goes through its rows, to save memory",
            f"set it to {own} or less, or remove it",
            "micro_batch_size",
        )
    if isinstance(strategy, PipelineParallel | ThreeD):
        if micro is not None and getattr(strategy, "pipeline", 2) > 1:
            yield problem(
                "micro-batch-unused",
                "`micro_batch_size` has no effect in a pipeline",
                "there `strategy.microbatches` says in how many parts a batch is cut",
                "remove it, and set `strategy.microbatches`",
                "micro_batch_size",
            )
        if strategy.microbatches > own and getattr(strategy, "pipeline", 2) > 1:
            yield problem(
                "microbatches",
                f"{own} rows cannot be cut into {strategy.microbatches} micro-batches",
                "each needs a row at least",
                f"set `microbatches` to {own} or less, or a larger `batch_size`",
                *("strategy", "microbatches"),
            )
    if isinstance(strategy, ThreeD):
        if strategy.data * strategy.tensor * strategy.pipeline == 1:
            yield problem(
                "strategy", "`3d` over one process is `single`", "", "use `strategy: single`", "strategy", "type"
            )
        if strategy.pipeline == 1 and "microbatches" in strategy.model_fields_set:
            yield problem(
                "microbatches",
                "`microbatches` has no effect without a pipeline",
                "`pipeline` is 1",
                "remove it",
                *("strategy", "microbatches"),
            )


def _check_ends(spec: TrainingSpec) -> Iterator[Diagnostic]:
    if spec.early_stopping is not None and spec.early_stopping.patience >= spec.epochs:
        yield problem(
            "early-stopping-unused",
            f"{spec.epochs} epochs are over before a patience of {spec.early_stopping.patience} is",
            "the validation loss is looked at after each epoch",
            "set a lower `patience`, or more `epochs`",
            *("early_stopping", "patience"),
        )
    if spec.checkpoint.s3 is not None and spec.checkpoint.storage is None:
        yield problem(
            "s3-unused",
            "`s3` has no effect without `storage`",
            "it says where the bucket of `storage` is",
            "add `storage: s3://bucket/prefix`, or remove `s3`",
            *("checkpoint", "s3"),
        )
