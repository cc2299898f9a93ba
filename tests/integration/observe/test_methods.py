"""Explanations of real models: they add up to what the model gives, and say what is known of simple models."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mlctl.processes.environment import worker_environment

# In a process of its own: torch and shap take seconds, and bring warnings that are none of ours.
GRADIENT = """
import math, torch
from mlctl.runtime.explain.methods import Gradient
from mlctl.runtime.trainer.tabular.model import RawFeatures
torch.manual_seed(7)
rows = [[float(i % 5), float(i % 3)] for i in range(30)]
linear = torch.nn.Linear(2, 1); linear.weight.data = torch.tensor([[2.0, -3.0]]); linear.bias.data = torch.tensor([1.0])
found = Gradient(linear, ["a", "b"], rows, sigmoid=False).explain([4.0, 2.0], 3.0)
assert abs(found.base - (2 * 2.0 - 3 * 1.0 + 1)) < 1e-5, found
assert abs(found.values["a"] - 2 * (4 - 2.0)) < 1e-5 and abs(found.values["b"] + 3 * (2 - 1.0)) < 1e-5, found
network = RawFeatures(torch.nn.Sequential(torch.nn.Linear(2, 16), torch.nn.ReLU(), torch.nn.Linear(16, 16), torch.nn.SELU(), torch.nn.Linear(16, 1)), 2).eval()
network.mean.copy_(torch.tensor([1.5, 0.5])); network.std.copy_(torch.tensor([2.0, 1.0]))
method = Gradient(network, ["a", "b"], rows, sigmoid=True)
for row in ([4.0, 2.0], [-3.0, 9.0], [None, 1.0]):
    given = torch.tensor([[math.nan if value is None else value for value in row]])
    with torch.no_grad():
        score = float(torch.sigmoid(network(given))[0])
    found = method.explain(row, score)
    assert abs(found.sum - score) < 0.002 * score, (row, found, score)
print("ok")
"""
SHAP = """
import warnings; warnings.simplefilter("ignore")
import numpy as np
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from mlctl.runtime.explain.methods import Permutation, Tree
rng = np.random.default_rng(0)
x = rng.normal(size=(200, 3)); y = (x[:, 0] + x[:, 1] > 0).astype(int)
row = [0.5, 1.0, -2.0]
for model, link in ((RandomForestClassifier(10, random_state=0), "identity"), (GradientBoostingClassifier(n_estimators=10, random_state=0), "logit")):
    model.fit(x, y); score = float(model.predict_proba([row])[0, 1])
    found = Tree(model, ["a", "b", "c"]).explain(row, score)
    assert abs(found.sum - score) < 1e-6 and found.link == link, (found, score)
half = DecisionTreeClassifier(max_depth=1).fit([[0.0], [0.0], [1.0], [1.0]], [0, 0, 0, 1])
found = Tree(half, ["a"]).explain([1.0], 0.5)
assert abs(found.base - 0.25) < 1e-9 and abs(found.values["a"] - 0.25) < 1e-9, found
tree = DecisionTreeRegressor(random_state=0).fit(x, x[:, 0]); score = float(tree.predict([row])[0])
found = Tree(tree, ["a", "b", "c"]).explain(row, score)
assert abs(found.sum - score) < 1e-6 and abs(found.values["a"]) > abs(found.values["c"]), found
def scores(rows):
    return [0.1 * line[0] + (0.5 if line[1] == "gold" else 0.0) + (0.2 if line[2] else 0.0) for line in rows]
background = [[float(i), "gold" if i % 2 else "none", i % 3 == 0] for i in range(12)]
found = Permutation(scores, ["n", "tier", "new"], background).explain([7.0, "gold", False], scores([[7.0, "gold", False]])[0])
assert abs(found.sum - 1.2) < 1e-9, found
assert abs(found.values["tier"] - 0.25) < 1e-9 and abs(found.values["n"] - 0.15) < 1e-9, found
again = Permutation(scores, ["n", "tier", "new"], background).explain([7.0, "gold", False], 1.2)
assert again == found
print("ok")
"""


def ran(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=worker_environment({"OMP_NUM_THREADS": "1"}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


@pytest.mark.tools
def test_gradients_add_up_and_are_exact_for_a_linear_model() -> None:
    assert ran(GRADIENT) == "ok"


@pytest.mark.tools
@pytest.mark.soak
def test_trees_and_models_that_are_only_asked_add_up() -> None:
    pytest.importorskip("shap", exc_type=ImportError)
    assert ran(SHAP) == "ok"
