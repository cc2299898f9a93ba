"""Checks of the parts that need torch, numpy or scikit-learn; run in a process of its own by test_parts.py."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np


def checkpoints() -> None:
    import torch

    from mlctl.runtime.trainer import checkpoint

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "checkpoints"
        assert checkpoint.newest(folder) is None
        for step in (10, 20, 30):
            content: dict[str, Any] = {
                "model": {"w": torch.full((500,), float(step))},
                "step": step,
                "sums": [(0.5, 3)],
            }
            checkpoint.save(folder, content, step=step, total=30, epoch=0, keep=2)
        assert sorted(path.name for path in folder.iterdir()) == [
            f"step-{step:010d}.{kind}" for step in (20, 30) for kind in ("json", "pt")
        ]
        assert found_step(folder) == 30
        newest = folder / "step-0000000030.pt"
        data = bytearray(newest.read_bytes())
        data[len(data) // 2] ^= 1  # one flipped bit, which torch itself would load
        newest.write_bytes(data)
        assert found_step(folder) == 20
        newest.with_suffix(".json").unlink()  # killed between the two files
        assert found_step(folder) == 20
        (folder / "step-0000000020.pt").write_bytes(b"")
        assert checkpoint.newest(folder) is None


def found_step(folder: Path) -> int:
    from mlctl.runtime.trainer import checkpoint

    newest = checkpoint.newest(folder)
    assert newest is not None
    return int(checkpoint.load(newest)["step"])


def metrics() -> None:
    from sklearn import metrics as reference

    from mlctl.runtime.evaluate.metrics import score_metrics

    draw = np.random.default_rng(5)
    for decimals in (1, 8):  # with and without ties
        target = draw.integers(0, 2, 400).astype(float)
        score = np.clip(np.round(0.3 * target + 0.6 * draw.random(400), decimals), 0, 1)
        found, guess = score_metrics("binary", target, score), score >= 0.5
        expected = {
            "roc_auc": reference.roc_auc_score(target, score),
            "accuracy": reference.accuracy_score(target, guess),
            "log_loss": reference.log_loss(target, score),
            "brier": reference.brier_score_loss(target, score),
            "precision": reference.precision_score(target, guess),
            "recall": reference.recall_score(target, guess),
            "f1": reference.f1_score(target, guess),
        }
        assert found.keys() == expected.keys()
        assert all(abs(found[name] - expected[name]) < 1e-12 for name in expected), (found, expected)
    assert "roc_auc" not in score_metrics("binary", np.ones(5), np.full(5, 0.7))
    assert score_metrics("binary", np.empty(0), np.empty(0)) == {}
    wanted, given = draw.normal(size=50), draw.normal(size=50)
    found = score_metrics("regression", wanted, given)
    assert abs(found["r2"] - reference.r2_score(wanted, given)) < 1e-12
    assert abs(found["rmse"] ** 2 - reference.mean_squared_error(wanted, given)) < 1e-12
    assert abs(found["mae"] - reference.mean_absolute_error(wanted, given)) < 1e-12


def models() -> None:
    import torch

    from mlctl.runtime.trainer import model

    config = {
        "type": "python",
        "file": "src/net.py",
        "function": "build",
        "params": {},
        "columns": ["a"],
        "task": "regression",
    }
    text = "from torch import nn\nfrom src.size import WIDTH\n\ndef build(features):\n    return nn.Linear(1, WIDTH)\n"
    with tempfile.TemporaryDirectory() as name:
        built = []
        for width in (1, 3):  # two versions of one project's code, side by side in one process
            root = Path(name) / str(width)
            (root / "src").mkdir(parents=True)
            (root / "src" / "net.py").write_text(text)
            (root / "src" / "size.py").write_text(f"WIDTH = {width}\n")
            built.append(model.build(config, root))
    assert [item.network.out_features for item in built] == [1, 3]
    assert not [found for found in sys.modules if found.startswith(("src", "model_code_"))]
    rows = torch.tensor([[1.0], [float("nan")]])
    assert built[0](rows).shape == (2,)
    built[0].mean.fill_(1.0)
    assert built[0](rows)[0] == built[0](rows)[1]  # a missing value counts as the mean
    one, two = built[0].state_dict(), {name: value.clone() for name, value in built[0].state_dict().items()}
    assert model.weights_digest(one) == model.weights_digest(dict(reversed(two.items())))
    two["std"][0] = 2.0
    assert model.weights_digest(one) != model.weights_digest(two)


if __name__ == "__main__":
    {"checkpoints": checkpoints, "metrics": metrics, "models": models}[sys.argv[1]]()
