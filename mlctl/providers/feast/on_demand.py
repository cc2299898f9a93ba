"""The `on_demand_views` kind: features that a function of the project computes when they are asked for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from mlctl.launch import job
from mlctl.provider import Condition, Context, Desired, Family, Observed, Outcome, diff_fields
from mlctl.providers.feast.function import function_files, function_problems, signature_of, unknown_input
from mlctl.providers.feast.layout import feast_name
from mlctl.providers.feast.spec import FeatureViewSpec, OnDemandViewSpec
from mlctl.types.address import Address
from mlctl.types.change import FieldChange, FieldClass
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.job import LOG_FILE
from mlctl.types.jobs.features import EVENT_TIMESTAMP, CheckTransformationParams, Transformation, ViewSource
from mlctl.types.state import Record
from mlctl.types.value import Json, digest

CODE_FOLDER = "code"
_OF_A_VIEW = (
    "view",
    *(name for name in ViewSource.model_fields if name not in ("view", "path")),
    "offline",
    "store",
    "digest",
)


class OnDemandView:
    """A build, since its code is part of what it is: a change of a file that the function imports makes another object.

    The code is kept in the object's folder, and every model that is trained with it takes a copy along.
    """

    section: ClassVar[str] = "on_demand_views"
    family: ClassVar[Family] = Family.BUILD
    spec: ClassVar[type[OnDemandViewSpec]] = OnDemandViewSpec
    identity: ClassVar[frozenset[str]] = frozenset()
    field_class: ClassVar[FieldClass] = FieldClass.FEATURES
    settings: ClassVar[frozenset[str]] = frozenset()

    def check(self, spec: OnDemandViewSpec, ctx: Context) -> Sequence[Diagnostic]:
        """The function is there, and reads and gives what the block says."""
        return [*_name_problems(spec), *function_problems(spec, ctx)]

    def check_together(
        self, specs: Mapping[Address, Any], uses: Mapping[Address, Collection[Address]], ctx: Context
    ) -> Iterable[tuple[Address, Diagnostic]]:
        """Every parameter is a request field or a feature of a view, and every view is read."""
        for address, spec in specs.items():
            if address.section == self.section:
                views = {name: specs.get(Address("feature_views", name)) for name in spec.views}
                features = {
                    name: [item.name for item in view.computed()]
                    for name, view in views.items()
                    if isinstance(view, FeatureViewSpec)
                }
                for problem in _input_problems(spec, features, ctx):
                    yield address, problem

    def parts(self, spec: OnDemandViewSpec, ctx: Context) -> Mapping[str, str]:
        """The project's own code that the function runs."""
        root = ctx.root.resolve()
        return {
            f"code:{path.relative_to(root).as_posix()}": ctx.digests.file(path) for path in function_files(spec, ctx)
        }

    def read(self, prior: Record, ctx: Context) -> Observed | None:
        """Whether its code is there and, looked at deeply, still what it was."""
        made = prior.outputs.get("transformation")
        if not isinstance(made, Mapping):
            return None
        root = ctx.root / made["root"]
        files = [root / name for name in made["closure"]]
        if not all(path.is_file() for path in files):
            return None
        if ctx.deep and ctx.digests.tree(files, root) != made["code_digest"]:
            return Observed(condition=Condition.BROKEN, detail="its kept code was changed by something else")
        return Observed()

    def diff(self, desired: Desired, prior: Record, seen: Observed) -> Sequence[FieldChange]:
        """Fields of the spec; the code stands in the identity."""
        return diff_fields(desired, prior, seen)

    def apply(self, desired: Desired, prior: Record | None, ctx: Context) -> Outcome:
        """Keep the code, then load the function and call it once, in a worker."""
        spec: OnDemandViewSpec = desired.spec
        views = {name: desired.input("feature_views", name).outputs for name in spec.views}
        problems = list(_input_problems(spec, {name: list(view["features"]) for name, view in views.items()}, ctx))
        if problems:
            raise MlctlError(problems)
        folder = ctx.folder(desired.key)
        kept = _keep_code(desired, folder / CODE_FOLDER, ctx)
        transformation = _transformation(desired, views, ctx, kept)
        params = CheckTransformationParams(transformation=transformation)
        job.run("transform", params.model_dump(mode="json"), folder, ctx)
        return Outcome(desired.key.identity, _outputs(transformation, views))

    def delete(self, prior: Record, ctx: Context) -> None:
        """Remove the kept code. Models that were trained with it have their own."""
        job.discard(ctx.folder(prior.key))

    def log(self, prior: Record, ctx: Context) -> Path | None:
        """What the function printed when it was looked at."""
        path = ctx.folder(prior.key) / LOG_FILE
        return path if path.exists() else None

    def describe(self, prior: Record) -> str:
        """What it computes, and by which function."""
        made = prior.outputs.get("transformation")
        if not isinstance(made, Mapping):
            return ""
        return f"{', '.join(made['features'])} by {made['file']}:{made['function']}"


