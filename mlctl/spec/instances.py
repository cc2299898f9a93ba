"""`for_each` and `matrix`: one block that stands for several resources, each with a key."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from mlctl.spec.suggest import found, joined, shown
from mlctl.spec.validation import Problem, YamlPath
from mlctl.types.address import KEY
from mlctl.types.diagnostic import did_you_mean
from mlctl.types.value import Json

FIELDS = ("for_each", "matrix")
LIMIT = 1_000
KEY_LIMIT = 80
_LISTS = ("exclude", "include")  # of a matrix; all its other fields are dimensions
_Scalars = (str, int, float, bool)


@dataclass(frozen=True, slots=True)
class Instance:
    """One of the resources of a block: what `each.key`, `each.value` and `matrix` mean in its texts."""

    key: str
    value: Json = None
    matrix: Mapping[str, Json] = field(default_factory=dict)


class Refused(Exception):
    """A block that cannot be expanded, with the problem to tell."""

    def __init__(self, path: YamlPath, code: str, summary: str, why: str, fix: str, *, at_key: bool = False) -> None:
        super().__init__(summary)
        self.problem = Problem(path, code, summary, why, fix, at_key)


def several(name: str, keys: Collection[str]) -> tuple[str, str]:
    """Why a block with instances cannot be named as if it were one resource, and what helps."""
    some = list(keys)[:5]
    more = f" … {len(keys) - len(some)} more" if len(keys) > len(some) else ""
    return f"it has the keys {', '.join(f'`{key}`' for key in some)}{more}", f'name one: `{name}["{some[0]}"]`'


def written(value: Json) -> str:
    """A text, number or truth value as YAML writes it, the shortest way that reads back as the same."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return value if isinstance(value, str) else repr(value)


def of_each(value: Json, here: str) -> list[Instance]:
    """The instances of a `for_each` that is a list or a block. Raises Refused."""
    path: YamlPath = ("for_each",)
    if isinstance(value, Mapping):
        instances = [Instance(name, item) for name, item in value.items()]
    elif isinstance(value, list):
        instances = []
        for index, item in enumerate(value):
            if not isinstance(item, _Scalars):
                why = f"{found(item)} stands there, and a key is made from each"
                fix = "write a block, whose names are the keys: `for_each: {a: {...}, b: {...}}`"
                raise Refused((*path, index), "spec.bad-value", f"{here}.for_each takes a list of texts", why, fix)
            instances.append(Instance(written(item), item))
    else:
        why, fix = (
            f"{found(value)} stands there",
            "write, for example, `for_each: [eu, us]`, or `for_each: section.name`",
        )
        raise Refused(path, "spec.wrong-type", f"{here}.for_each takes a list or a block", why, fix)
    return _checked(instances, path, here)


def of_matrix(value: Json, here: str) -> list[Instance]:
    """The instances of a `matrix`: every combination, without what it excludes and with what it includes. Raises Refused."""
    path: YamlPath = ("matrix",)
    if not isinstance(value, Mapping):
        why, fix = f"{found(value)} stands there", "write, for example, `matrix: {lr: [0.1, 0.01], seed: [1, 2]}`"
        raise Refused(path, "spec.wrong-type", f"{here}.matrix takes a block of lists", why, fix)
    dimensions = {name: items for name, items in value.items() if name not in _LISTS}
    for name, items in dimensions.items():
        _dimension(name, items, here)
    if not dimensions:
        why, fix = "it has no dimension", "add one, for example `seed: [1, 2]`"
        raise Refused(path, "spec.empty", f"{here}.matrix is empty", why, fix)
    count = math.prod(len(items) for items in dimensions.values())
    if count > LIMIT:  # known without making them
        raise _too_many(count, path, here)
    combinations = [dict(zip(dimensions, items, strict=True)) for items in itertools.product(*dimensions.values())]
    for index, entry in enumerate(_entries(value, "exclude", here)):
        where = (*path, "exclude", index)
        _known_names(entry, dimensions, where, here)
        kept = [item for item in combinations if any(item[name] != part for name, part in entry.items())]
        if len(kept) == len(combinations):
            why, fix = "no combination has these values", "correct or remove it"
            raise Refused(where, "spec.no-effect", f"an entry of {here}.matrix.exclude leaves nothing out", why, fix)
        combinations = kept
    for index, entry in enumerate(_entries(value, "include", here)):
        where = (*path, "include", index)
        _known_names(entry, dimensions, where, here)
        if missing := [name for name in dimensions if name not in entry]:
            why, fix = f"it has no {joined(missing, 'and')}", "name a value for each dimension"
            raise Refused(where, "spec.missing-field", f"an entry of {here}.matrix.include is not whole", why, fix)
        combinations.append({name: entry[name] for name in dimensions})
    instances = [
        Instance(",".join(f"{name}={written(part)}" for name, part in item.items()), item, item)
        for item in combinations
    ]
    return _checked(instances, path, here)


