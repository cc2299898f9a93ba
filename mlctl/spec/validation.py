"""From pydantic's errors to ours: the place in the YAML, and plain words for what was expected and what stands there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mlctl.spec.fields import attribute, field_names, models_at
from mlctl.spec.suggest import Suggestions, found, joined, shown
from mlctl.types.value import Json

Model = TypeVar("Model", bound=BaseModel)
YamlPath = tuple[str | int, ...]

_MOST_PER_BLOCK = 50

# pydantic's error types that mean "another type was expected", in plain words.
_EXPECTED = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "`true` or `false`",
    "bool_parsing": "`true` or `false`",
    "none_required": "nothing",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "iterable_type": "a list",
    "dict_type": "a block",
    "mapping_type": "a block",
    "model_type": "a block",
    "model_attributes_type": "a block",
    "dataclass_type": "a block",
    "date_type": "a date",
    "date_parsing": "a date such as 2026-01-31",
    "date_from_datetime_parsing": "a date such as 2026-01-31",
    "datetime_type": "a time",
    "datetime_parsing": "a time such as 2026-01-31T12:00:00Z",
    "datetime_from_date_parsing": "a time such as 2026-01-31T12:00:00Z",
    "path_type": "a path",
}

# Right type, wrong value. `ctx` of the error is put in.
_LIMITS = {
    "greater_than": "a number above {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "a number below {lt}",
    "less_than_equal": "{le} or less",
    "multiple_of": "a multiple of {multiple_of}",
    "string_too_short": "a text of at least {min_length} characters",
    "string_too_long": "a text of at most {max_length} characters",
    "string_pattern_mismatch": "a text that matches `{pattern}`",
    "too_short": "at least {min_length} entries",
    "too_long": "at most {max_length} entries",
}

# Errors by which strict validation tells a coercion that lax validation would hide, such as `true` for 1.
_COERCIONS = frozenset({"string_type", "int_type", "float_type", "bool_type"})


_Located = tuple[
    Any, tuple[YamlPath, tuple[tuple[YamlPath, str], ...]]
]  # pydantic's error, its path, the union branches


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a block. `path` is relative to it; `at_key` when the name is wrong, not the value."""

    path: YamlPath
    code: str
    summary: str
    why: str
    fix: str
    at_key: bool = False


def validate(
    model: type[Model], values: Mapping[str, Json], text: str, label: str, suggest: Suggestions
) -> tuple[Model | None, list[Problem]]:
    """Make the typed block, or say all that is wrong. Text is not taken for a number, nor `true` for 1.

    `text` is the JSON of `values`; `label` names the block in messages, for example `training.churn`.
    """
    try:
        return model.model_validate_json(text, strict=True), []
    except ValidationError as error:
        strict = _located(error, values)
    try:
        made: Model | None = model.model_validate(values)
    except ValidationError as error:
        made, located = None, _located(error, values)
        told = {item[0]["loc"] for item in located}
        located += [item for item in strict if _is_coercion(item) and item[0]["loc"] not in told and not item[1][1]]
    else:
        # strict validation also refuses what is no coercion at all, such as a list for a tuple behind a validator
        located = [item for item in strict if _is_coercion(item) and _was_coerced(made, item)]
    problems = _described(_one_branch(located), model, label, suggest)
    return (made if not problems else None), problems[:_MOST_PER_BLOCK]


def _located(error: ValidationError, values: Json) -> list[_Located]:
    return [(item, _yaml_path(item, values)) for item in error.errors(include_url=False)[: 20 * _MOST_PER_BLOCK]]


def _is_coercion(located: _Located) -> bool:
    return located[0]["type"] in _COERCIONS and isinstance(located[0]["input"], str | bool)


