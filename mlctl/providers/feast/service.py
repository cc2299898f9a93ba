"""The `feature_services` kind: the features of a model by one name, for its training and for its deployment."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from mlctl.provider import Context, Desired, Family, Observed, Outcome, diff_fields
from mlctl.providers.feast.composition import Composition, compose
from mlctl.providers.feast.spec import FeatureServiceSpec, FeatureViewSpec, OnDemandViewSpec
from mlctl.types.address import Address
from mlctl.types.change import FieldChange, FieldClass
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.jobs.features import OnlineView, Transformation, ViewSource, keys_of
from mlctl.types.state import Record
from mlctl.types.value import Json, digest


class FeatureService:
    """It lives in the state alone: trainings read its outputs, and a deployment gets them with its model.

    Feast's own feature services would leave out what is computed on demand, which Feast keeps as pickled functions.
    """

    section: ClassVar[str] = "feature_services"
    family: ClassVar[Family] = Family.DEFINITION
    spec: ClassVar[type[FeatureServiceSpec]] = FeatureServiceSpec
    identity: ClassVar[frozenset[str]] = frozenset()
    field_class: ClassVar[FieldClass] = FieldClass.FEATURES
    settings: ClassVar[frozenset[str]] = frozenset()

    def check(self, spec: FeatureServiceSpec, ctx: Context) -> Sequence[Diagnostic]:
        """It has features, each named once."""
        found = []
        if not spec.views and not spec.on_demand:
            found.append(
                Diagnostic(
                    "features.empty-service",
                    "the service has no features",
                    "a model reads at least one",
                    "name feature views under `views`, or on-demand views under `on_demand`",
                )
            )
        for field, names in (("views", spec.views), ("on_demand", spec.on_demand), ("features", spec.features or [])):
            found += [
                Diagnostic(
                    "features.duplicate", f"`{name}` stands twice in `{field}`", "", "name it once", path=(field,)
                )
                for name in sorted({name for name in names if names.count(name) > 1})
            ]
        return found

    def check_together(
        self, specs: Mapping[Address, Any], uses: Mapping[Address, Collection[Address]], ctx: Context
    ) -> Iterable[tuple[Address, Diagnostic]]:
        """Its features are there, come once each, and all that it names is read."""
        for address, spec in specs.items():
            if address.section != self.section:
                continue
            views = {name: specs.get(Address("feature_views", name)) for name in spec.views}
            on_demand = {name: specs.get(Address("on_demand_views", name)) for name in spec.on_demand}
            features = {
                name: [item.name for item in view.computed()]
                for name, view in views.items()
                if isinstance(view, FeatureViewSpec)
            }
            computed = {
                name: list(view.features) for name, view in on_demand.items() if isinstance(view, OnDemandViewSpec)
            }
            if len(features) == len(views) and len(computed) == len(on_demand):
                for problem in compose(spec, features, computed).problems:
                    yield address, problem

    def read(self, prior: Record, ctx: Context) -> Observed | None:
        """It is in the state, and that is all there is to it."""
        return Observed()

    def diff(self, desired: Desired, prior: Record, seen: Observed) -> Sequence[FieldChange]:
        """Field by field."""
        return diff_fields(desired, prior, seen)

    def apply(self, desired: Desired, prior: Record | None, ctx: Context) -> Outcome:
        """Put together what its views say. Raises MlctlError when they contradict each other."""
        spec: FeatureServiceSpec = desired.spec
        views = {name: desired.input("feature_views", name).outputs for name in spec.views}
        on_demand = {name: desired.input("on_demand_views", name).outputs for name in spec.on_demand}
        composition = compose(
            spec,
            {name: list(view["features"]) for name, view in views.items()},
            {name: list(view["features"]) for name, view in on_demand.items()},
        )
        if composition.problems:
            raise MlctlError(composition.problems)
        every = {view["view"]: view for view in views.values()}
        for made in on_demand.values():
            for view in made["views"]:
                every.setdefault(view["view"], view)
        transformations = [Transformation.model_validate(made["transformation"]) for made in on_demand.values()]
        outputs = _outputs(composition, list(every.values()), transformations)
        problems = list(_key_problems(outputs, str(desired.address)))
        if problems:
            raise MlctlError(problems)
        digests = [view["digest"] for view in every.values()], [made["digest"] for made in on_demand.values()]
        outputs["lineage"] = _lineage(composition, views, on_demand)
        return Outcome(desired.address.name, {**outputs, "digest": digest([composition.features, *digests])})

    def delete(self, prior: Record, ctx: Context) -> None:
        """Nothing of its own to remove."""

    def describe(self, prior: Record) -> str:
        """How many features it has, and by which key."""
        serving = prior.outputs.get("serving")
        if not isinstance(serving, Mapping):
            return ""
        keys = ", ".join(key["name"] for key in serving["keys"])
        return f"{len(serving['columns'])} features" + (f" by {keys}" if keys else "")


def _outputs(
    composition: Composition, views: Sequence[Mapping[str, Json]], transformations: Sequence[Transformation]
) -> dict[str, Json]:
    """What trainings and servers read: of each view only the features that are selected, or read by a transformation."""
    wanted = {*composition.features, *(name for item in transformations for name in item.inputs)}
    sources = []
    for view in views:
        source = ViewSource.from_outputs(view)
        kept = {name: kind for name, kind in source.features.items() if name in wanted}
        sources.append(source.model_copy(update={"features": kept}))
    lookups = [
        OnlineView(view=item.view, keys=item.keys, features=list(item.features), ttl_seconds=item.ttl_seconds)
        for item in sources
    ]
    applied = [item.model_dump(mode="json") for item in transformations]
    store = views[0]["store"] if views else None
    return {
        "views": [item.model_dump(mode="json") for item in sources],
        "view_digests": {view["view"]: view["digest"] for view in views},
        "transformations": applied,
        "store": store,
        "request": {name: kind for item in transformations for name, kind in item.request.items()},
        "serving": {
            "columns": composition.features,
            "keys": [key.model_dump() for key in keys_of(sources)],
            "views": [item.model_dump(mode="json") for item in lookups],
            "store": store,
            "transformations": applied,
        },
    }


def _lineage(
    composition: Composition, views: Mapping[str, Mapping[str, Json]], on_demand: Mapping[str, Mapping[str, Json]]
) -> dict[str, Json]:
    """Which view brings each feature."""
    owners = [(f"feature_views.{name}", item) for name, item in views.items()]
    owners += [(f"on_demand_views.{name}", item) for name, item in on_demand.items()]
    origin = {name: owner for owner, item in owners for name in item["features"]}
    return {name: {"from": [[origin[name], name]], "how": ""} for name in composition.features}


def _key_problems(outputs: Mapping[str, Json], address: str) -> Iterable[Diagnostic]:
    """Columns that would be two things in one request."""
    keys: dict[str, str] = {}
    for view in outputs["views"]:
        for key in view["keys"]:
            if keys.setdefault(key["name"], key["type"]) != key["type"]:
                yield Diagnostic(
                    "features.key-type",
                    f"`{key['name']}` is {key['type']} in {view['view']} and {keys[key['name']]} in another view",
                    "a request has one value for it",
                    "give the entities the same type",
                    address=address,
                    path=("views",),
                )
    request: dict[str, str] = {}
    for made in outputs["transformations"]:
        for name, kind in made["request"].items():
            if name in keys or request.setdefault(name, kind) != kind:
                yield Diagnostic(
                    "features.name-collision",
                    f"`{name}` of the request is also {'a key' if name in keys else f'{request[name]} elsewhere'}",
                    "a request has one value for it",
                    "rename it, or give it the same type",
                    address=address,
                    path=("on_demand",),
                )
