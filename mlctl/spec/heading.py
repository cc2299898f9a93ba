"""What the main file says before any resource: which environments there are, where the state is, and the variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlctl.spec import environments
from mlctl.spec.environments import Environment, StateBackend
from mlctl.spec.places import Place
from mlctl.spec.reading import Reader
from mlctl.spec.report import Report
from mlctl.spec.scope import Scope, World
from mlctl.spec.source import Source
from mlctl.spec.suggest import Suggestions
from mlctl.spec.values import Chosen, Values
from mlctl.spec.variables import Variable, declarations
from mlctl.types.diagnostic import MlctlError
from mlctl.types.value import Json

# What a file must hold to declare environments or a state; escapes could hide the words. Most projects have neither.
_DECLARES = re.compile(r"(?:^|[{,])\s*[\"']?(?:environments|state)[\"']?\s*:|\\[xuU]", re.MULTILINE)


@dataclass(frozen=True)
class Heading:
    """What must be known to find the state, whatever else is wrong with the project."""

    environment: Environment
    backend: StateBackend
    project: str  # empty when neither environments nor a state are declared


def read_heading(reader: Reader, file: Path, chosen: Chosen, kept: Mapping[str, Json] | None = None) -> Heading:
    """Read it, and nothing else. Raises MlctlError for what is wrong with these blocks, or a name that is no environment."""
    source, top = _top(reader, file)
    report, suggest = Report(), Suggestions()
    known = environments.declared(source, top.get("environments"), report, suggest)
    environment = environments.choose(known, chosen.environment, source, reader)
    values = in_force(source, top.get("variables"), environment, chosen, kept, Report(), suggest)
    scope = Scope(World(values, suggest))
    backend = environments.state_backend(source, top.get("state"), environment, scope, report, suggest)
    if report.failed or backend is None:
        raise MlctlError(report.sorted([source]))
    return Heading(environment, backend, str(top.get("project", "")))


def read_names(reader: Reader, file: Path) -> list[str]:
    """The environments that a project declares; `default` when it declares none. Raises MlctlError."""
    source, top = _top(reader, file)
    report = Report()
    known = environments.declared(source, top.get("environments"), report, Suggestions())
    if report.failed:
        raise MlctlError(report.sorted([source]))
    return list(known) or [environments.DEFAULT]


def _top(reader: Reader, file: Path) -> tuple[Source, dict[str, Json]]:
    """The main file, as far as it is worth parsing. Raises MlctlError when it cannot be."""
    if not reader.exists(file) or not _DECLARES.search(reader.peek(file)):
        return Source("", ""), {}
    source = reader.source(file)
    if source.diagnostics and not isinstance(source.value, dict):
        raise MlctlError(source.diagnostics)
    return source, source.value if isinstance(source.value, dict) else {}


def in_force(
    source: Source,
    block: Json,
    environment: Environment,
    chosen: Chosen,
    kept: Mapping[str, Json] | None,
    report: Report,
    suggest: Suggestions,
) -> Values:
    """The variables that the main file declares, with their values in this environment."""
    place = Place(source, ("variables",))
    variables = declarations(block, place, Variable, "variables", report, suggest)
    values = Values(variables, place, report, suggest, kept)
    overlay_place = place if environment.place is None else environment.place.within(("variables",))
    values.look_up(environment.variables, overlay_place, chosen)
    if isinstance(block, dict):  # what is declared wrongly was told: who uses it is not to be told too
        values.broken.update(block.keys() - variables.keys())
    return values