def _was_coerced(made: Any, located: _Located) -> bool:
    """Whether a text or `true` became another type on its way into the typed block."""
    error, (path, _) = located
    value = made
    for part in path:
        if isinstance(value, BaseModel):
            value = getattr(value, attribute(type(value), part), None)
        elif isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list | tuple) and isinstance(part, int):
            value = value[part]
        else:
            return False
    return isinstance(value, str | int | float) and not isinstance(value, type(error["input"]))


def _yaml_path(error: Any, values: Json) -> tuple[YamlPath, tuple[tuple[YamlPath, str], ...]]:
    """Where an error sits in the YAML, and which branches of unions it went through: pydantic puts both in one `loc`."""
    path: list[str | int] = []
    branches: list[tuple[YamlPath, str]] = []
    value = values
    for index, part in enumerate(error["loc"]):
        last = index == len(error["loc"]) - 1
        if (isinstance(value, Mapping) and part in value) or (
            isinstance(value, list) and isinstance(part, int) and part < len(value)
        ):
            value = value[part]
            path.append(part)
        elif last and error["type"] == "missing":
            path.append(part)
        elif (name := _only_key(value)) is not None and part in value[name]:
            # a validator unfolded `{not_null: {columns: …}}` into one block
            value = value[name][part]
            path += [name, part]
        elif part != "[key]":
            branches.append((tuple(path), str(part)))
    return tuple(path), tuple(branches)


def _only_key(value: Json) -> str | None:
    """The key of a block that holds one other block and nothing else."""
    if isinstance(value, Mapping) and len(value) == 1:
        name, inner = next(iter(value.items()))
        return str(name) if isinstance(inner, Mapping) else None
    return None


def _one_branch(located: Sequence[_Located]) -> list[_Located]:
    """Of a union that no branch of fitted, keep the branch that was meant: the one whose errors lie deepest, then are fewest."""
    by_union: dict[YamlPath, dict[str, list[_Located]]] = {}
    kept: list[_Located] = []
    for item in located:
        branches = item[1][1]
        if branches:
            by_union.setdefault(branches[0][0], {}).setdefault(branches[0][1], []).append(item)
        else:
            kept.append(item)
    for prefix, branches_found in by_union.items():
        deeper = {
            name: items
            for name, items in branches_found.items()
            if all(len(item[1][0]) > len(prefix) for item in items)
        }
        if deeper:
            kept += sorted(deeper.values(), key=len)[0]
        else:
            kept += [item for items in branches_found.values() for item in items if len(item[1][0]) == len(prefix)]
    return kept


def _described(located: Sequence[_Located], model: type[BaseModel], label: str, suggest: Suggestions) -> list[Problem]:
    """One problem for each place; a union of types that all failed reads `a text or a list`."""
    by_path: dict[YamlPath, list[Any]] = {}
    for error, (path, _) in located:
        by_path.setdefault(path, []).append(error)
    return [
        _bad_name(problem, errors[0], label) if errors[0]["loc"][-1:] == ("[key]",) else problem
        for path, errors in by_path.items()
        for problem in [_describe(path, errors, model, label, suggest)]
    ]


def _bad_name(problem: Problem, error: Any, label: str) -> Problem:
    """A name that somebody gave, and that is wrong as such: what stands behind it may be right."""
    inside = dotted(label, problem.path[:-1])
    limit = _LIMITS.get(error["type"], "").format_map(error.get("ctx", {}))
    why = f"a name there is {limit}" if limit else problem.summary
    return replace(
        problem,
        summary=f"{shown(str(problem.path[-1]))} cannot be a name in {inside}",
        why=why,
        fix="rename it",
        at_key=True,
    )


