"""Long jobs without a terminal, and promotion, on real trainings and servers."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlctl.engine.runs import Runs
from tests.integration.runs.project import Shop, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.tools]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop.make(tmp_path / "shop")
    try:
        yield made
    finally:
        made.close()


def test_a_run_goes_on_detached_is_followed_and_stopped_at_a_checkpoint(shop: Shop) -> None:
    """The supervisor outlives the command, one training runs, and what it saved is where the next apply begins."""
    command = ("apply", "--auto-approve", "--detach", "--target", "training.churn", "--var", "epochs=3000")
    run = shop.ok(*command).strip().splitlines()[-1].split()[1]
    wait_for(lambda: list(shop.home().glob("objects/training.churn/*/checkpoints/step-*.json")), "a checkpoint")
    (trainer,) = shop.workers("train")
    assert f"mlctl attach {run}" in shop.run("status").stdout
    (line,) = [item for item in shop.lines("runs") if item["id"] == run]
    assert (line["running"], line["detached"], line["exit_code"]) == (True, True, None)
    assert "is held by" in shop.run("apply", "-y").stderr  # the supervisor is the one writer

    shop.ok("cancel", run)
    assert not trainer.is_running()
    assert shop.run("attach", run).returncode == 130
    saved = [json.loads(text) for text in shop.ok("plan", "--json", *command[3:]).splitlines()]
    (change,) = [item for item in saved if item.get("address") == "training.churn"]
    assert change["action"] == "resume"
    reached = int(change["detail"].split()[1])
    assert reached > 0

    done = shop.run("attach", run, "--json")
    kinds = [json.loads(text)["type"] for text in done.stdout.splitlines()]
    assert kinds[0] == "version"
    assert kinds[-1] == "apply_summary"


def test_a_training_that_was_left_alone_is_ended_by_cancel(shop: Shop) -> None:
    """Without a terminal a signal lets a training go on; there is no run any more then, and yet it can be ended."""
    apply = shop.start("apply", "-y", "--target", "training.churn", "--var", "epochs=3000")
    wait_for(lambda: list(shop.home().glob("objects/training.churn/*/checkpoints/step-*.json")), "a checkpoint")
    apply.send_signal(signal.SIGTERM)
    assert apply.wait(60) == 130
    assert len(shop.workers("train")) == 1
    told = shop.ok("cancel")
    assert not shop.workers("train")
    assert told.startswith("training.churn: resumable, step ")
    assert shop.run("cancel").returncode == 1  # nothing is at work now


@pytest.mark.contract(14)
def test_an_apply_hands_its_training_over_when_it_is_detached(shop: Shop) -> None:
    from tests.unit.cli.test_interrupting import Terminal, on_a_terminal

    arguments = ("apply", "-y", "--target", "training.churn", "--var", "epochs=40")
    terminal: Terminal
    for terminal in on_a_terminal(shop.root, "real", *arguments):
        wait_for(lambda: shop.workers("train"), "the training")
        (trainer,) = shop.workers("train")
        terminal.type("\x03")
        terminal.until("[c]ontinue?")
        terminal.type("d\n")
        assert terminal.end(60) == 130
        assert "mlctl attach" in terminal.shown
    assert trainer.is_running()
    (run,) = Runs(shop.home()).kept()
    assert run.running
    assert shop.run("attach").returncode == 0
    (record,) = [item for item in shop.lines("state", "list") if item["key"].startswith("training.churn#")]
    assert record["pending"] is None
    log = (shop.home() / "objects" / "training.churn").rglob("log.txt")
    assert len(list(log)) == 1
    assert shop.ok("plan", "--detailed-exitcode", *arguments[2:]) == shop.ok("plan", *arguments[2:])


@pytest.mark.soak
def test_prod_takes_over_what_dev_proved_and_does_not_miss_dev(shop: Shop) -> None:
    shop.ok("apply", "-y")
    refused = shop.run("promote", "--from", "dev", "--to", "prod", "--var", "lr=0.5", "-y")
    assert refused.returncode == 1
    assert "optimizer.lr: 0.01 there, 0.5 here" in refused.stderr

    lines = shop.lines("promote", "--from", "dev", "--to", "prod", "-y")
    reasons = {line["address"]: line["reason"] for line in lines if line["type"] == "planned_change"}
    assert reasons["training.churn"] == reasons["datasets.labels"] == "promoted"
    took = {line["address"]: line["seconds"] for line in lines if line["type"] == "apply_complete"}
    assert took["training.churn"] < 2
    assert "training.churn" not in {line["address"] for line in lines if line["type"] == "apply_progress"}
    dev, prod = (shop.lines("show", "training.churn", "-e", name)[0] for name in ("dev", "prod"))
    assert dev["outputs"]["digest"] == prod["outputs"]["digest"]
    assert prod["provenance"]["promoted_from"] == "dev"
    assert ".mlctl/prod/" in prod["outputs"]["model"]
    before = {name: shop.served(name) for name in ("dev", "prod")}
    assert before["dev"]["predictions"] == before["prod"]["predictions"]

    shop.ok("destroy", "-e", "dev", "-y")
    assert shop.served("prod")["predictions"] == before["prod"]["predictions"]
    assert "No changes" in shop.ok("plan", "-e", "prod")
    assert shop.run("status", "-e", "prod").returncode == 0


def test_ctrl_c_on_an_attached_view_leaves_the_run_alone(shop: Shop) -> None:
    import subprocess
    import sys

    shop.ok("apply", "-y", "--detach", "--target", "datasets.labels")
    shop.ok("attach")  # to its end: a plan that is made meanwhile would be stale
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from mlctl.cli.main import main; main()"
    shop.ok("apply", "-y", "--detach", "--target", "training.churn", "--var", "epochs=3000", "--lock-timeout", "30s")
    viewer = subprocess.Popen([sys.executable, "-c", program, "attach"], cwd=shop.root, stdout=subprocess.PIPE)
    wait_for(lambda: shop.workers("train"), "the training")
    assert viewer.stdout is not None
    assert viewer.stdout.readline()
    viewer.send_signal(signal.SIGINT)
    out, _ = viewer.communicate(timeout=60)
    assert viewer.returncode == 0
    assert b"the run goes on" in out
    assert Runs(shop.home()).running()
    shop.ok("cancel", "--kill")
    assert shop.workers("train") == []
