"""Ways to explain a score. Each is made for one model, and gives the parts of one row at a time.

`gradient` is integrated gradients, along a line from the mean of the background to the row, by Gauss's quadrature: unlike
DeepLIFT and sampled gradients it adds up whatever layers a network has, as far as the quadrature is exact. `tree` and
`permutation` are shap's.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mlctl.runtime.explain.explanation import IDENTITY, LOGIT, Explained
from mlctl.runtime.server.model import Model

_STEPS = 256
_SEED = 0
_ROUNDS = 10  # of permutations, each forth and back


class Method(Protocol):
    """Explains rows of one model."""

    name: str

    def explain(self, row: Sequence[Any], score: float) -> Explained:
        """The parts of a row's score. Raises whatever the model raises."""
        ...


class Gradient:
    """Of a network of torch: scores are its outputs, or their sigmoid."""

    name = "gradient"

    def __init__(
        self, module: Any, columns: Sequence[str], background: Sequence[Sequence[Any]], *, sigmoid: bool
    ) -> None:
        import torch

        self._torch, self._module, self._columns, self._sigmoid = torch, module, list(columns), sigmoid
        rows = np.asarray(background, dtype=np.float64)
        start = np.nanmean(rows, axis=0) if len(rows) else np.zeros(len(self._columns))
        self._start = np.nan_to_num(start)
        mean = getattr(module, "mean", None)  # what our own networks take a missing value for
        self._missing = self._start if mean is None else mean.detach().cpu().numpy().astype(np.float64)
        nodes, weights = np.polynomial.legendre.leggauss(_STEPS)
        self._nodes, self._weights = (nodes + 1) / 2, weights / 2

    def explain(self, row: Sequence[Any], score: float) -> Explained:
        """The gradients along the line, and what they come to."""
        torch = self._torch
        given = np.asarray([math.nan if value is None else value for value in row], dtype=np.float64)
        end = np.where(np.isfinite(given), given, self._missing)
        points = self._start + self._nodes[:, None] * (end - self._start)
        at = torch.tensor(points, dtype=torch.float32, requires_grad=True)
        out = self._out(at)
        out.sum().backward()
        slopes = (at.grad.numpy().astype(np.float64) * self._weights[:, None]).sum(axis=0)
        with torch.no_grad():
            base = float(self._out(torch.tensor(self._start[None], dtype=torch.float32))[0])
        parts = slopes * (end - self._start)
        return Explained(base, dict(zip(self._columns, map(float, parts), strict=True)))

    def _out(self, rows: Any) -> Any:
        out = self._module(rows)
        out = out.reshape(len(rows), -1)
        if out.shape[1] != 1:
            raise ValueError(f"the network has {out.shape[1]} outputs, and a score is one")
        return self._torch.sigmoid(out[:, 0]) if self._sigmoid else out[:, 0]


class Tree:
    """Of trees and ensembles of them, exactly."""

    name = "tree"

    def __init__(self, model: Any, columns: Sequence[str]) -> None:
        self._columns = list(columns)
        self._explainer = _shap().TreeExplainer(model)

    def explain(self, row: Sequence[Any], score: float) -> Explained:
        """Of a classifier, the parts of the class that is scored; in log-odds where its trees count in those."""
        given = np.asarray([[math.nan if value is None else value for value in row]], dtype=np.float64)
        values = np.asarray(self._explainer.shap_values(given, check_additivity=False), dtype=np.float64)
        bases = np.atleast_1d(np.asarray(self._explainer.expected_value, dtype=np.float64))
        parts = values.reshape(len(self._columns), -1)  # (1, features) or (1, features, outputs)
        found = [
            Explained(float(base), dict(zip(self._columns, map(float, parts[:, place]), strict=True)), link)
            for place, base in reversed(list(enumerate(bases[: parts.shape[1]])))  # of 0.5 and 0.5 it is the second
            for link in (IDENTITY, LOGIT)
        ]
        return min(found, key=lambda item: abs(item.sum - score))