def _describe(
    path: YamlPath, errors: Sequence[Any], model: type[BaseModel], label: str, suggest: Suggestions
) -> Problem:
    first = errors[0]
    kind, value = first["type"], first["input"]
    name, inside = str(path[-1]) if path else "", dotted(label, path[:-1])
    here = dotted(label, path)
    if kind == "extra_forbidden":
        known = sorted({field for owner in models_at(model, first["loc"][:-1]) for field in field_names(owner)})
        return Problem(
            path,
            "spec.unknown-field",
            f"unknown field {shown(name)} in {inside}",
            "there is no such field here; it is refused so that a typo cannot run with defaults",
            suggest(name, known),
            at_key=True,
        )
    if kind == "missing":
        return Problem(
            path[:-1],
            "spec.missing-field",
            f"{inside} needs the field {shown(name)}",
            "it has no default",
            f"add `{name}: …`",
            at_key=True,
        )
    if isinstance(value, str) and "${" in value:
        why = "its value must be known before anything runs; an expression may stand only in a text field"
        return Problem(
            path, "spec.expression-outside-text", f"{here} cannot be an expression", why, "write the value itself"
        )
    if kind in ("literal_error", "enum", "union_tag_invalid", "union_tag_not_found"):
        return _choice(path, first, here, suggest)
    if expected := " or ".join(dict.fromkeys(_expected(item) for item in errors if _expected(item))):
        return Problem(
            path,
            "spec.wrong-type",
            f"{here} takes {expected}",
            f"{found(value)} stands there",
            _type_fix(value, expected),
        )
    if kind in _LIMITS:
        return Problem(
            path,
            "spec.bad-value",
            f"{here} takes {_LIMITS[kind].format_map(first['ctx'])}",
            f"{_amount(kind, value)} stands there",
            "",
        )
    cause = first.get("ctx", {}).get("error")
    said = str(cause) if isinstance(cause, Exception) else first["msg"]
    return Problem(path, "spec.bad-value", f"{here}: {said}", f"{found(value)} stands there", "")


def _expected(error: Any) -> str:
    return _EXPECTED.get(error["type"], "")


def _choice(path: YamlPath, error: Any, here: str, suggest: Suggestions) -> Problem:
    """A value that is none of a fixed set, or a block whose `type` decides what else it may hold."""
    context, value = error.get("ctx", {}), error["input"]
    field = str(context.get("discriminator", "")).strip("'")
    if error["type"] == "union_tag_not_found":
        return Problem(
            path,
            "spec.missing-field",
            f"{here} needs the field {shown(field)}",
            "it decides which other fields the block has",
            f"add `{field}: …`",
            at_key=True,
        )
    if error["type"] == "union_tag_invalid":
        known, value, path, here = _names(context["expected_tags"]), context["tag"], (*path, field), f"{here}.{field}"
    else:
        known = _names(str(context["expected"]).replace(" or ", ", "))
    why = f"{found(value)} stands there"
    if isinstance(value, str):
        return Problem(
            path,
            "spec.bad-value",
            f"{here} cannot be {shown(value)}",
            f"it takes {joined(known)}",
            suggest(value, known),
        )
    return Problem(path, "spec.wrong-type", f"{here} takes {joined(known)}", why, "")


def _names(text: str) -> list[str]:
    return [item.strip().strip("'\"") for item in text.split(",")]


def _amount(kind: str, value: Any) -> str:
    if kind in ("too_short", "too_long") and isinstance(value, list | tuple | dict | set | frozenset):
        return f"{len(value)} of them"
    return found(value)


def _type_fix(value: Any, expected: str) -> str:
    if expected == "`true` or `false`" and isinstance(value, str):
        return {"yes": "write `true`", "on": "write `true`", "no": "write `false`", "off": "write `false`"}.get(
            value.lower(), ""
        )
    if "a text" in expected and isinstance(value, int | float):
        return "put quotes around it"
    if "number" in expected and isinstance(value, str):
        return "write a number, without quotes"
    return "write the item in brackets: `[…]`" if expected == "a list" and value is not None else ""


def dotted(label: str, path: Sequence[str | int]) -> str:
    """`training.churn.rules[0].min`; parts that are not words are cut when long."""
    return label + "".join(f"[{part}]" if isinstance(part, int) else f".{part[:60]}" for part in path)