def _name_problems(spec: OnDemandViewSpec) -> Iterable[Diagnostic]:
    names = [*(("request", name) for name in spec.request), *(("features", name) for name in spec.features)]
    seen: dict[str, str] = {EVENT_TIMESTAMP: EVENT_TIMESTAMP}
    for field, name in names:
        other = seen.get(name.lower())
        seen.setdefault(name.lower(), name)
        if other is not None:
            yield Diagnostic(
                "features.name-collision",
                f"`{name}` stands for two columns",
                "what a request brings and what is computed from it are columns of one row",
                "rename one of them",
                path=(field, name),
            )


def _input_problems(spec: OnDemandViewSpec, views: Mapping[str, Sequence[str]], ctx: Context) -> Iterable[Diagnostic]:
    """Inputs that nothing brings, names that come twice, and views that are not read."""
    try:
        signature = signature_of(spec, ctx)
    except MlctlError:
        return  # told by `check`
    features = [name for names in views.values() for name in names]
    if views and not signature.rest:
        for name in signature.names:
            if name not in spec.request and name not in features:
                yield unknown_input(spec, name, [*spec.request, *features])
    for field, declared in (("request", spec.request), ("features", spec.features)):
        for name in declared:
            if name in features:
                yield Diagnostic(
                    "features.name-collision",
                    f"`{name}` is a feature of its views already",
                    "a row has each name once",
                    "rename it",
                    path=(field, name),
                )
    for index, (view, names) in enumerate(views.items()):
        if not signature.inputs(spec.request, names):
            yield Diagnostic(
                "features.unused",
                f"`{spec.name}` reads no feature of `{view}`",
                "`views` names those whose features it reads",
                "take it out of `views`, or name a feature of it as a parameter",
                path=("views", index),
            )


def _keep_code(desired: Desired, place: Path, ctx: Context) -> list[Path]:
    """Copy the code into the object's folder, whole. Raises MlctlError when it is not that of the identity any more."""
    spec: OnDemandViewSpec = desired.spec
    root, files = ctx.root.resolve(), function_files(spec, ctx)
    kept = [place / path.relative_to(root) for path in files]
    if not _changed(desired, kept, place, ctx):
        return kept
    beside = place.with_name(f".{place.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    for path in files:
        copy = beside / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    changed = _changed(desired, [beside / path.relative_to(root) for path in files], beside, ctx)
    if changed:
        raise MlctlError.of(
            "features.code-changed",
            f"`{changed}` changed while it was being applied",
            "the plan was made for another text",
            "run `mlctl apply` again",
            address=str(desired.address),
        )
    shutil.rmtree(place, ignore_errors=True)
    os.replace(beside, place)
    return kept


def _changed(desired: Desired, files: Sequence[Path], place: Path, ctx: Context) -> str:
    """The first file that is not the one the identity stands for, or nothing."""
    for path in files:
        name = path.relative_to(place).as_posix()
        if not path.is_file() or ctx.digests.file(path) != desired.parts.get(f"code:{name}"):
            return name
    return ""


def _transformation(
    desired: Desired, views: Mapping[str, Mapping[str, Json]], ctx: Context, kept: Sequence[Path]
) -> Transformation:
    """What is applied to rows."""
    spec: OnDemandViewSpec = desired.spec
    place = ctx.folder(desired.key) / CODE_FOLDER
    signature = signature_of(spec, ctx)
    features = [name for view in views.values() for name in view["features"]]
    return Transformation(
        view=feast_name(desired.address.name),
        root=place.relative_to(ctx.root).as_posix(),
        file=ctx.path(spec.file).relative_to(ctx.root.resolve()).as_posix(),
        function=spec.name,
        closure=[path.relative_to(place).as_posix() for path in kept],
        code_digest=ctx.digests.tree(list(kept), place),
        request=spec.request,
        inputs=signature.inputs(spec.request, features),
        features=spec.features,
    )


def _outputs(made: Transformation, views: Mapping[str, Mapping[str, Json]]) -> dict[str, Json]:
    """The transformation, and the views it reads as services need them."""
    origin = {name: f"feature_views.{view}" for view, outputs in views.items() for name in outputs["features"]}
    told = {
        "from": [[origin[name], name] for name in made.inputs],
        "how": f"{made.file}:{made.function}",
        "request": list(made.request),
    }
    does = made.model_dump(mode="json", exclude={"view", "root"})
    return {
        "view": made.view,
        "features": dict(made.features),
        "request": dict(made.request),
        "transformation": made.model_dump(mode="json"),
        "views": [{name: view[name] for name in _OF_A_VIEW if name in view} for view in views.values()],
        "lineage": dict.fromkeys(made.features, told),
        "digest": digest([does, [view["digest"] for view in views.values()]]),
    }
