"""Checks of the parts that need torch, numpy or scikit-learn; run in a process of its own by test_parts.py."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np


def parts() -> None:
    import torch

    from mlctl.runtime.trainer.order import epoch_order, step_seed
    from mlctl.runtime.trainer.torch_engine.parts import cut, shared

    for size, ranks, most in [(32, 3, 4), (32, 2, None), (5, 2, 1), (7, 3, 2), (64, 4, 16), (3, 1, 1)]:
        bounds = [(size * rank // ranks, size * (rank + 1) // ranks) for rank in range(ranks)]
        micro = [cut(torch.arange(first, last), most, size, ranks) for first, last in bounds]
        assert len({len(some) for some in micro}) == 1  # all ranks meet in each part
        assert torch.cat([part for some in micro for part in some]).tolist() == list(range(size))
        assert all(len(part) for some in micro for part in some)
        if most is not None and size % ranks == 0:
            assert max(len(part) for some in micro for part in some) <= most
    assert [shared(10, 15, rank, 2).tolist() for rank in range(2)] == [[10, 11], [12, 13, 14]]
    assert [shared(10, 11, rank, 2).tolist() for rank in range(2)] == [[10], [10]]  # too few to share
    assert sorted(epoch_order(3, 0, 50).tolist()) == list(range(50))
    assert epoch_order(3, 0, 50).tolist() == epoch_order(3, 0, 50).tolist()
    assert epoch_order(3, 0, 50).tolist() != epoch_order(3, 1, 50).tolist()
    assert len({step_seed(seed, step, rank) for seed in range(5) for step in range(20) for rank in range(4)}) == 400


def weights() -> None:
    import torch
    from safetensors import SafetensorError
    from torch import nn

    from mlctl.runtime.trainer.engine import WEIGHTS, WEIGHTS_FILE
    from mlctl.runtime.trainer.weights import read_weights, trained_weights, write_weights
    from mlctl.types.diagnostic import MlctlError

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(6, 4), nn.Linear(4, 6, bias=False)
            self.head.weight = self.embed.weight
            self.register_buffer("scale", torch.tensor(2.0))

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / WEIGHTS
        module = Tied()
        write_weights(folder, module.state_dict())
        found = read_weights(folder)
        assert found.keys() == module.state_dict().keys()
        assert all(torch.equal(value, found[name]) for name, value in module.state_dict().items())
        assert (folder / WEIGHTS_FILE).stat().st_size < 2 * 6 * 4 * 4 + 400  # tied weights are written once
        write_weights(folder, {"other": torch.ones(2)})
        assert list(trained_weights(Path(name))) == ["other"]
        (folder / WEIGHTS_FILE).write_bytes((folder / WEIGHTS_FILE).read_bytes()[:-3])
        try:
            trained_weights(Path(name))
        except MlctlError as error:
            assert [item.code for item in error.diagnostics] == ["training.weights-gone"]  # noqa: PT017
        else:
            raise AssertionError
        try:
            read_weights(folder)
        except SafetensorError:
            pass
        assert sorted(path.name for path in Path(name).iterdir()) == [WEIGHTS]


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

    from mlctl.runtime.trainer.tabular import model

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
    {"parts": parts, "weights": weights, "metrics": metrics, "models": models}[sys.argv[1]]()
