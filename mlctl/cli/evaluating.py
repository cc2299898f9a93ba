"""What `mlctl console` evaluates: paths to outputs, of modules too, and variables, texts with `${...}`, and JMESPath over the whole project."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from mlctl.engine.jmespath_limits import Search
from mlctl.spec.expressions import EXPRESSION
from mlctl.types.address import FULL_NAME, KEY, Address
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.types.secret import HIDDEN, redacted, shown
from mlctl.types.state import Record
from mlctl.types.value import Json
from mlctl.workspace import Workspace

_FIELDS = re.compile(r"(?:\.[A-Za-z_][A-Za-z0-9_-]*)*")
_WHY = 160
_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PATH = re.compile(r"[a-z][a-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_-]*)+")
_INSTANCE = re.compile(rf'[a-z][a-z0-9_]*\.{FULL_NAME.pattern}\["{KEY.pattern}"\]')


class Console:
    """The project and the state as they are when it is first asked. Read only; secrets are a word."""

    def __init__(self, workspace: Workspace) -> None:
        self._project = workspace.project
        self._ledger = workspace.ledger()
        self._environment = workspace.environment
        self._records: dict[str, Record] = {
            name: record
            for name, address in sorted((str(item), item) for item in {*self._project.resources, *(r.key.address for r in self._ledger)})
            if (record := self._ledger.made(address)) is not None
        }  # fmt: skip

    @cached_property
    def names(self) -> list[str]:
        """Everything that can be written to the end by a key: addresses, their outputs, and variables."""
        outputs = [f"{name}.{output}" for name, record in self._records.items() for output in record.outputs]
        variables = [f"var.{name}" for name in self._variables]
        variables += [f"module.{use}.{name}" for use, named in self._project.module_outputs.items() for name in named]
        return sorted({*map(str, self._project.resources), *self._records, *outputs, *variables, *self._document})

    def value(self, expression: str) -> Json:
        """The value of one expression. Raises MlctlError, with what was meant when a name is nearly right."""
        return redacted(shown(self._value(expression.strip())))

    def _value(self, text: str) -> Json:
        alone = EXPRESSION.fullmatch(text)
        if alone is not None:
            return self._value(alone[1].strip())
        if "${" in text:
            return self._woven(text)
        found = self._path(text)
        return self._asked(self._document, _quoted(text)) if found is None else found[0]

    def _woven(self, text: str) -> str:
        """A text with the values of its expressions put in."""
        if text.count("${") != sum(1 for _ in EXPRESSION.finditer(text)):
            raise MlctlError.of(
                "console.not-closed", "an expression is not closed", f"`{text}`", "write `${section.name.output}`"
            )

        def put(match: re.Match[str]) -> str:
            value = self._value(match[1].strip())
            return value if isinstance(value, str) else _json(value)

        return EXPRESSION.sub(put, text)

    def _path(self, text: str) -> tuple[Json] | None:
        """The value at a path of names, in a tuple of one; None when the text is no such path, and JMESPath has to read it."""
        block, every, fields = text.partition("[*]")
        if every and (keys := self._keys.get(block)):
            return ({key: self._value(f'{block}["{key}"]{fields}') for key in keys},)
        if text.startswith("module."):
            return (self._of_module(text),)
        known = next((name for name in self._addresses if text == name or text.startswith(f"{name}.")), None)
        if known is not None:
            fields = text[len(known) :]
            if not _FIELDS.fullmatch(fields):
                tree = {"it": dict(self._made(known).outputs)}
                return (self._asked(tree, f"it{_quoted_fields(fields)}"),)
            return (
                (_walk(dict(self._made(known).outputs), fields.split(".")[1:], known),)
                if fields
                else (self._outputs(known),)
            )
        if (instance := _INSTANCE.match(text)) is not None:
            fix = did_you_mean(instance[0], self._addresses)
            raise MlctlError.of("cli.unknown-name", f"there is no `{instance[0]}`", "", fix)
        if _PATH.fullmatch(text):
            head, *rest = text.split(".")
            if head == "var":
                return (_walk(self._variables, rest, "var"),)
            if head not in self._document or head in self._sections:
                fix = (
                    did_you_mean(".".join(text.split(".")[:2]), self._addresses)
                    or "see what there is with `mlctl state list`"
                )
                raise MlctlError.of("cli.unknown-name", f"there is no `{text}`", "", fix)
        return None

    def _of_module(self, text: str) -> Json:
        """What an output of a module stands for, put in; of a use, all its outputs."""
        uses = {f"module.{name}": outputs for name, outputs in self._project.module_outputs.items()}
        use = next((name for name in sorted(uses, key=len, reverse=True) if f"{text}.".startswith(f"{name}.")), None)
        if use is None:
            several = [name for name in uses if name.startswith(f'{".".join(text.split(".")[:2])}["')]
            raise MlctlError.of("cli.unknown-name", f"there is no `{text}`", "", did_you_mean(text, several or uses))
        names = text[len(use) + 1 :].split(".") if text != use else []
        found = _walk(uses[use], names[:1], use)
        return _walk(self._filled(found), names[1:], f"{use}.{names[0]}") if names else self._filled(found)

    def _filled(self, tree: Json) -> Json:
        """The same tree with the values of the expressions in it."""
        if isinstance(tree, str):
            return self._value(tree) if "${" in tree else tree
        if isinstance(tree, Mapping):
            return {name: self._filled(item) for name, item in tree.items()}
        return [self._filled(item) for item in tree] if isinstance(tree, list) else tree

    def _made(self, name: str) -> Record:
        record = self._records.get(name)
        if record is None:
            raise MlctlError.of(
                "console.not-made", f"{name} is not made yet", "it has no outputs before it is", "run `mlctl apply`"
            )
        return record

    def _outputs(self, name: str) -> Json:
        record = self._records.get(name)
        return None if record is None else dict(record.outputs)

    @cached_property
    def _addresses(self) -> list[str]:
        """Longest first, so that an instance is not taken for its block."""
        return sorted({*map(str, self._project.resources), *self._records}, key=lambda name: (-len(name), name))

    @cached_property
    def _keys(self) -> dict[str, list[str]]:
        """The keys of every block and module that has instances."""
        keys: dict[str, list[str]] = {}
        for name in (*self._addresses, *(f"module.{use}" for use in self._project.module_outputs)):
            address = Address(*name.split(".", 1))
            if address.key:
                keys.setdefault(str(address.block), []).append(address.key)
        return {block: sorted(found) for block, found in keys.items()}

    @cached_property
    def _sections(self) -> set[str]:
        return {name.partition(".")[0] for name in self._addresses}

    @cached_property
    def _variables(self) -> dict[str, Json]:
        plain = {name: value for name, value in self._project.values.items() if "." not in name}
        secret = {*self._project.secrets.values, *self._project.unset}
        return plain | {name.removeprefix("var."): HIDDEN for name in secret if name.startswith("var.")}

    @cached_property
    def _document(self) -> dict[str, Json]:
        """What JMESPath is asked of: sections by name, and the same as one list, which can be filtered."""
        resources = [self._resource(name) for name in sorted(self._addresses)]
        by_section: dict[str, dict[str, Json]] = {}
        for item in resources:
            by_section.setdefault(item["section"], {})[item["name"]] = item["outputs"]
        heading = {"project": self._project.name, "environment": self._environment, "var": self._variables}
        return {**by_section, **heading, "resources": resources}

    def _asked(self, document: dict[str, Json], expression: str) -> Json:
        """JMESPath, within limits. Raises MlctlError."""
        try:
            return Search(document)("console", expression)
        except MlctlError as error:
            why = error.diagnostics[0].why[:_WHY]  # one about a type quotes the value, which may be everything
            raise MlctlError.of(
                "console.bad-expression",
                f"`{expression}` cannot be evaluated",
                why,
                "see the examples of `mlctl console --help`",
            ) from None

    def _resource(self, name: str) -> dict[str, Any]:
        section, _, rest = name.partition(".")
        record = self._records.get(name)
        resource = self._project.resources.get(Address(section, rest))
        spec = (
            resource.spec.model_dump(mode="json", exclude_defaults=True)
            if resource
            else dict(record.spec if record else {})
        )
        return {
            "address": name,
            "section": section,
            "name": rest,
            "spec": spec,
            "made": record is not None,
            "identity": None if record is None else record.key.identity,
            "outputs": {} if record is None else dict(record.outputs),
            "gate": None if record is None or record.gate is None else record.gate.to_json(),
            "provenance": {} if record is None else dict(record.provenance),
        }


def _walk(tree: Any, names: list[str], start: str) -> Json:
    """The value at the end of a path. Raises MlctlError at the first name that is not there."""
    at = start
    for name in names:
        if not isinstance(tree, Mapping) or name not in tree:
            known = list(tree) if isinstance(tree, Mapping) else []
            raise MlctlError.of(
                "cli.unknown-name", f"there is no `{name}` in `{at}`", "", did_you_mean(name, map(str, known))
            )
        tree, at = tree[name], f"{at}.{name}"
    return tree


def _quoted(expression: str) -> str:
    """A path whose names have a `-`, as JMESPath wants it: `"quick-start"`."""
    return ".".join(map(_name, expression.split("."))) if _PATH.fullmatch(expression) else expression


def _quoted_fields(fields: str) -> str:
    """What stands behind an address: plain names up to where JMESPath begins."""
    path = _FIELDS.match(fields)
    plain = path[0] if path is not None else ""
    return "".join(f".{_name(name)}" for name in plain.split(".")[1:]) + fields[len(plain) :]


def _name(name: str) -> str:
    return name if _BARE.fullmatch(name) else f'"{name}"'


def _json(value: Json) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)
