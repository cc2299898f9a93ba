"""From the body of a prediction request to what is asked for, or to an answer that names the field that is wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from mlctl.types.diagnostic import did_you_mean
from mlctl.types.jobs.features import FeatureType, Key, KeyValue
from mlctl.types.jobs.server import ServedFeatures

KeyRow = Mapping[str, KeyValue]
Values = Mapping[str, float | None]
Row = Mapping[str, float | int | str | bool | None]  # features as a model takes them
Kind = Literal["number", "integer", "boolean", "string"]  # of a column, by the model's signature

MAX_ROWS = 1000
_KEY_LIMITS = (-(2**63), 2**63 - 1)
_EXACT_LIMIT = 2**53  # a number of JSON is a double; a whole number beyond may be another


@dataclass
class Refused(Exception):
    """A request that gets no prediction: the HTTP status, a code, what is wrong, and where in the body."""

    status: int
    code: str
    message: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request wants predicted: rows given as features (`values`), or keys whose features are to be looked up.

    `keys` has the key columns of each row, None where features came without. `request` has what each row brings for
    transformations; it is empty when features are given. Values stand in the order of the model's columns.
    """

    keys: Sequence[KeyRow | None]
    values: Sequence[Row] | None
    request: Sequence[Values] = ()


class Fields:
    """The fields that a row of a request has, for one model: its key columns, and what its transformations read of it."""

    def __init__(self, serving: ServedFeatures) -> None:
        self.keys: dict[str, Key] = {key.name: key for key in serving.keys if serving.views}
        self.request: dict[str, FeatureType] = {
            name: kind for item in serving.transformations for name, kind in item.request.items()
        }
        self.columns = serving.columns

    @property
    def names(self) -> list[str]:
        """All of them."""
        return [*self.keys, *self.request]

    def row(self, given: Mapping[str, Any], where: str) -> tuple[KeyRow, Values]:
        """The keys and the request values of a row. Raises Refused."""
        for name in given:
            if name not in self.keys and name not in self.request:
                hint = did_you_mean(name, self.names)
                raise Refused(422, "predict.unknown-field", f"unknown field `{name}`; {hint}", _place(where, name))
        for name in self.names:
            if name not in given:
                note = "; write null for a value that is not known" if name in self.request else ""
                raise Refused(
                    422, "predict.missing-field", f"{where or 'the body'} lacks `{name}`{note}", _place(where, name)
                )
        keys = {name: _key(given[name], key, _place(where, name)) for name, key in self.keys.items()}
        return keys, {name: _typed(given[name], kind, _place(where, name)) for name, kind in self.request.items()}


class Reader:
    """Reads requests for one model. `kinds` are those of the columns that are no plain numbers."""

    def __init__(self, serving: ServedFeatures, kinds: Mapping[str, Kind] | None = None) -> None:
        self._fields = Fields(serving)
        self._columns = list(serving.columns)
        self._kinds = dict(kinds or {})
        self._exactly = frozenset(self._columns)
        named = self._fields.names
        self._lists = ["instances", *(["keys"] if named else [])]
        self._known = [*self._lists, *named]
        self._chosen = [name for name in self._lists if name not in named]

    def read(self, body: bytes) -> Asked:
        """Read a request. Raises Refused.

        `{"household_id": 1}` and, for a key of several columns or a model with transformations, `{"household_id": 1,
        "product_id": 2, "basket_value": 9.5}` are one row. `{"keys": [...]}` has several such rows; where a row is one key
        alone, it may stand for itself: `{"keys": [1, 2]}`. `{"instances": [{feature: value}]}` has the features themselves.
        """
        try:
            payload = _DECODER.decode(body.decode())
        except (ValueError, RecursionError) as error:
            raise Refused(422, "predict.not-json", f"the body is not JSON: {error}", "body") from None
        if not isinstance(payload, dict):
            raise Refused(422, "predict.not-an-object", "the body is not a JSON object", "body")
        fields = self._fields
        chosen = [name for name in self._chosen if name in payload]
        if chosen and len(payload) == 1:
            items = _list(payload[chosen[0]], chosen[0])
            return self._instances(items) if chosen[0] == "instances" else _rows(items, fields)
        for name in payload:
            if name not in self._known:
                hint = did_you_mean(name, self._known)
                raise Refused(422, "predict.unknown-field", f"unknown field `{name}`; {hint}", name)
        if chosen or not payload:
            one = [" and ".join(fields.names)] if fields.names else []
            forms = " or ".join([*(f"`{name}`" for name in self._lists), *one])
            raise Refused(422, "predict.ambiguous", f"the body has {forms}; this one has {len(payload)} fields", "body")
        keys, request = fields.row(payload, "")
        return Asked([keys], None, [request])

    def _instances(self, items: list[Any]) -> Asked:
        keys: list[KeyRow | None] = []
        rows: list[Row] = []
        for index, instance in enumerate(items):
            row = self._plain(instance)
            if row is not None:
                keys.append(None)
                rows.append(row)
                continue
            where = f"instances[{index}]"
            found = self._given(instance, where)
            keys.append(found)
            rows.append({name: self._value(instance[name], name, where) for name in self._columns})
        return Asked(keys, rows)

    def _plain(self, instance: Any) -> Row | None:
        """The commonest case at a tenth of the cost: exactly the columns, and all of them finite numbers. Else None."""
        if type(instance) is not dict or self._kinds or instance.keys() != self._exactly:
            return None
        values = [instance[name] for name in self._columns]
        try:
            if not _NUMBERS.issuperset(map(type, values)) or not math.isfinite(sum(values)):
                return None
            return dict(zip(self._columns, map(float, values), strict=True))
        except OverflowError:
            return None

    def _given(self, instance: Any, where: str) -> KeyRow | None:
        """The keys that came with the features of a row. Raises Refused for a field too many or too few."""
        if not isinstance(instance, dict):
            raise Refused(422, "predict.bad-instance", f"{where} is not an object of features", where)
        fields, columns = self._fields, self._columns
        named = [name for name in fields.keys if name not in self._exactly]
        keyed = bool(named) and all(name in instance for name in named)
        for name in instance:
            if name not in self._exactly and not (keyed and name in named):
                raise Refused(
                    422,
                    "predict.unknown-feature",
                    f"the model has no feature `{name}`; {did_you_mean(name, columns)}",
                    f"{where}.{name}",
                )
        for name in columns:
            if name not in instance:
                raise Refused(
                    422,
                    "predict.missing-feature",
                    f"{where} lacks the feature `{name}`; write null for a value that is not known",
                    f"{where}.{name}",
                )
        return {name: _key(instance[name], fields.keys[name], f"{where}.{name}") for name in named} if keyed else None

    def _value(self, value: Any, name: str, where: str) -> float | int | str | bool | None:
        kind = self._kinds.get(name, "number")
        return number(value, f"{where}.{name}") if kind == "number" else _of_kind(value, kind, f"{where}.{name}")


