"""A candidate that the gate held back is deployed once a person approves it."""

from __future__ import annotations

import re

import pytest

from tests.integration.loop.project import GATE, SERVER, TRAINING, Loop


@pytest.mark.soak
@pytest.mark.contract(13)
def test_an_approved_candidate_is_registered_and_deployed_by_the_next_apply(loop: Loop) -> None:
    served = loop.served_version()
    versions = loop.versions()
    loop.edit("lr: 3e-3", "lr: 2e-3")
    (bar,) = re.findall(r"roc_auc: {min: [\d.]+}", loop.file.read_text())  # another test may have set it
    loop.edit(bar, "roc_auc: {min: 0.999}")
    loop.apply(exit_code=3)
    assert (loop.served_version(), loop.versions(), loop.aliased_version()) == (served, versions, served)
    assert SERVER not in loop.apply(exit_code=3).started()

    done = loop.run("approve", GATE, "--why", "the bar was set for another season", "--json")
    assert done.exit_code == 0, done
    version = loop.aliased_version()
    assert version not in (None, served)
    assert loop.show(GATE)["outputs"]["version"] == version
    assert loop.served_version() == served  # what serves is the business of apply
    started = loop.apply().started()
    assert started[SERVER] == 1
    assert not {GATE, TRAINING} & started.keys()
    assert loop.served_version() == version
    assert loop.plan().exit_code == 0

    # the alias is put back on what was approved, and nobody is asked again
    loop.mlflow_alias(served)
    assert loop.plan().exit_code == 2
    loop.apply()
    assert loop.aliased_version() == version
