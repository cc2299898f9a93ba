"""The model: a folder in MLflow format, loaded once, and called with batches of rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import torch
from mlflow.types import DataType

from mlctl.runtime.scoring.model import THRESHOLD, task_of
from mlctl.runtime.server.payload import Kind
from mlctl.types.diagnostic import MlctlError

Output = float | int | str | bool | list[float]
Call = Callable[[Sequence[Sequence[Any]]], Any]

# What a column of the signature is: to a request, and to the table that the model is given.
_TYPES: dict[DataType, tuple[Kind, str]] = {
    DataType.double: ("number", "float64"), DataType.float: ("number", "float32"), DataType.long: ("integer", "int64"),
    DataType.integer: ("integer", "int32"), DataType.boolean: ("boolean", "bool"), DataType.string: ("string", "object"),
}  # fmt: skip
_PLAIN: tuple[Kind, str] = ("number", "float64")


class Model:
    """A loaded model: `kinds` says which of its columns are no plain numbers, `task` what it was trained for, if it says so."""

    def __init__(self, call: Call, kinds: Mapping[str, Kind], task: str | None, way: str) -> None:
        self.kinds = dict(kinds)
        self.task = task
        self.way = way  # how it is called, for the log
        self._call = call

    def predict(self, rows: Sequence[Sequence[Any]]) -> list[Output]:
        """One output for each row of values in the order of the columns, NaN for a missing number. Raises what the model raises."""
        return _outputs(self._call(rows), len(rows))

    def decide(self, output: Output) -> Output:
        """The class of a binary model's probability, the likeliest class of several; of any other model, its output."""
        if self.task == "binary" and isinstance(output, float):
            return int(output >= THRESHOLD)
        if self.task == "multiclass" and isinstance(output, list):
            return max(range(len(output)), key=output.__getitem__)
        return output


def load(folder: Path, columns: Sequence[str]) -> Model:
    """Load a model and make its first prediction. Raises MlctlError `deploy.bad-model` and others of its kind."""
    torch.set_num_threads(1)  # batches are small; more threads only get in each other's way
    try:
        loaded = mlflow.pyfunc.load_model(str(folder))
        kinds, types = _columns(loaded, columns)
        probe = _probe(loaded, types)
        way, call = _way(loaded, columns, types, probe)
        model = Model(call, kinds, task_of(loaded.metadata, folder), way)
        if probe:
            model.predict(probe[:1])
    except MlctlError:
        raise
    except Exception as error:  # a model's code may raise anything
        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            raise MlctlError.of(
                "deploy.out-of-memory",
                f"there is not enough memory to load the model in {folder}",
                f"{type(error).__name__}: {error}",
                "stop something, or serve it on a larger machine; each of `workers` loads a copy",
            ) from error
        raise MlctlError.of(
            "deploy.bad-model",
            f"the model in {folder} does not work: {type(error).__name__}: {error}",
            "it is loaded and asked for one prediction before any client is",
            "see the log of the server",
        ) from error
    return model


def _columns(loaded: Any, columns: Sequence[str]) -> tuple[dict[str, Kind], dict[str, str]]:
    """Of each column: its kind when it is no plain number, and its type in a table. Without a signature all are numbers."""
    schema = loaded.metadata.get_input_schema()
    if schema is None or schema.is_tensor_spec():
        return {}, dict.fromkeys(columns, "float64")
    named = {spec.name: spec for spec in schema.inputs}
    kinds: dict[str, Kind] = {}
    types: dict[str, str] = {}
    for name in columns:
        spec: Any = named.get(name)
        found = _PLAIN if spec is None else _TYPES.get(spec.type)
        if found is None:
            raise MlctlError.of(
                "deploy.unsupported-signature",
                f"the model's column `{name}` is of type {spec.type}",
                "a request is JSON: it can bring numbers, whole numbers, true and false, and texts",
                "wrap the model so that it takes one of these",
            )
        kind, types[name] = found
        if kind != "number":
            kinds[name] = kind
    return kinds, types