def _dimension(name: str, items: Json, here: str) -> None:
    path: YamlPath = ("matrix", name)
    if not isinstance(items, list) or not all(isinstance(item, _Scalars) for item in items):
        standing = (
            next((item for item in items if not isinstance(item, _Scalars)), None) if isinstance(items, list) else items
        )
        fix = "write a list such as `[1, 2]`; for anything else use `for_each` with a block"
        summary = f"{here}.matrix.{name[:60]} takes a list of texts, numbers or truth values"
        raise Refused(path, "spec.wrong-type", summary, f"{found(standing)} stands there", fix)
    if not items:
        raise Refused(
            path, "spec.empty", f"{here}.matrix.{name[:60]} is empty", "there would be no instance", "add a value"
        )


def _entries(matrix: Mapping[str, Json], name: str, here: str) -> Sequence[Mapping[str, Json]]:
    entries = matrix.get(name, [])
    if not isinstance(entries, list) or not all(isinstance(item, Mapping) and item for item in entries):
        why, fix = "something else stands there", f"write, for example, `{name}: [{{lr: 0.1, seed: 2}}]`"
        raise Refused(("matrix", name), "spec.wrong-type", f"{here}.matrix.{name} takes a list of blocks", why, fix)
    return entries


def _known_names(entry: Mapping[str, Json], dimensions: Mapping[str, Json], where: YamlPath, here: str) -> None:
    for name in entry:
        if name not in dimensions:
            summary = f"{here}.matrix has no dimension {shown(name)}"
            fix = did_you_mean(name, dimensions)
            raise Refused((*where, name), "spec.unknown-field", summary, "it is named here", fix, at_key=True)


def _checked(instances: list[Instance], path: YamlPath, here: str) -> list[Instance]:
    """The instances when their number and keys are good. Raises Refused."""
    if not instances:
        why, fix = "there would be no instance", "add one, or remove the block"
        raise Refused(path, "spec.empty", f"{here}.{path[0]} is empty", why, fix)
    if len(instances) > LIMIT:
        raise _too_many(len(instances), path, here)
    seen: set[str] = set()
    for instance in instances:
        key = instance.key
        if len(key) > KEY_LIMIT or not KEY.fullmatch(key):
            why = f"a key has letters, digits and `_ . + : = , -`, {KEY_LIMIT} characters at most, since it names files"
            fix = "write a block, whose names are the keys: `for_each: {NAME: VALUE}`"
            raise Refused(path, "spec.bad-key", f"{shown(key)} cannot be the key of an instance of {here}", why, fix)
        if key in seen:
            summary = f"{here} has two instances with the key {shown(key)}"
            raise Refused(path, "spec.duplicate-key", summary, "a key names one instance", "remove one of the two")
        seen.add(key)
    return instances


def _too_many(count: int, path: YamlPath, here: str) -> Refused:
    why = f"a block may have {LIMIT:,}"
    return Refused(
        path, "spec.too-many", f"{here} would have {count:,} instances", why, "leave some out, or use several blocks"
    )
