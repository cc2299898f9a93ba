"""What is said of money while things go on: a price that changes moves no server, and a kill does not give a budget back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.runs.project import Shop, wait_for

pytestmark = pytest.mark.tools
PRICES = "rows:\n  - {{gpu: cpu, provider: ours, tier: owned, usd: {usd}, as_of: 2026-11-01, source: a bill}}\n"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setenv("MLCTL_PRICES_ON", "2026-11-22")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    shop = Shop.make(tmp_path)
    project = shop.root / "mlctl.yaml"
    project.write_text(project.read_text() + "prices: prices.yaml\nbudget: {max_usd: 1000000, max_hours: 1}\n")
    costs(shop, 0.35)
    yield shop
    shop.close()


def costs(shop: Shop, usd: float) -> None:
    (shop.root / "prices.yaml").write_text(PRICES.format(usd=usd))


def test_another_price_is_told_of_a_server_and_nothing_is_started_anew(shop: Shop) -> None:
    shop.ok("apply", "--auto-approve")
    (run,) = shop.lines("runs")
    kept = shop.lines("show", "training.churn")[-1]["provenance"]
    assert [name.startswith(f"{run['id']}-") for name in kept["account"]] == [True]  # by which it is counted
    before = {process.pid for process in shop.workers()}
    assert before
    costs(shop, 0.5)
    told = shop.ok("plan")
    assert "deployments.api: prices changed since: cpu owned $0.35 -> $0.50 per hour" in told
    shop.ok("plan", "--detailed-exitcode")  # there is nothing to do
    shop.ok("apply", "--auto-approve")
    assert {process.pid for process in shop.workers()} == before
    assert shop.served("dev")


def test_what_a_killed_apply_began_goes_on_under_the_budget_that_it_was_begun_with(shop: Shop) -> None:
    costs(shop, 3600)  # a dollar a second
    asked = ("--target", "training.churn", "--var", "epochs=100000")
    killed = shop.start("apply", "--auto-approve", *asked)
    wait_for(lambda: list(shop.home().glob("objects/training.churn/*/checkpoints/*.json")), "a checkpoint")
    killed.kill()
    killed.wait()
    (line,) = [
        item
        for item in shop.lines("plan", *asked)
        if item["type"] == "planned_change" and item["address"] == "training.churn"
    ]
    taken = line["estimate"]["taken"]
    assert taken >= 1
    assert line["estimate"]["limit"]["seconds"] == pytest.approx(3600 - taken, abs=1)
    project = shop.root / "mlctl.yaml"
    project.write_text(project.read_text().replace("max_usd: 1000000", "max_usd_per_run: 0.5, max_usd: 1000000"))
    refused = shop.run("apply", "--auto-approve", *asked)
    assert refused.returncode == 4
    assert "training.churn is likely to cost" in refused.stderr
    assert shop.workers("train")  # what is at work is left to whoever decides
