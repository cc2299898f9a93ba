"""ONNX files of models of rows: raw features in (float32, NaN where one is missing), scores out, for any number of rows."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mlctl.runtime.trainer.tabular.model import CONFIG_FILE, RawFeatures, Served
from mlctl.types.diagnostic import MlctlError

INPUT, OUTPUT = "features", "score"
_TRIAL_ROWS = 3


def write_onnx(folder: Path, columns: int, file: Path) -> None:
    """Export the torch module of a model in MLflow format. Raises MlctlError for one that has none, or that cannot be exported."""
    import torch

    graph = _graph(folder).eval()
    given = torch.zeros((_TRIAL_ROWS, columns))
    beside = file.with_name(f".{file.name}.new")
    try:
        with _quiet():
            program: Any = torch.onnx.export(
                graph, (given,), dynamo=True, input_names=[INPUT], output_names=[OUTPUT],
                dynamic_shapes={"rows": {0: torch.export.Dim.DYNAMIC}}, verbose=False,
            )  # fmt: skip
            program.save(str(beside), external_data=False)
    except Exception as error:  # the exporter raises what it meets in a model's code
        raise MlctlError.of(
            "export.not-exportable",
            f"the model in {folder} cannot be written as ONNX",
            str(error).strip().splitlines()[0][:400] if str(error).strip() else type(error).__name__,
            "take what depends on the values of tensors (branches, shapes) out of the model's code; see the log",
        ) from error
    os.replace(beside, file)


def write_int8(source: Path, file: Path) -> None:
    """The same graph with weights of 8 bits, and activations that are rounded as they come. Raises MlctlError where there is nothing to round."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    beside = file.with_name(f".{file.name}.new")
    with _quiet():
        quantize_dynamic(str(source), str(beside), weight_type=QuantType.QInt8)
    import onnx

    if not any("Integer" in node.op_type or "QLinear" in node.op_type for node in onnx.load(str(beside)).graph.node):
        beside.unlink()
        raise MlctlError.of(
            "export.nothing-to-round",
            "no part of the model can work with 8 bits",
            "only products of matrices do",
            "use `format: onnx`",
        )
    os.replace(beside, file)


class OnnxModel:
    """A file as a small machine runs it: ONNX Runtime, one thread."""

    def __init__(self, file: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def scores(self, table: Any) -> Any:
        """The scores of float64 (rows, columns)."""
        with np.errstate(over="ignore"):
            given = np.asarray(table, dtype=np.float64).astype(np.float32)
        given = np.where(np.isfinite(given), given, np.float32(np.nan))
        return np.asarray(self._session.run([OUTPUT], {INPUT: given})[0], dtype=np.float64).reshape(-1)


def _graph(folder: Path) -> Any:
    """What is exported: the module as it is served, with its own preprocessing, from rows to scores."""
    import mlflow.models
    import torch
    from torch import nn

    flavors = mlflow.models.Model.load(str(folder)).flavors
    inside = folder / str(flavors.get("python_function", {}).get("data"))

    class Scores(nn.Module):  # type: ignore[misc]  # torch is not typed here
        """A module of torch, by its own output."""

        def __init__(self, module: Any, binary: bool) -> None:
            super().__init__()
            self.module, self.binary = module, binary

        def forward(self, rows: Any) -> Any:
            """Scores, shape (rows,)."""
            if not isinstance(self.module, RawFeatures):
                return self.module(rows).float().reshape(-1)
            # RawFeatures.forward without its look at the shape, which would fix the number of rows
            part = self.module
            standard = torch.nan_to_num((rows - part.mean) / part.std, nan=0.0)
            out = part.network(standard).float().reshape(-1) * part.scale + part.offset
            return torch.sigmoid(out) if self.binary else out

    if (inside / CONFIG_FILE).is_file():
        served = Served(inside)
        return Scores(served.module, served.config["task"] == "binary")
    if "pytorch" in flavors:
        import mlflow.pytorch

        return Scores(mlflow.pytorch.load_model(str(folder), map_location="cpu"), False)
    raise MlctlError.of(
        "export.not-torch",
        f"the model in {folder} is not a module of torch",
        f"it is saved as {', '.join(sorted(flavors))}",
        "ONNX is written of what trainings with torch make",
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns of packages that it could use, and the quantizer of steps that would change nothing here."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
