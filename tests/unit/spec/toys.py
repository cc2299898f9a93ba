"""Kinds that cost nothing, for tests of the spec floor: enough fields to be wrong in every way."""

# ruff: noqa: RUF012  pydantic copies defaults

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Field, field_validator

from mlctl.files.digests import FileDigests
from mlctl.provider import Block, Context, Desired, Family, Link, Observed, Outcome, Provided, Reference, Spec
from mlctl.registry import Registry
from mlctl.spec.project import Project, load_project
from mlctl.types.address import Address
from mlctl.types.change import FieldChange, FieldClass
from mlctl.types.diagnostic import Diagnostic, MlctlError, Severity
from mlctl.types.state import Record
from mlctl.types.units import Duration


class DatasetSpec(Spec):
    path: str
    key: list[str] = []
    rows: int | None = None


class CheckSpec(Spec):
    dataset: Annotated[str, Reference("datasets", guards=True)]
    rules: list[dict[str, Any]] = []
    references: str = ""

    def links(self) -> Iterable[Link]:
        if self.references:
            yield Link(("references",), Address("datasets", self.references))


class Mlp(Block):
    type: Literal["mlp"]
    hidden: tuple[int, ...] = (64,)


class Python(Block):
    type: Literal["python"]
    entrypoint: str


class Data(Block):
    labels: Annotated[str, Reference("datasets")]
    extra: list[Annotated[str, Reference("datasets")]] = []
    by_name: dict[str, Annotated[str, Reference("datasets")] | None] = {}


class TrainingSpec(Spec):
    data: Data
    model: Annotated[Mlp | Python, Field(discriminator="type")] = Mlp(type="mlp")
    epochs: Annotated[int, Field(gt=0)] = 1
    learning_rate: Annotated[float, Field(allow_inf_nan=False)] = 1e-3
    precision: Literal["bf16", "fp32"] = "fp32"
    shuffle: bool = True
    window: Duration | None = None
    every: str | list[str] = ""


class EvaluationSpec(Spec):
    model: str
    register_as: Annotated[str, Field(alias="register")] = ""

    def provides(self) -> Iterable[str]:
        return [f"model:{self.register_as}"] if self.register_as else []


class DeploymentSpec(Spec):
    model: Annotated[str, Provided("model")]

    @field_validator("model")
    @classmethod
    def _lower(cls, value: str) -> str:
        if value.isupper():
            raise ValueError("a model is not shouted")
        return value


class Toy:
    """A kind that makes nothing."""

    family: ClassVar[Family] = Family.DEFINITION
    identity: ClassVar[frozenset[str]] = frozenset()
    field_class: ClassVar[FieldClass] = FieldClass.TRAINING

    def __init__(self, section: str, spec: type[Spec], settings: frozenset[str] = frozenset()) -> None:
        self.section = section
        self.spec = spec
        self.settings = settings

    def check(self, spec: Any, ctx: Context) -> Sequence[Diagnostic]:
        if isinstance(spec, DatasetSpec):
            ctx.path(spec.path)
            if not ctx.path(spec.path).exists():
                return [
                    Diagnostic(
                        "toy.no-file", f"there is no file {spec.path}", severity=Severity.WARNING, path=("path",)
                    )
                ]
        return ()

    def read(self, prior: Record, ctx: Context) -> Observed | None:
        return None

    def diff(self, desired: Desired, prior: Record, seen: Observed) -> Sequence[FieldChange]:
        return ()

    def apply(self, desired: Desired, prior: Record | None, ctx: Context) -> Outcome:
        return Outcome(None)

    def delete(self, prior: Record, ctx: Context) -> None:
        return None


class Tracking(Block):
    uri: str = "sqlite:///x.db"
    retries: int = 3


SETTINGS: Mapping[str, type[BaseModel]] = {"tracking": Tracking}


def registry() -> Registry:
    return Registry.of(
        Toy("datasets", DatasetSpec),
        Toy("data_checks", CheckSpec),
        Toy("training", TrainingSpec, frozenset({"tracking"})),
        Toy("evaluations", EvaluationSpec),
        Toy("deployments", DeploymentSpec),
        settings=SETTINGS,
    )


def load(folder: Path, text: str | bytes, **more: str) -> Project:
    """Write a project (and other files, `a__yaml` for a.yaml) and load it."""
    (folder / "mlctl.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    for name, content in more.items():
        path = folder / name.replace("__", ".")
        path.write_text(content)
    return load_project(folder, registry())


def problems(folder: Path, text: str | bytes, **more: str) -> list[Diagnostic]:
    """What is wrong with a project; fails the test when nothing is."""
    try:
        load(folder, text, **more)
    except MlctlError as error:
        return list(error.diagnostics)
    raise AssertionError("the project was accepted")


def context(folder: Path) -> Context:
    return Context(folder, folder / ".mlctl", "default", "test", "lineage", {}, FileDigests())


GOOD = """\
# a project of every toy kind
project: rides
owner: {team: mobility}
tracking: {retries: 5}
datasets:
  trips: {path: data/trips.parquet, key: [trip_id]}
  labels: {path: data/labels.parquet}
data_checks:
  labels_ok: {dataset: labels, references: trips}
training:
  churn:
    data: {labels: labels, extra: [trips], by_name: {a: trips, b: null}}
    model: {type: mlp, hidden: [64, 32]}
    learning_rate: 2e-5
    every: [a, b]
    window: 7d
evaluations:
  gate: {model: "${training.churn.model}", register: churn@champion}
deployments:
  api: {model: churn@champion, depends_on: [data_checks.labels_ok]}
"""


def texts(found: Iterable[Diagnostic]) -> list[tuple[str, str, str]]:
    """Problems as code, place and summary."""
    return [(item.code, str(item.where or ""), item.summary) for item in found]
