"""A real training on a table with a leak, an imbalance and keys that repeat: its outputs and its line of status say so."""

from pathlib import Path

import pytest

from mlctl.providers.torch.training import Training
from mlctl.testing.harness import apply_once, make_context
from tests.integration.data.helpers import dataset

pytestmark = [pytest.mark.tools, pytest.mark.soak]


def test_a_leak_is_told_with_the_model(tmp_path: Path) -> None:
    ctx = make_context(tmp_path)
    (tmp_path / "z.csv").write_text(
        "id,noise,reason,y\n"
        + "".join(f"{i // 2},{i * 37 % 11},{9 * (i % 8 == 0):d},{i % 8 == 0:d}\n" for i in range(400))
    )
    made = dataset(ctx, "z", path="z.csv", key=["id"])
    values = {
        "data": {"labels": "z", "target": "y", "split": {"by": "random"}}, "model": {"type": "mlp", "hidden": []}, "epochs": 1,
        "batch_size": 400, "optimizer": {"type": "sgd", "lr": 1e-6},
    }  # fmt: skip
    trained = apply_once(Training(), "training.m", values, ctx, {"datasets.z": made})
    found = trained.outputs["warnings"]
    assert isinstance(found, list)
    assert "target leakage: `reason`" in [item["short"] for item in found]
    assert any(item["code"] == "repeated-keys" for item in found)
    assert "! target leakage: `reason`" in Training().describe(trained)
    assert "(base rate 0." in Training().describe(trained)
