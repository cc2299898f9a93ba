"""From the body of a prediction request to what is asked for, or to an answer that names the field that is wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from mlctl.types.diagnostic import did_you_mean
from mlctl.types.jobs.server import ServedFeatures

Key = int | str
Values = Mapping[str, float | None]

MAX_ROWS = 1000
_KEY_LIMITS = (-(2**63), 2**63 - 1)


@dataclass
class Refused(Exception):
    """A request that gets no prediction: the HTTP status, a code, what is wrong, and where in the body."""

    status: int
    code: str
    message: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request wants predicted: rows given as features, or keys whose features are to be looked up (`values` is None)."""

    keys: Sequence[Key | None]
    values: Sequence[Values] | None


def parse(body: bytes, serving: ServedFeatures) -> Asked:
    """Read `{"household_id": 1}`, `{"keys": [1, 2]}` or `{"instances": [{feature: value}]}`. Raises Refused."""
    try:
        payload = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Refused(422, "predict.not-json", f"the body is not JSON: {error}", "body") from None
    if not isinstance(payload, dict):
        raise Refused(422, "predict.not-an-object", "the body is not a JSON object", "body")
    known = [
        "instances",
        *(["keys", serving.join_key] if serving.store is not None and serving.join_key is not None else []),
    ]
    for name in payload:
        if name not in known:
            hint = did_you_mean(name, known)
            raise Refused(422, "predict.unknown-field", f"unknown field `{name}`; {hint}", name)
    if len(payload) != 1:
        raise Refused(
            422,
            "predict.ambiguous",
            f"the body has one field out of {', '.join(known)}; this one has {len(payload)}",
            "body",
        )
    [(name, value)] = payload.items()
    if name == "instances":
        return _instances(value, serving)
    if name == serving.join_key:
        return Asked([_key(value, name)], None)
    return Asked([_key(item, f"keys[{index}]") for index, item in enumerate(_list(value, name))], None)


def _instances(value: Any, serving: ServedFeatures) -> Asked:
    keys: list[Key | None] = []
    rows: list[Values] = []
    for index, instance in enumerate(_list(value, "instances")):
        where = f"instances[{index}]"
        if not isinstance(instance, dict):
            raise Refused(422, "predict.bad-instance", f"{where} is not an object of features", where)
        join_key = serving.join_key
        with_key = join_key is not None and join_key in instance and join_key not in serving.columns
        for name in instance:
            if name not in serving.columns and not (with_key and name == join_key):
                raise Refused(
                    422,
                    "predict.unknown-feature",
                    f"the model has no feature `{name}`; {did_you_mean(name, serving.columns)}",
                    f"{where}.{name}",
                )
        for name in serving.columns:
            if name not in instance:
                raise Refused(
                    422,
                    "predict.missing-feature",
                    f"{where} lacks the feature `{name}`; write null for a value that is not known",
                    f"{where}.{name}",
                )
        keys.append(_key(instance[join_key], f"{where}.{join_key}") if with_key and join_key is not None else None)
        rows.append({name: _number(instance[name], f"{where}.{name}") for name in serving.columns})
    return Asked(keys, rows)


def _list(value: Any, field: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise Refused(422, "predict.bad-list", f"`{field}` is not a list with at least one item", field)
    if len(value) > MAX_ROWS:
        raise Refused(
            422, "predict.too-many", f"`{field}` has {len(value)} items; a request may have {MAX_ROWS}", field
        )
    return value


def _key(value: Any, field: str) -> Key:
    if isinstance(value, str) or (
        isinstance(value, int) and not isinstance(value, bool) and _KEY_LIMITS[0] <= value <= _KEY_LIMITS[1]
    ):
        return value
    raise Refused(422, "predict.bad-key", f"`{field}` is not a key; a key is a 64-bit whole number or a text", field)


def _number(value: Any, field: str) -> float | None:
    """A feature as the model takes it: all are numbers; true and false are 1 and 0."""
    if value is None:
        return None
    if isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise Refused(422, "predict.bad-value", f"`{field}` is not a finite number", field)


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON value")