class Permutation:
    """Of any model, by asking it: for small machines the dearest way, and the one that needs to know nothing."""

    name = "permutation"

    def __init__(
        self,
        score: Callable[[Sequence[Sequence[Any]]], Sequence[float]],
        columns: Sequence[str],
        background: Sequence[Sequence[Any]],
    ) -> None:
        self._shap, self._score, self._columns = _shap(), score, list(columns)
        self._background = [list(row) for row in background]

    def explain(self, row: Sequence[Any], score: float) -> Explained:
        """Columns of texts and flags go through shap as numbers that stand for their values."""
        known = [_codes([*(line[place] for line in self._background), row[place]]) for place in range(len(row))]

        def coded(line: Sequence[Any]) -> list[float]:
            return [_number(value, codes) for value, codes in zip(line, known, strict=True)]

        def asked(table: Any) -> Any:
            lines = [[_value(value, codes) for value, codes in zip(line, known, strict=True)] for line in table]
            return np.asarray(self._score(lines), dtype=np.float64)

        masker = self._shap.maskers.Independent(np.asarray([coded(line) for line in self._background]), max_samples=50)
        explainer = self._shap.PermutationExplainer(asked, masker, seed=_SEED)
        evaluations = (2 * len(row) + 1) * _ROUNDS
        found = explainer(np.asarray([coded(row)]), max_evals=evaluations, silent=True)
        values = dict(zip(self._columns, map(float, found.values[0]), strict=True))
        return Explained(float(np.ravel(found.base_values)[0]), values)


def choose(
    method: str, folder: Path, columns: Sequence[str], model: Model, background: Sequence[Sequence[Any]]
) -> Method:
    """The method that was asked for, or the best that the model can do. Raises ValueError when it cannot do what was asked."""
    import mlflow.pyfunc

    loaded = mlflow.pyfunc.load_model(str(folder))
    module, sigmoid = _network(loaded, model)
    if method == "gradient" or (method == "auto" and module is not None):
        if module is None:
            raise ValueError("the model is no network of torch that takes rows of numbers")
        return Gradient(module, columns, background, sigmoid=sigmoid)
    if method == "tree" or (method == "auto" and loaded.loader_module in _TREES):
        try:
            return Tree(_native(loaded, folder), columns)
        except Exception as error:  # shap raises its own for every model that it does not know
            if method == "tree":
                raise ValueError(f"the model has no trees that can be read: {error}") from None
    return Permutation(_asking(model), columns, background)


def _shap() -> Any:
    """Imported by name: it brings a compiler with it, and takes two seconds. Raises ValueError when it is not there."""
    try:
        return importlib.import_module("shap")
    except ImportError as error:
        raise ValueError(f"shap is not here ({error}): pip install 'mlctl[explain]'") from None


_TREES = ("mlflow.sklearn", "mlflow.xgboost", "mlflow.lightgbm")


def _network(loaded: Any, model: Model) -> tuple[Any, bool]:
    """The module, and whether the score is the sigmoid of what it gives."""
    owner: Any = getattr(getattr(loaded, "_predict_fn", None), "__self__", None)
    if hasattr(owner, "module") and hasattr(owner, "config"):  # made by our own training
        return owner.module, model.task == "binary"
    if loaded.loader_module == "mlflow.pytorch":
        return getattr(owner, "pytorch_model", None), False
    return None, False


def _native(loaded: Any, folder: Path) -> Any:
    if loaded.loader_module not in _TREES:
        raise ValueError(f"it was saved by {loaded.loader_module}")
    return importlib.import_module(loaded.loader_module).load_model(str(folder))


def _asking(model: Model) -> Callable[[Sequence[Sequence[Any]]], list[float]]:
    def scores(rows: Sequence[Sequence[Any]]) -> list[float]:
        return [single(output) for output in model.predict(rows)]

    return scores


def single(output: Any) -> float:
    """A score as one number: that of the second of two classes. Raises ValueError for what has none."""
    if isinstance(output, list) and len(output) == 2:
        return float(output[1])
    if isinstance(output, list | str):
        raise ValueError("the model gives a text or several scores, and only one number has parts")
    return float(output)


def _codes(values: Sequence[Any]) -> Mapping[Any, int] | None:
    """Numbers that stand for values which are none; None for a column of numbers."""
    if all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values):
        return None
    return {value: number for number, value in enumerate(dict.fromkeys(values))}


def _number(value: Any, codes: Mapping[Any, int] | None) -> float:
    if codes is not None:
        return float(codes[value])
    return math.nan if value is None else float(value)


def _value(number: float, codes: Mapping[Any, int] | None) -> Any:
    return number if codes is None else list(codes)[round(number)]
