"""ONNX files of real models, held against their source by real ONNX Runtime."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from mlctl.provider import Desired
from mlctl.providers.onnx.export import Export
from mlctl.testing.harness import make_desired, make_record
from mlctl.types.diagnostic import MlctlError
from tests.integration.batch.conftest import models, project  # noqa: F401
from tests.integration.batch.project import BatchProject, shop_rows
from tests.integration.serving.project import expected

pytestmark = pytest.mark.tools
KIND = Export()


def desired(project: BatchProject, model: str = "one", **block: Any) -> Desired:  # noqa: F811
    made = [{**row, "label": int(row["id"] % 3 == 0)} for row in shop_rows(200)]
    inputs = {"datasets.shops": project.dataset(made), "evaluations.gate": project.evaluation(model=model)}
    values = {"model": "shops@champion", "format": "onnx", "dataset": "shops", "require": {"max_abs": 1e-5}, **block}
    return make_desired(KIND, "exports.edge", values, project.ctx, inputs)


def test_an_export_gives_what_its_source_gives_for_any_number_of_rows_and_missing_values(project: BatchProject) -> None:  # noqa: F811
    import numpy as np

    from mlctl.runtime.export.onnx_file import OnnxModel

    asked = desired(
        project, require={"max_abs": 1e-5, "agreement": "100%", "drop": {"roc_auc": 0.0001}}, target="label", rows=150
    )
    record = make_record(asked, KIND.apply(asked, None, project.ctx))
    assert record.gate is not None
    assert record.gate.passed, record.gate
    file = project.root / str(record.outputs["file"])
    assert file.stat().st_size == record.outputs["bytes"]
    rows = [(2.0, 4), (None, 2), (-7.5, 0)]
    table = np.array([[np.nan if amount is None else amount, visits] for amount, visits in rows])
    wanted = [expected("one", amount, visits) for amount, visits in rows]
    model = OnnxModel(file)
    assert model.scores(table).tolist() == pytest.approx(wanted, abs=1e-6)
    assert model.scores(table[1:2]).tolist() == pytest.approx(wanted[1:2], abs=1e-6)
    report = json.loads(file.with_name("export.json").read_text())
    assert report["rows"] == 100  # every second row: spread over the dataset, and not its beginning
    assert report["metrics"]["source"]["roc_auc"] == pytest.approx(report["metrics"]["export"]["roc_auc"], abs=1e-4)
    assert 0 < report["latency"]["export"]["p50_ms"] <= report["latency"]["export"]["p99_ms"]
    assert "shops version 1 as onnx, 100 rows of shops" in (project.root / str(record.outputs["report"])).read_text()
    assert KIND.read(record, project.ctx) is not None
    file.unlink()
    assert KIND.read(record, project.ctx) is None
    again = KIND.apply(asked, record, project.ctx)
    assert again.outputs["digest"] == record.outputs["digest"]
    KIND.delete(record, project.ctx)
    assert not file.parent.exists()


def test_what_is_no_module_of_torch_is_refused(project: BatchProject) -> None:  # noqa: F811
    asked = desired(project, model="two")
    with pytest.raises(MlctlError) as caught:
        KIND.apply(asked, None, project.ctx)
    assert caught.value.diagnostics[0].code == "export.not-torch"


@pytest.fixture
def mlp(tmp_path: Path) -> Path:
    """A module of two layers, saved as a model."""
    import mlflow.pytorch
    import torch

    torch.manual_seed(1)
    network = torch.nn.Sequential(torch.nn.Linear(4, 64), torch.nn.ReLU(), torch.nn.Linear(64, 1), torch.nn.Sigmoid())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's, about pickles
        mlflow.pytorch.save_model(network, tmp_path / "mlp", serialization_format="pickle", pip_requirements=[])
    return tmp_path / "mlp"


def test_weights_of_eight_bits_are_smaller_and_further_away_and_the_gate_sees_it(mlp: Path, tmp_path: Path) -> None:
    import numpy as np

    from mlctl.runtime.export.figures import compare, judge
    from mlctl.runtime.export.onnx_file import OnnxModel, write_int8, write_onnx
    from mlctl.runtime.scoring.model import load
    from mlctl.types.jobs.export import Limits

    plain, small = tmp_path / "model.onnx", tmp_path / "model.int8.onnx"
    write_onnx(mlp, 4, plain)
    write_int8(plain, small)
    table = np.random.default_rng(0).normal(size=(500, 4))
    source = load(mlp, ["a", "b", "c", "d"])
    apart = [
        compare(source.scores(table), OnnxModel(file).scores(table), True, source.decide) for file in (plain, small)
    ]
    assert apart[0]["max_abs"] < 1e-6 < apart[1]["max_abs"] < 0.05
    assert judge(Limits(max_abs=1e-6), 500, apart[0], {}).passed
    failed = judge(Limits(max_abs=1e-6), 500, apart[1], {})
    assert not failed.passed
    assert "at most 1e-06 is asked for" in failed.summary
