"""What a change of the data runs, what a failed check holds back, and what a retrain does."""

from __future__ import annotations

import hashlib

import pytest

from tests.integration.loop.project import GATE, SERVER, TRAINING, Loop
from tests.integration.loop.shop import set_value, write_later_labels

pytestmark = [pytest.mark.slow, pytest.mark.tools]

PURCHASES, CHECK, VIEW = "datasets.purchases", "data_checks.purchases_ok", "feature_views.shopping"
DEPENDENTS = {PURCHASES, CHECK, VIEW, TRAINING, GATE, SERVER, "monitors.shops_drift"}


def test_one_changed_value_runs_what_depends_on_it_and_nothing_else(loop: Loop) -> None:
    set_value(loop.data("households"), 3, "size", "9")
    assert loop.apply().started() == {"datasets.households": 1, CHECK: 1}

    # the quantity is in the file of purchases, and in no feature: what comes after the view is as it was
    set_value(loop.data("purchases"), 5, "quantity", "7.0")
    plan = loop.plan().planned()
    assert plan.keys() == DEPENDENTS
    assert {address for address, line in plan.items() if line["conditional"]} == DEPENDENTS - {PURCHASES}
    before = {address: loop.show(address) for address in (TRAINING, GATE, SERVER)}
    assert loop.apply().started() == {PURCHASES: 1, CHECK: 1, VIEW: 1}
    assert {address: loop.show(address)["key"] for address in before} == {address: record["key"] for address, record in before.items()}  # fmt: skip
    assert loop.plan().exit_code == 0
    loop.keep()


def test_a_failed_check_holds_the_training_back_and_leaves_the_served_model_alone(loop: Loop) -> None:
    served, pid, runs = loop.served_version(), loop.server_pid(), loop.runs(TRAINING)
    set_value(loop.data("purchases"), 11, "sales_value", "5000")
    assert loop.plan().planned().keys() == DEPENDENTS
    failed = loop.apply(exit_code=3)
    assert failed.started() == {PURCHASES: 1, CHECK: 1}
    (gate,) = [line for line in failed.of("gate") if not line["passed"]]
    assert gate["address"] == CHECK
    assert "purchase_id=11" in " ".join(gate["details"])
    skipped = {line["address"]: line["because"] for line in failed.of("apply_skipped")}
    assert {skipped[address] for address in (VIEW, TRAINING, GATE, SERVER)} == {CHECK}
    plan = loop.plan()
    assert {line["blocked_by"] for line in plan.planned().values()} == {CHECK}
    assert loop.apply(exit_code=3).started() == {}
    assert (loop.served_version(), loop.server_pid(), loop.runs(TRAINING)) == (served, pid, runs)


def test_retrain_does_nothing_without_new_data_and_deploys_a_new_version_with_it(loop: Loop) -> None:
    before, served = loop.versions(), loop.served_version()
    idle = loop.run("retrain", "--auto-approve", "--json")
    assert idle.exit_code == 0, idle
    assert idle.started() == {}

    write_later_labels(loop.root / "data")
    digests = _digests(loop)
    with loop.traffic() as traffic:
        done = loop.run("retrain", "--auto-approve", "--json")
    assert done.exit_code == 0, done
    assert done.started() == {
        address: 1
        for address in ("datasets.labels", "data_checks.labels_ok", TRAINING, GATE, SERVER, "monitors.shops_drift")
    }
    (new,) = set(loop.versions()) - set(before)
    assert int(new) == int(before[-1]) + 1
    assert traffic.failures == []
    assert traffic.versions == sorted(traffic.versions, key=int)
    assert {*traffic.versions, loop.served_version()} == {served, new}
    assert loop.aliased_version() == new
    assert loop.run("retrain", "--auto-approve", "--json").started() == {}
    assert _digests(loop) == digests  # the data is the user's
    loop.keep()


def _digests(loop: Loop) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (loop.root / "data").iterdir()}
