"""From the spec of a training to the parameters of the worker program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlctl.provider import Context, Desired
from mlctl.providers.torch import spec as asked
from mlctl.providers.torch.base import folder_digest
from mlctl.providers.torch.entrypoint import closure
from mlctl.providers.torch.executors import executor_params
from mlctl.providers.torch.layout import engine_of, layout_of
from mlctl.providers.torch.search_rules import search_job
from mlctl.providers.torch.spec import TrainingSpec
from mlctl.types.address import ObjectKey
from mlctl.types.jobs import recipe
from mlctl.types.jobs.features import ViewSource
from mlctl.types.jobs.recipe import Recipe
from mlctl.types.jobs.tracking import TrackingTarget, tracking_settings
from mlctl.types.jobs.train import CustomData, TableData, TableInput, TextData, TrainJob


def train_job(desired: Desired, ctx: Context) -> TrainJob:
    """The parameters of the worker program. Raises MlctlError for inputs that do not go together."""
    spec: TrainingSpec = desired.spec
    return TrainJob(
        tracking=tracking_target(desired.key, desired.values, ctx),
        data=_data(desired),
        recipe=_recipe(spec, ctx),
        executor=executor_params(spec.executor),
        search=search_job(spec),
    )


def _data(desired: Desired) -> TableData | TextData | CustomData:
    data = desired.spec.data
    if isinstance(data, asked.Data):
        return _table(desired, data)
    table = TableInput.of(data.dataset, desired.input("datasets", data.dataset).outputs)
    if isinstance(desired.spec.model, asked.Python):
        return CustomData(dataset=table)
    answers = data.messages is not None or data.completion is not None
    return TextData(
        dataset=table,
        messages=data.messages,
        prompt=data.prompt,
        completion=data.completion,
        text=data.text,
        max_length=data.max_length,
        packing=data.packing,
        loss_on=data.loss_on or ("completions" if answers else "all"),
        split_by=data.split.by,
        test_share=data.split.test,
    )


def _table(desired: Desired, data: asked.Data) -> TableData:
    """Which views are joined and which transformations applied, and the columns the model reads of it all, in order."""
    if data.service is not None:
        service = desired.input("feature_services", data.service).outputs
        features = {
            **{name: service[name] for name in ("views", "view_digests", "transformations", "store")},
            "columns": service["serving"]["columns"],
        }
    else:
        views = [desired.input("feature_views", name).outputs for name in data.features]
        features = {
            "views": [ViewSource.from_outputs(view) for view in views],
            "view_digests": {view["view"]: view["digest"] for view in views},
            "store": views[0]["store"] if views else None,
            "columns": data.columns,
        }
    return TableData(
        labels=TableInput.of(data.labels, desired.input("datasets", data.labels).outputs),
        **features,
        target=data.target,
        task=desired.spec.task,
        split_by=data.split.by,
        test_share=data.split.test,
    )


def _recipe(spec: TrainingSpec, ctx: Context) -> Recipe:
    return Recipe(
        model=_model(spec.model, ctx),
        method=_method(spec.method),
        engine=engine_of(spec),
        layout=layout_of(spec, ctx),
        precision=spec.precision,
        epochs=spec.epochs,
        max_steps=spec.max_steps,
        batch_size=spec.batch_size,
        micro_batch_size=spec.micro_batch_size,
        optimizer=_optimizer(spec.optimizer),
        memory=recipe.MemoryParams(**spec.memory.model_dump()),
        early_stopping=None
        if spec.early_stopping is None
        else recipe.EarlyStopping(**spec.early_stopping.model_dump()),
        checkpoint=_checkpoint(spec.checkpoint),
        distillation=None if spec.distill is None else _distillation(spec.distill, ctx),
        deterministic=spec.deterministic,
        seed=spec.seed,
    )


def _model(
    model: asked.Mlp | asked.Python | asked.CausalLm, ctx: Context
) -> recipe.MlpModel | recipe.PythonModel | recipe.CausalLmModel:
    if isinstance(model, asked.Mlp):
        return recipe.MlpModel(hidden=model.hidden, dropout=model.dropout)
    if isinstance(model, asked.CausalLm):
        return recipe.CausalLmModel(
            base=model.base,
            digest=None if model.revision is not None else folder_digest(ctx.path(model.base), ctx),
            revision=model.revision,
            adapters=[recipe.Adapter(path=item.path, weight=item.weight) for item in model.adapters],
        )
    root = ctx.root.resolve()
    files = closure(model, ctx)
    return recipe.PythonModel(
        **_function(model.entrypoint, ctx).model_dump(),
        params=model.params,
        loss=None if model.loss is None else _function(model.loss, ctx),
        metrics=None if model.metrics is None else _function(model.metrics, ctx),
        dataset=None if model.dataset is None else _function(model.dataset, ctx),
        closure=[path.relative_to(root).as_posix() for path in files],
        code_digest=ctx.digests.tree(files, root),
    )


def _function(text: str, ctx: Context) -> recipe.Function:
    file, _, name = text.rpartition(":")
    return recipe.Function(file=ctx.path(file).relative_to(ctx.root.resolve()).as_posix(), function=name)


def _method(method: asked.Method) -> recipe.Method:
    if isinstance(method, asked.Galore):
        return recipe.GaloreMethod(**method.model_dump())
    if isinstance(method, asked.LowRank):
        values = {**method.model_dump(), "alpha": method.alpha or 2.0 * method.r}
        return recipe.LoraMethod(**values)
    return recipe.FullMethod()


def _optimizer(optimizer: asked.Optimizer) -> recipe.OptimizerParams:
    values = optimizer.model_dump(exclude={"warmup"}, exclude_none=True)
    warmup = optimizer.warmup
    if isinstance(warmup, str):
        values["warmup_steps"] = int(warmup.split()[0])
    elif warmup is not None:
        values["warmup_share"] = warmup
    return recipe.OptimizerParams(**values)


def _checkpoint(checkpoint: asked.Checkpoint) -> recipe.CheckpointParams:
    storage = None
    if checkpoint.storage is not None:
        options = checkpoint.s3.model_dump() if checkpoint.s3 is not None else {}
        storage = recipe.Storage(url=checkpoint.storage, **options)
    return recipe.CheckpointParams(
        every=checkpoint.every, keep=checkpoint.keep, background=checkpoint.background, storage=storage
    )


def _distillation(distill: asked.Distill, ctx: Context) -> recipe.Distillation:
    values = {"alpha": 0.5, **distill.model_dump(exclude_none=True)}
    return recipe.Distillation(teacher_digest=folder_digest(ctx.path(distill.teacher), ctx), **values)


def tracking_target(key: ObjectKey, values: Mapping[str, Any], ctx: Context) -> TrackingTarget:
    """Where this object is tracked, by the project settings as they were when it was asked for, and under which marks."""
    made = ctx.made_as(key)
    uri, experiment = tracking_settings(values.get("project_tracking"), ctx.project)
    owner = {"owner": values["owner"]} if values.get("owner") else {}
    return TrackingTarget(
        uri=uri,
        experiment=experiment,
        lineage=ctx.lineage,
        address=str(made.address),
        object=str(made),
        labels={**owner, **values.get("tags", {})},
    )
