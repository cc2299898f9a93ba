"""Environments: named overlays of a project, each with its own state. Which one a command works on, and where its state is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from mlctl.provider import Block
from mlctl.spec.overlay import laid_over
from mlctl.spec.places import Layered, Located, Place
from mlctl.spec.reading import Reader
from mlctl.spec.report import Report
from mlctl.spec.scope import Broken, Scope, Unresolved
from mlctl.spec.source import Source
from mlctl.spec.suggest import Suggestions, found, joined, shown
from mlctl.spec.validation import YamlPath, validate
from mlctl.types.address import NAME
from mlctl.types.diagnostic import Diagnostic, MlctlError, did_you_mean
from mlctl.types.value import Json

HOME = ".mlctl"
DEFAULT = "default"
AD_HOC_FILE = "environment.json"  # in the home of an environment that no project file declares: {"from": NAME}
OWN_FIELDS = ("default", "description", "variables", "state")  # of an environment; the rest of it is an overlay
_RESERVED = frozenset({"cache", "key"})  # what else lies beside the homes
_NAME_LIMIT = 60


class Encryption(Block):
    """How a bucket encrypts what is written to it."""

    sse: Literal["AES256", "aws:kms"]
    kms_key: str | None = None


class StateBackend(Block):
    """Where the state of an environment is kept."""

    backend: Literal["local", "s3"] = "local"
    bucket: Annotated[str, Field(min_length=3, max_length=63)] | None = None
    prefix: str = ""
    region: str | None = None
    endpoint: str | None = None
    profile: str | None = None
    encryption: Encryption | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.backend == "s3" and not self.bucket:
            raise ValueError("the backend s3 needs a `bucket`")
        others = sorted(self.model_fields_set - {"backend"})
        if self.backend == "local" and others:
            raise ValueError(f"the backend local has no {joined(others)}; it keeps the state in {HOME}")
        return self


@dataclass(frozen=True, slots=True)
class Environment:
    """The environment of a command: its name, and the declared one whose overlay it has (another one when it is ad hoc)."""

    name: str
    base: str
    block: Mapping[str, Json] = field(default_factory=dict)
    place: Place | None = None
    declared: bool = True

    @property
    def overlay(self) -> dict[str, Json]:
        """What is laid over the sections and settings of the project."""
        return {name: value for name, value in self.block.items() if name not in OWN_FIELDS}

    @property
    def variables(self) -> Mapping[str, Json]:
        """The values it gives to variables."""
        values = self.block.get("variables")
        return values if isinstance(values, dict) else {}  # anything else was told when it was declared


class _Heading(Block):
    """The fields of an environment that are not an overlay."""

    default: bool = False
    description: str = ""
    variables: dict[str, Any] | None = None
    state: dict[str, Any] | None = None


def declared(source: Source, block: Json, report: Report, suggest: Suggestions) -> dict[str, Mapping[str, Json]]:
    """The environments that a project declares, checked as far as one can without choosing one of them."""
    result: dict[str, Mapping[str, Json]] = {}
    if block is None:
        return result
    if not isinstance(block, dict):
        why = f"{found(block)} stands there"
        summary = "`environments` takes a block of environments by name"
        report.at(
            source, ("environments",), "spec.wrong-type", summary, why, "write `environments: {dev: {}, prod: {}}`"
        )
        return result
    for name, values in block.items():
        place = Place(source, ("environments", name))
        if (problem := misnamed(name)) is not None:
            report.at(place, (), "spec.bad-name", *problem, key=True)
            continue
        if values is not None and not isinstance(values, dict):
            why = f"{found(values)} stands there"
            report.at(place, (), "spec.wrong-type", f"environments.{name} takes a block", why, f"write `{name}: {{}}`")
            continue
        result[name] = values or {}
        own = {key: value for key, value in result[name].items() if key in OWN_FIELDS}
        _, problems = validate(_Heading, own, json.dumps(own), f"environments.{name}", suggest)
        for item in problems:
            report.problem(place, (), item, None)
    first, *others = [name for name, values in result.items() if values.get("default") is True] or [""]
    for name in others:
        why = f"environments.{first} is the default too"
        place = Place(source, ("environments", name))
        report.at(place, ("default",), "spec.bad-value", "there are two default environments", why, "keep one of them")
    return result


def misnamed(name: str) -> tuple[str, str, str] | None:
    """What is wrong with the name of an environment, if anything: summary, why and fix."""
    if name in _RESERVED:
        return f"an environment cannot be called {shown(name)}", f"{HOME}/{name} holds something else", "rename it"
    if len(name) > _NAME_LIMIT or not NAME.fullmatch(name):
        why = f"a name begins with a letter and goes on with letters, digits, `_` and `-`, {_NAME_LIMIT} at most"
        return f"{shown(name)} cannot be the name of an environment", why, "rename it"
    return None


def choose(known: Mapping[str, Mapping[str, Json]], wanted: str | None, source: Source, reader: Reader) -> Environment:
    """The environment of this name, or the one that is meant when none is named. Raises MlctlError."""
    if wanted is None:
        wanted = _unnamed(known)
    if wanted in known:
        return _declared(wanted, known, source)
    base = ad_hoc_base(wanted, reader)
    if base is not None:
        if known and base not in known:
            why = f"{HOME}/{wanted}/{AD_HOC_FILE} says that it is made from {shown(base)}, which is not declared"
            raise MlctlError.of(
                "env.unknown", f"the environment {shown(wanted)} has lost its base", why, did_you_mean(base, known)
            )
        found = _declared(base, known, source) if known else Environment(base, base)
        return Environment(wanted, base, found.block, found.place, declared=False)
    if not known and wanted == DEFAULT:
        return Environment(DEFAULT, DEFAULT)
    why = "the project declares no environments" if not known else "the project does not declare it"
    fix = did_you_mean(wanted, known) or f"declare it under `environments:`, or make one with `mlctl env new {wanted}`"
    raise MlctlError.of("env.unknown", f"there is no environment {shown(wanted)}", why, fix)


def ad_hoc_base(name: str, reader: Reader) -> str | None:
    """What an environment that no project file declares was made from; None when there is none of this name."""
    path = ad_hoc_path(reader.root, name)
    if misnamed(name) is not None or not reader.exists(path):
        return None
    try:
        stored = json.loads(reader.text(path))
        base = stored["from"]
    except (ValueError, TypeError, KeyError):
        base = None
    if not isinstance(base, str):
        why = 'it holds {"from": NAME} of the environment that it was made from'
        raise MlctlError.of(
            "env.damaged", f"{path} cannot be read", why, f"run `mlctl env new {name} --from NAME` again"
        )
    return base


def ad_hoc_path(root: Path, name: str) -> Path:
    """The file that makes an environment which no project file declares."""
    return root / HOME / name / AD_HOC_FILE


def ad_hoc_names(root: Path) -> list[str]:
    """The environments that no project file declares, by name."""
    found = (root / HOME).glob(f"*/{AD_HOC_FILE}")
    return sorted(path.parent.name for path in found if misnamed(path.parent.name) is None)


def state_backend(
    source: Source, block: Json, chosen: Environment, scope: Scope, report: Report, suggest: Suggestions
) -> StateBackend | None:
    """Where the environment keeps its state: its own `state`, else that of the project. None, with a report, when it is wrong."""
    place: Located = Place(source, ("state",))
    values, own = block, chosen.block.get("state")
    if chosen.place is not None and isinstance(own, dict):
        upper = chosen.place.within(("state",))
        # another backend has other fields: nothing of the project's own is taken over then
        place = upper if block is None or "backend" in own else Layered(place, block, upper, own)
        values = laid_over(None if "backend" in own else block, own)
    if values is None:
        return StateBackend()
    if not isinstance(values, dict):
        why = f"{found(values)} stands there"
        report.at(place, (), "spec.wrong-type", "`state` takes a block", why, "write `state: {backend: local}`")
        return None
    problems: list[tuple[YamlPath, Unresolved]] = []
    try:
        values = scope.resolve(values, lambda at, problem: problems.append((at, problem)))
    except Broken as broken:
        report.at(place, (), "spec.missing-value", "`state` needs a variable that has no good value", str(broken), "")
        return None
    for at, problem in problems:
        report.at(place, at, *problem.told)
    text = json.dumps(values)
    if "${" in text and not problems:
        why, fix = "the state must be found before anything is known of resources", "write the value itself"
        report.at(place, (), "spec.bad-expression", "`state` cannot hold an output", why, fix, key=True)
    made, wrong = validate(StateBackend, values, text, "state", suggest)
    for item in wrong:
        report.problem(place, (), item, None)
    return made


def _unnamed(known: Mapping[str, Mapping[str, Json]]) -> str:
    """The environment that is meant when none is named."""
    if not known:
        return DEFAULT
    marked = [name for name, values in known.items() if values.get("default") is True]
    if marked or len(known) == 1:
        return marked[0] if marked else next(iter(known))
    why = f"the project declares {joined(list(known), 'and')}"
    fix = "name one with `--env NAME` or MLCTL_ENV, or write `default: true` into one of them"
    raise MlctlError([Diagnostic("env.unchosen", "no environment is chosen", why, fix)])


def _declared(name: str, known: Mapping[str, Mapping[str, Json]], source: Source) -> Environment:
    return Environment(name, name, known[name], Place(source, ("environments", name)))
