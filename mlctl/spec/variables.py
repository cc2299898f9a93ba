"""What a project may be given from outside: variables, and the inputs of a module, each declared with a type."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from mlctl.provider import Block
from mlctl.spec.places import Place
from mlctl.spec.report import Report
from mlctl.spec.scalars import plain
from mlctl.spec.source import Source
from mlctl.spec.suggest import Suggestions, found, joined, shown
from mlctl.spec.validation import Problem, YamlPath, validate
from mlctl.types.diagnostic import did_you_mean
from mlctl.types.value import Json

PREFIX = "MLCTL_VAR_"
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # what a variable of a process may be called too
Type = Literal["string", "int", "float", "bool", "list", "map"]

_WORDS = {
    "string": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "`true` or `false`",
    "list": "a list",
    "map": "a block",
}


class Input(Block):
    """A value that a module is given by whoever uses it."""

    type: Type
    default: Any = None
    description: str = ""
    one_of: list[Any] | None = None

    @property
    def required(self) -> bool:
        """Whether there is no default."""
        return "default" not in self.model_fields_set


class Variable(Input):
    """A value that a project is given from outside."""

    sensitive: bool = False  # never shown or stored, and never written in a project file


Declared = TypeVar("Declared", bound=Input)


def declarations(
    block: Json, place: Place, model: type[Declared], label: str, report: Report, suggest: Suggestions
) -> dict[str, Declared]:
    """The typed declarations of a `variables` or `inputs` block; those that are wrong are reported and left out."""
    result: dict[str, Declared] = {}
    if block is None:
        return result
    if not isinstance(block, dict):
        fix = f"write `{label}: {{NAME: {{type: int}}}}`"
        why = f"{found(block)} stands there"
        report.at(place, (), "spec.wrong-type", f"`{label}` takes a block of names", why, fix)
        return result
    for name, values in block.items():
        here = f"{label}.{name[:60]}"
        if not NAME.fullmatch(name):
            why = "a name begins with a letter and goes on with letters, digits and `_`"
            summary = f"{shown(name)} cannot be a name in `{label}`"
            report.at(place, (name,), "spec.bad-name", summary, why, "rename it", key=True)
        elif not isinstance(values, dict):
            why = f"{found(values)} stands there"
            report.at(
                place, (name,), "spec.wrong-type", f"{here} takes a block", why, f"write `{name}: {{type: string}}`"
            )
        else:
            made, problems = validate(model, values, json.dumps(values), here, suggest)
            for problem in problems or _unsound(made, values, name, here):
                report.problem(place, (name,), problem, None)
                made = None
            if made is not None:
                result[name] = made
    return result


def _unsound(made: Input | None, values: Mapping[str, Json], name: str, here: str) -> list[Problem]:
    """What types alone cannot say: a default fits its type, and a secret has none."""
    if made is None:
        return []
    if isinstance(made, Variable) and made.sensitive:
        problems = [
            Problem(
                (field,),
                "spec.secret-in-file",
                f"{here} is sensitive and has a `{field}`",
                "what stands in a project file stays in its history",
                f"remove it, and set {PREFIX}{name} where the command runs",
                at_key=True,
            )
            for field in ("default", "one_of")
            if field in values
        ]
        if made.type != "string":
            why, fix = "a secret is known by its text", "write `type: string`"
            problems.append(Problem(("type",), "spec.bad-value", f"{here} is sensitive and must be a string", why, fix))
        return problems
    checks = [misfit(made, item, ("one_of", index), here) for index, item in enumerate(made.one_of or ())]
    if not made.required:
        checks.append(misfit(made, made.default, ("default",), here))
    return [item for item in checks if item is not None]


def misfit(item: Input, value: Json, path: YamlPath, label: str) -> Problem | None:
    """What is wrong with a value for a declaration, if anything. The value of a secret is not told."""
    secret = isinstance(item, Variable) and item.sensitive
    if not of_type(item.type, value):
        why = "something else stands there" if secret else f"{found(value)} stands there"
        fix = "put quotes around it" if item.type == "string" and isinstance(value, int | float) else ""
        return Problem(path, "spec.wrong-type", f"{label} takes {_WORDS[item.type]}", why, fix)
    if item.one_of is not None and value not in item.one_of:
        options = [str(option) for option in item.one_of]
        summary = f"{label} cannot be {shown(str(value))}"
        return Problem(
            path, "spec.bad-value", summary, f"it takes {joined(options)}", did_you_mean(str(value), options)
        )
    return None


def of_type(kind: str, value: Json) -> bool:
    """Whether a value is of a declared type; a whole number is a number too."""
    if kind in ("int", "float"):
        return isinstance(value, int if kind == "int" else int | float) and not isinstance(value, bool)
    return isinstance(value, {"string": str, "bool": bool, "list": list, "map": dict}[kind])


def read(text: str) -> Json:
    """The value of a text as it would be read in a project file; the text itself where that cannot be."""
    if text.lstrip()[:1] in ("[", "{"):
        source = Source.of_text("", text)
        return text if source.diagnostics else source.value
    try:
        return plain(text)
    except ValueError:
        return text
