"""Values that are put into a project in memory, such as `training.churn.batch_size=64`, to see what it would be like with them.

They go the way of what stands in a file: laid over the blocks before anything is typed, so that what is wrong with one is told
as it would be there. Unlike an environment, which merges blocks, an assigned block takes the place of the one that was there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from mlctl.spec.collection import Collected
from mlctl.spec.environments import Environment
from mlctl.spec.modules import SECTION as MODULES
from mlctl.spec.places import Place
from mlctl.spec.report import Report
from mlctl.spec.scope import Scope
from mlctl.spec.source import Source
from mlctl.spec.suggest import Suggestions, shown
from mlctl.types.address import Address
from mlctl.types.diagnostic import MlctlError
from mlctl.types.value import Json

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_WORDS = ("true", "false", "null")


@dataclass(frozen=True, slots=True)
class Assignment:
    """One value at a dotted path. `text` is how it was given."""

    path: tuple[str, ...]
    value: str  # as it stands behind a colon in YAML
    text: str

    @classmethod
    def of(cls, text: str) -> Assignment:
        """From `SECTION.NAME.FIELD=VALUE`. Raises MlctlError for what is not written like that."""
        name, equals, value = text.partition("=")
        path = tuple(part.strip() for part in name.split("."))
        if not equals or len(path) < 2 or not all(path) or len(text.splitlines()) > 1:
            why = "a value has the place of its field, with dots, and what would stand there in the file"
            fix = "for example `--set training.churn.batch_size=64`"
            raise MlctlError.of("cli.usage", f"`--set {text}` is not PATH=VALUE", why, fix)
        return cls(path, value.strip(), text)

    def source(self) -> Source:
        """The same as a file would say it."""
        lines = [f"{'  ' * depth}{_key(part)}:" for depth, part in enumerate(self.path)]
        return Source.of_text(f"--set {self.text}", "\n".join(lines) + f" {self.value}\n")


def lay(
    given: Sequence[Assignment],
    files: Collected,
    sections: Collection[str],
    settings: Collection[str],
    scope: Scope,
    report: Report,
    suggest: Suggestions,
) -> None:
    """Put values over what was collected of the files, each over those before it. What is wrong goes into the report."""
    for item in given:
        source = item.source()
        report.diagnostics += source.diagnostics
        if source.diagnostics or not isinstance(source.value, dict):
            continue
        before = _before(item, source, files, sections, settings, report, suggest)
        if before is not None:
            block = _replacing(source.value, before, len(item.path))
            files.lay(Environment("", "", block, Place(source, ())), scope)


def _before(
    item: Assignment,
    source: Source,
    files: Collected,
    sections: Collection[str],
    settings: Collection[str],
    report: Report,
    suggest: Suggestions,
) -> Mapping[str, Json] | None:
    """What the project says so far below the first name of a path; None, and a problem, where the path leads to nothing."""
    top, name = item.path[0], item.path[1]
    if top in settings:
        return {top: files.settings[top][1]} if top in files.settings else {}
    if top not in {*sections, MODULES}:
        known = sorted({*sections, MODULES, *settings})
        why, fix = "a value belongs to a resource or to a block of settings", suggest(top, known)
        if top == "variables":
            why, fix = "the value of a variable is given by itself", f"write `--var {name}=…`"
        report.at(source, (top,), "spec.unknown-section", f"`--set` knows no {shown(top)}", why, fix, key=True)
        return None
    address = Address(top, name)
    if address not in files.blocks:
        names = [other.name for other in files.blocks if other.section == top]
        why, fix = "a value is put into a block that the project has", suggest(name, names)
        block, bracket, _ = name.partition("[")
        if bracket and block in names:
            why, fix = (
                f"it is one of several that `{top}.{block}` makes",
                f"`--set {top}.{block}.FIELD=VALUE` changes all of them",
            )
        elif Address(MODULES, block) in files.blocks:
            why, fix = (
                f"the module `{block}` makes it",
                f"`--set {MODULES}.{block}.inputs.NAME=VALUE` changes what it is made of",
            )
        report.at(source, (top, name), "spec.dangling-reference", f"there is no {shown(f'{top}.{name}')}", why, fix, key=True)  # fmt: skip
        return None
    return {top: {name: files.blocks[address].values}}


def _replacing(value: Json, before: Json, depth: int) -> dict[str, Json]:
    """The value with `null` for each field that the block it takes the place of has, and it has not."""
    assert isinstance(value, dict)  # noqa: S101  a path is at least two names long
    result: dict[str, Json] = {}
    for name, below in value.items():
        stood = before.get(name) if isinstance(before, Mapping) else None
        if depth > 1:
            result[name] = _replacing(below, stood, depth - 1)
        elif isinstance(below, dict) and isinstance(stood, Mapping):
            result[name] = {**dict.fromkeys(stood.keys() - below.keys()), **below}
        else:
            result[name] = below
    return result


def _key(text: str) -> str:
    """A name as YAML takes it for that name."""
    return text if _PLAIN.fullmatch(text) and text not in _WORDS else json.dumps(text)
