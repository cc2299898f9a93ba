"""What a feature service is put together from: which features, in which order, and what does not fit. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mlctl.providers.feast.spec import FeatureServiceSpec
from mlctl.types.diagnostic import Diagnostic, did_you_mean

Owner = tuple[str, str]  # `views` or `on_demand`, and a name


@dataclass
class Composition:
    """The features of a service in order, and the problems found on the way."""

    features: list[str] = field(default_factory=list)
    problems: list[Diagnostic] = field(default_factory=list)


def compose(
    spec: FeatureServiceSpec, views: Mapping[str, Sequence[str]], on_demand: Mapping[str, Sequence[str]]
) -> Composition:
    """The features by name of what brings them. Names that come twice, are unknown, or select nothing of a view are problems."""
    made = Composition()
    origin: dict[str, Owner] = {}
    taken: dict[str, Owner] = {}  # without regard to case, as DuckDB tells the columns of a joined table apart
    for section, name in [*(("views", name) for name in views), *(("on_demand", name) for name in on_demand)]:
        for feature in (views if section == "views" else on_demand)[name]:
            origin.setdefault(feature, (section, name))
            other = taken.setdefault(feature.lower(), (section, name))
            if other != (section, name):
                made.problems.append(
                    Diagnostic(
                        "features.name-collision",
                        f"`{feature}` is a feature of both `{other[1]}` and `{name}`",
                        "a model reads each column by one name, whose case makes no difference",
                        "rename the feature in one of them",
                        path=(section,),
                    )
                )
    made.features = list(origin) if spec.features is None else list(spec.features)
    for index, name in enumerate(spec.features or []):
        if name not in origin:
            made.problems.append(
                Diagnostic(
                    "features.unknown-feature",
                    f"none of its views has a feature `{name}`",
                    "`features` selects from what `views` and `on_demand` bring",
                    did_you_mean(name, origin),
                    path=("features", index),
                )
            )
    made.problems += _unused(spec, origin, made.features)
    return made


def _unused(spec: FeatureServiceSpec, origin: Mapping[str, Owner], features: Sequence[str]) -> list[Diagnostic]:
    """Views that `features` selects nothing of. What an on-demand view reads comes with it, and need not be named."""
    used = {origin[name] for name in features if name in origin}
    return [
        Diagnostic(
            "features.unused",
            f"`features` selects nothing of `{name}`",
            "what an on-demand view reads comes with it, and need not be named here",
            f"take it out of `{field}`, or select a feature of it",
            path=(field, index),
        )
        for field, names in (("views", spec.views), ("on_demand", spec.on_demand))
        for index, name in enumerate(names)
        if (field, name) not in used
    ]
