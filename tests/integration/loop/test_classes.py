"""What a change of each class costs: the plan says so beforehand, and nothing beyond it runs."""

from __future__ import annotations

import pytest

from tests.integration.loop.project import GATE, SERVER, TRAINING, Loop

VIEW = "feature_views.shopping"
COUNT = "      items_7d: {aggregate: count, window: 7d}\n"
MODEL = """
from torch import nn


def build(features):
    return nn.Sequential(nn.Linear(len(features), 16), nn.ReLU(), nn.Linear(16, 1))
"""


@pytest.mark.soak
@pytest.mark.contract(4)
def test_a_new_feature_computes_the_view_and_trains_what_reads_it(loop: Loop) -> None:
    loop.edit(COUNT, COUNT + "      items_30d: {aggregate: count, window: 30d}\n")
    planned = loop.plan().planned()
    assert planned[VIEW]["class"] == "features-only"
    assert "features-only" in loop.run("plan").output
    done = loop.apply()
    started = done.started()
    assert {address for address in started if not address.startswith(("schedules.", "monitors."))} <= {VIEW, TRAINING, GATE, SERVER}  # fmt: skip
    assert (started[VIEW], started[TRAINING], started[GATE]) == (1, 1, 1)
    assert loop.show(TRAINING)["outputs"]["serving"]["columns"].count("items_30d") == 1


@pytest.mark.soak
@pytest.mark.contract(5)
def test_code_that_makes_the_same_weights_stops_there(loop: Loop) -> None:
    (loop.root / "src").mkdir(exist_ok=True)
    code = loop.root / "src" / "model.py"
    code.write_text(MODEL)
    loop.edit("model: {type: mlp, hidden: [16]}", 'model: {type: python, entrypoint: "src/model.py:build"}')
    loop.apply()
    before = loop.digests([TRAINING, GATE])
    code.write_text(MODEL.replace("def build", "# the same as ever\ndef build"))
    assert loop.plan().planned()[TRAINING]["reason"] == "content-changed"
    done = loop.apply()
    started = done.started()
    assert started[TRAINING] == 1
    assert not {GATE, SERVER, VIEW} & started.keys()
    assert loop.digests([TRAINING, GATE]) == before
    assert "code:src/model.py" in loop.run("why", TRAINING).output


@pytest.mark.contract(3)
def test_another_experiment_trains_nothing(loop: Loop) -> None:
    versions = loop.versions()
    loop.edit("experiment: loop", "experiment: elsewhere")
    started = loop.apply().started()
    assert not {TRAINING, VIEW, SERVER} & started.keys(), started
    assert loop.versions() == versions
    assert loop.plan().exit_code == 0
