"""What an edit of the project file runs, and what it leaves alone."""

from __future__ import annotations

import http.client

import pytest

from tests.integration.loop.project import GATE, SERVER, TRAINING, Loop, free_port, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.tools]

MONITOR = "monitors.shops_drift"


@pytest.mark.contract(4)
def test_a_comment_changes_nothing_and_metadata_runs_nothing(loop: Loop) -> None:
    loop.edit("datasets:\n", "# what is sold, and to whom\ndatasets:  # four tables\n")
    assert loop.plan().planned() == {}
    loop.edit("project: loop", "project: loop\n")
    loop.edit(
        "path: data/purchases.csv", "description: one row an item, tags: {source: till}, path: data/purchases.csv"
    )
    loop.edit("What a household bought lately", "What a household has bought lately")
    loop.edit("    strategy: {type: ddp", "    description: the first of its kind\n    tags: {cost_centre: retail}\n    strategy: {type: ddp")  # fmt: skip
    loop.edit("    model: shops@champion", "    owner: somebody else\n    model: shops@champion")
    plan = loop.plan()
    assert {line["reason"] for line in plan.planned().values()} == {"metadata-changed"}
    assert plan.planned().keys() == {"datasets.purchases", "feature_views.shopping", TRAINING, SERVER}
    results, pid = loop.results(), loop.server_pid()
    assert loop.apply().started() == {}
    assert loop.results() == results
    assert loop.server_pid() == pid
    assert loop.plan().exit_code == 0
    assert loop.show(TRAINING)["spec"]["tags"] == {"cost_centre": "retail"}


@pytest.mark.contract(4)
def test_a_changed_port_redeploys_and_trains_nothing(loop: Loop) -> None:
    old, version, trained = loop.port, loop.served_version(), loop.show(TRAINING)
    loop.port = free_port()
    loop.edit(f"port: {old}", f"port: {loop.port}")
    assert loop.plan().planned().keys() == {SERVER, MONITOR}
    assert loop.apply().started().keys() <= {SERVER, MONITOR}
    assert loop.served_version() == version
    assert loop.show(TRAINING) == trained
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection("127.0.0.1", old, timeout=5).request("GET", "/healthz")
    loop.keep()


@pytest.mark.contract(4)
@pytest.mark.contract(13)
def test_a_changed_threshold_evaluates_again_and_a_failed_one_holds_the_deployment_back(loop: Loop) -> None:
    versions, served, pid = loop.versions(), loop.served_version(), loop.server_pid()

    loop.edit("roc_auc: {min: 0.60}", "roc_auc: {min: 0.61}")
    assert loop.apply().started() == {GATE: 1}
    assert (loop.versions(), loop.aliased_version()) == (versions, served)

    loop.edit("roc_auc: {min: 0.61}", "roc_auc: {min: 0.99}")
    failed = loop.apply(exit_code=3)
    assert failed.started() == {GATE: 1}
    assert [line["address"] for line in failed.of("gate") if not line["passed"]] == [GATE]
    assert (loop.versions(), loop.aliased_version()) == (versions, served)
    assert (loop.served_version(), loop.server_pid()) == (served, pid)
    assert loop.status()[GATE]["condition"] == "gate not passed"
    again = loop.apply(exit_code=3)
    assert again.started() == {}

    loop.edit("roc_auc: {min: 0.99}", "roc_auc: {min: 0.61}")
    assert loop.plan().exit_code == 0
    assert loop.apply().started() == {}
    assert loop.status()[GATE]["condition"] == "ready"
    assert (loop.versions(), loop.served_version(), loop.server_pid()) == (versions, served, pid)
    loop.keep()


@pytest.mark.soak
def test_a_changed_learning_rate_trains_alone_and_a_reverted_one_takes_what_is_there(loop: Loop) -> None:
    before, served = loop.versions(), loop.served_version()
    loop.edit("lr: 3e-3", "lr: 4e-3")
    change = loop.plan().planned()[TRAINING]
    assert (change["action"], change["reason"]) == ("run", "spec-changed")
    assert [(item["path"], item["old"], item["new"]) for item in change["fields"]] == [("optimizer.lr", 0.003, 0.004)]
    assert loop.plan().planned().keys() == {TRAINING, GATE, SERVER, MONITOR}

    with loop.traffic() as traffic:
        process = loop.start("apply", "--auto-approve", "--json")
        holder = wait_for(lambda: loop.home.joinpath("lock.json").exists() and process.pid, "the lock")
        refused = loop.run("apply", "--auto-approve", "--json")
        assert refused.exit_code == 6, refused
        assert f"pid {holder}" in refused.lines[0]["summary"]
        assert "running `apply`" in refused.lines[0]["summary"]
        applied = loop.finish(process)
    assert applied.exit_code == 0, applied
    assert applied.started() == {TRAINING: 1, GATE: 1, SERVER: 1, MONITOR: 1}
    assert traffic.failures == []
    assert traffic.versions == sorted(traffic.versions, key=int)  # once the new one answers, the old one never does
    (new,) = set(loop.versions()) - set(before)
    assert {*traffic.versions, loop.served_version()} == {served, new}
    assert loop.aliased_version() == new

    loop.edit("lr: 4e-3", "lr: 3e-3")
    plan = loop.plan()
    assert TRAINING not in plan.planned()
    assert plan.of("drift") == []  # mlctl itself moved the alias
    with loop.traffic() as traffic:
        reverted = loop.apply()
    assert reverted.started() == {GATE: 1, SERVER: 1, MONITOR: 1}
    assert traffic.failures == []
    assert (loop.aliased_version(), loop.served_version()) == (served, served)
    assert loop.versions() == [*before, new]
    assert loop.plan().exit_code == 0