def _way(
    loaded: Any, columns: Sequence[str], types: Mapping[str, str], probe: Sequence[Sequence[Any]]
) -> tuple[str, Call]:
    """The cheapest way to call the model that gives what `mlflow.pyfunc` gives, for a few rows.

    MLflow checks a table against the signature at each call, which is 0.2 ms for a batch whatever its size. Requests were
    checked against it already, field by field. A network needs no table at all.
    """
    order = list(columns)
    schema = loaded.metadata.get_input_schema()
    if schema is not None and schema.is_tensor_spec():
        kind = schema.inputs[0].type
        return "pyfunc", lambda rows: loaded.predict(np.asarray(rows, dtype=kind))
    numbers = set(types.values()) <= {"float64", "float32"}

    def table(rows: Sequence[Sequence[Any]]) -> Any:
        if numbers and "float32" not in types.values():
            return pd.DataFrame(np.asarray(rows, dtype=np.float64), columns=order)
        values = zip(*rows, strict=True)
        made = {name: pd.Series(list(column), dtype=types[name]) for name, column in zip(order, values, strict=True)}
        return pd.DataFrame(made)

    def whole(rows: Sequence[Sequence[Any]]) -> Any:
        return loaded.predict(table(rows))

    plain = getattr(loaded, "_predict_fn", None)
    if plain is None or not probe:
        return "pyfunc", whole
    ways: list[tuple[str, Call]] = [("without the signature's check", lambda rows: plain(table(rows)))]
    owner = getattr(plain, "__self__", None)
    if numbers and loaded.loader_module == "mlflow.pytorch":
        ways.insert(0, ("as an array", lambda rows: plain(np.asarray(rows, dtype=np.float32))))
    elif numbers and getattr(owner, "columns", None) == order and hasattr(owner, "module"):  # made by our own training
        ways.insert(0, ("as an array", lambda rows: plain(np.asarray(rows, dtype=np.float64))))
    wanted = _outputs(whole(probe), len(probe))
    for name, call in ways:
        try:
            if _equal(_outputs(call(probe), len(probe)), wanted):
                return name, call
        except Exception:  # noqa: S112  # a model that cannot be called so is called the other way
            continue
    return "pyfunc", whole


def _equal(one: Sequence[Output], two: Sequence[Output]) -> bool:
    """Whether outputs are the same, but for what the order of a sum in float32 decides."""
    if all(isinstance(value, str) for value in (*one, *two)):
        return list(one) == list(two)
    return np.allclose(np.asarray(one), np.asarray(two), rtol=1e-5, atol=1e-6, equal_nan=True)


def _probe(loaded: Any, types: Mapping[str, str]) -> list[list[Any]]:
    """Rows to try the model with: those of its own example, or of some numbers, the first of zeros.

    None for a model with columns of texts and no example: most know a few words only, and fail for any other.
    """
    example = loaded.input_example
    if isinstance(example, pd.DataFrame) and set(types) <= set(example.columns):
        return [list(row) for row in example[list(types)].head(5).itertuples(index=False)]
    if "object" in types.values():
        return []
    rows = []
    for row in range(5):
        values = [((row * 7 + place * 3) % 11 - 5) * 0.5 if row else 0.0 for place in range(len(types))]
        rows.append([_MADE.get(kind, float)(value) for kind, value in zip(types.values(), values, strict=True)])
    return rows


_MADE: dict[str, Callable[[float], Any]] = {"bool": bool, "int32": int, "int64": int}


def _outputs(made: Any, count: int) -> list[Output]:
    """What a model gave, as one plain value for each row. Raises ValueError for what is no row's."""
    if isinstance(made, torch.Tensor):
        made = made.detach().cpu()
    values = np.asarray(made)
    if values.ndim == 0 or len(values) != count or values.ndim > 2:
        raise ValueError(
            f"the model gave an output of shape {values.shape} for {count} rows; it must give one for each row"
        )
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.dtype.kind == "f":
        plain: list[Output] = values.astype(np.float64).tolist()
        return plain
    if values.ndim == 1 and values.dtype.kind in "biuUO":
        found: list[Output] = values.tolist()
        if all(isinstance(value, str | int | float) for value in found):
            return found
    if values.ndim == 2 and values.dtype.kind in "biu":
        rows: list[Output] = values.astype(np.float64).tolist()
        return rows
    raise ValueError(
        f"the model gave {values.dtype} of shape {values.shape}; it must give numbers or texts, one for each row"
    )