def _rows(items: list[Any], fields: Fields) -> Asked:
    rows = []
    for index, item in enumerate(items):
        where = f"keys[{index}]"
        if isinstance(item, dict):
            rows.append(fields.row(item, where))
        elif len(fields.names) == 1 and fields.keys:
            [(name, key)] = fields.keys.items()
            rows.append(({name: _key(item, key, where)}, {}))
        else:
            names = ", ".join(fields.names)
            raise Refused(422, "predict.bad-key", f"`{where}` is not an object with the fields {names}", where)
    return Asked([keys for keys, _ in rows], None, [request for _, request in rows])


def _place(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _list(value: Any, field: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise Refused(422, "predict.bad-list", f"`{field}` is not a list with at least one item", field)
    if len(value) > MAX_ROWS:
        raise Refused(
            422, "predict.too-many", f"`{field}` has {len(value)} items; a request may have {MAX_ROWS}", field
        )
    return value


def _key(value: Any, key: Key, field: str) -> KeyValue:
    if key.type == "string" and isinstance(value, str):
        return value
    whole = isinstance(value, int) and not isinstance(value, bool)
    if key.type == "int64" and whole and _KEY_LIMITS[0] <= value <= _KEY_LIMITS[1]:
        return int(value)
    wanted = "a 64-bit whole number" if key.type == "int64" else "a text"
    raise Refused(422, "predict.bad-key", f"`{field}` is not a key; `{key.name}` is {wanted}", field)


def _typed(value: Any, kind: FeatureType, field: str) -> float | None:
    """A value for a transformation. A whole number is one; rounding to float32 is done where transformations are applied."""
    found = number(value, field)
    if kind == "int64" and found is not None and (found != math.floor(found) or abs(found) > _EXACT_LIMIT):
        raise Refused(422, "predict.bad-value", f"`{field}` is not a whole number up to 2^53", field)
    return found


def number(value: Any, field: str) -> float | None:
    """A feature as most models take it: true and false are 1 and 0. Raises Refused."""
    if value is None:
        return None
    if isinstance(value, int | float):
        try:
            found = float(value)
        except OverflowError:
            found = math.inf
        if math.isfinite(found):
            return found
    raise Refused(422, "predict.bad-value", f"`{field}` is not a finite number", field)


def _of_kind(value: Any, kind: Kind, field: str) -> int | str | bool | None:
    """A feature whose column is no plain number. Only a text may be missing: a column of whole numbers holds nothing else."""
    if kind == "string" and (value is None or isinstance(value, str)):
        return value
    if kind == "boolean" and isinstance(value, bool):
        return value
    whole = kind == "integer" and isinstance(value, int | float) and not isinstance(value, bool)
    if whole and _KEY_LIMITS[0] <= value <= _KEY_LIMITS[1] and value == math.floor(value):
        return int(value)
    raise Refused(422, "predict.bad-value", f"`{field}` is not {_WORDS[kind]}", field)


_WORDS = {"number": "a number", "integer": "a whole number", "boolean": "true or false", "string": "a text"}


def refuse_constant(text: str) -> NoReturn:
    """Python's reader would take `NaN` and `Infinity`, which JSON does not have. Raises ValueError."""
    raise ValueError(f"{text} is not a JSON value")


_DECODER = json.JSONDecoder(parse_constant=refuse_constant)  # made once: making one takes longer than a short body
_NUMBERS = frozenset({int, float, bool})
