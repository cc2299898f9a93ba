"""A trained model as programs that predict with it are told of it, and which of its inputs a block means by `model`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from mlctl.types.address import Address
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.features import ViewSource
from mlctl.types.jobs.server import ServedFeatures

SECTIONS = ("training", "evaluations")  # whose objects are models


class UsedModel(BaseModel):
    """A model: a folder in MLflow format (relative to the project), what it is called, and how rows become its input.

    One without `serving` is a language model. `views` are the snapshots that its features are joined from.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    name: str
    version: str
    folder: str
    digest: str
    serving: ServedFeatures | None
    views: list[ViewSource] = []

    @property
    def is_language_model(self) -> bool:
        """Whether it answers texts, and not rows of numbers."""
        return self.serving is None

    @property
    def row_features(self) -> ServedFeatures:
        """How rows become its input. Raises MlctlError for a language model, which has none."""
        if self.serving is None:
            raise MlctlError.of(
                "model.of-texts",
                f"{label(self.name, self.version)} is a language model, and gives no scores of rows",
                "it was to predict rows of numbers",
                "run `mlctl plan` to see which model the block means",
            )
        return self.serving


def label(name: str, version: str) -> str:
    """A model and its version; one that is not registered goes by digits of its digest."""
    return f"{name} {'v' if version.isdecimal() and len(version) < 8 else ''}{version}"


class Made(NamedTuple):
    """An input of a block, as far as it matters here."""

    address: Address
    outputs: Mapping[str, Any]
    digest: str


def check_name(model: str) -> str:
    """The text of a field `model`: `name@alias`, or an expression that gives a folder. Raises ValueError."""
    name, mark, alias = model.partition("@")
    if "${" in model or "/" in model or (name and mark and alias):
        return model
    raise ValueError(
        f"{model!r} names no model; write `name@alias` as in the `register` block of an evaluation, for example "
        "`churn@champion`, or `${training.NAME.model}`"
    )


def used_model(named: str, inputs: Iterable[Made], asking: str) -> UsedModel:
    """The model that a block names: what an evaluation registers as `name@alias`, or the folder that one of its inputs put out.

    Raises MlctlError.
    """
    made = [item for item in inputs if item.address.section in SECTIONS]
    found = next((item for item in made if _is(named, item.outputs)), None)
    if found is None:
        raise MlctlError.of(
            "model.unknown",
            f"nothing put out the model `{named}`",
            "predictions are made with what a training made, or an evaluation has let pass",
            "write `name@alias` of an evaluation, or `${training.NAME.model}`",
            address=asking,
        )
    if found.outputs.get("model") is None or ("@" in named and found.outputs.get("version") is None):
        raise MlctlError.of(
            "model.none-passed",
            f"`{named}` has no version yet",
            f"no model has ever passed {found.address}",
            "look at the evaluation's verdict with `mlctl show`",
            address=asking,
        )
    return _used(found, asking)


def _is(named: str, outputs: Mapping[str, Any]) -> bool:
    if outputs.get("model") == named:
        return True
    name, mark, alias = named.partition("@")
    return bool(mark) and (outputs.get("name"), outputs.get("alias")) == (name, alias)


def _used(made: Made, asking: str) -> UsedModel:
    outputs = made.outputs
    serving, task = outputs.get("serving"), outputs.get("task")
    if serving is None and task != "causal_lm":
        raise MlctlError.of(
            "model.own-rows",
            f"{made.address} makes a model whose rows only its own code knows",
            "mlctl predicts with models of rows with features, and with language models",
            "predict with it in code of the project",
            address=asking,
        )
    fields = None
    if serving is not None:
        lists = {field: serving.get(field) or [] for field in ("keys", "views", "transformations")}
        fields = ServedFeatures.model_validate({"columns": serving["columns"], "store": serving.get("store"), **lists})
    version = outputs.get("version") or str(outputs.get("digest", made.digest))[:8]
    return UsedModel(
        name=str(outputs.get("name") or made.address),
        version=str(version),
        folder=str(outputs["model"]),
        digest=made.digest,
        serving=fields,
        views=[ViewSource.model_validate(view) for view in outputs.get("views") or []],
    )


Graph = Mapping[Address, Collection[Address]]  # what each block of a project uses


def trainings_behind(address: Address, model: str, specs: Mapping[Address, Any], uses: Graph) -> set[Address]:
    """The trainings whose model a block may mean: those that it names, and those judged by the evaluation that it names."""
    found = {other for other in uses[address] if other.section == "training"}
    for gate in (other for other in uses[address] if other.section == "evaluations" and other in specs):
        if "@" not in model or f"model:{model}" in set(specs[gate].provides()):
            found |= {other for other in uses[gate] if other.section == "training"}
    return found


def views_behind(training: Address, uses: Graph) -> set[Address]:
    """The feature views that a training reads, by itself or through a service."""
    found = set(uses.get(training, ()))
    for section in ("feature_services", "on_demand_views"):  # a service names views, and functions that read views
        found |= {inner for outer in found if outer.section == section for inner in uses.get(outer, ())}
    return {view for view in found if view.section == "feature_views"}
